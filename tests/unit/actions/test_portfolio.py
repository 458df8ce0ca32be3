"""The portfolio told from lives and from a planted estate: what is wrong, what is done, and what cannot be known."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.actions.test_life import serve_week
from tests.unit.inventory.estate import PlantedEstate, plant_estate

from steward import actions
from steward.actions.incidents.attending import acknowledge_incident
from steward.actions.telling.explaining import Rules, explain
from steward.actions.telling.model_page import tell_model
from steward.actions.telling.portfolio import UNTOLD_ELSEWHERE, Memory, tell_portfolio
from steward.errors import IntegrityError, SpecError
from steward.gates import Evidence
from steward.inventory.record import Places
from steward.reporting.health import ALTERED, LOST
from steward.reporting.pages import portfolio_fragment, portfolio_page
from steward.testing.record import FakeEvidenceStore
from steward.types import JsonObject

PLACES = Places()


def row(life: Any, model: str = "toy", **more: Any) -> JsonObject:
    found = tell_portfolio(life.services, PLACES, **more)
    return next(each for each in found["rows"] if each["model"] == model)


def answer(life: Any) -> JsonObject:
    found: JsonObject = tell_portfolio(life.services, PLACES)["answer"]
    return found


def state_by_why(life: Any) -> str:
    """What `steward why` says."""
    services = life.services
    rules = Rules(life.spec, services.clock.now(), services.policy, services.stages)
    with services.database.begin() as tx:
        return str(explain(tx, "toy", rules)["state"])


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> PlantedEstate:
    """To be read only."""
    return plant_estate(tmp_path_factory.mktemp("estate"), models=60, per_rule=1)


@pytest.fixture
def served(life: Any) -> Any:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    life.clock.advance(timedelta(days=5))
    return life


@pytest.fixture
def lost(served: Any) -> Any:
    """Outcomes have nothing to do with the answers any more; a retraining was asked for."""
    serve_week(served, informative=False)
    judged = served.do("judge_window", "night")
    served.do("open_incident", "night", evidence=judged["evidence"])
    served.do("decide_retraining", "night", evidence=judged["evidence"])
    return served


def test_a_model_goes_through_the_states_of_its_life(life: Any) -> None:
    states = [row(life)["health"]["state"]]
    trained = life.train()
    asked = life.ask(trained)
    waiting = row(life)
    assert (waiting["waiting"], waiting["stage"]) == (1, "validation")
    assert [one["kind"] for one in answer(life)["waits"]] == ["approval"]
    life.answer(asked, "ravi")
    started = life.do("start_rollout", trained["run"], version=1)
    assert row(life)["rollout"] == {"version": 1, "percent": 0}
    for percent in life.spec.deployment.judged_steps:
        life.bake(started["rollout"], trained["run"], percent)
    life.do("complete_rollout", trained["run"], rollout=started["rollout"])
    states.append(row(life)["health"]["state"])
    life.clock.advance(timedelta(days=5))
    states.append(row(life)["health"]["state"])
    serve_week(life, informative=True)
    life.do("judge_window", "night")
    states.append(row(life)["health"]["state"])
    assert states == ["not serving", "not judged", "not judged", "green"]
    told = answer(life)
    assert (told["serving"], told["hold"], told["waits"]) == (1, 1, [])
    assert row(life)["rollout"] is None


def test_a_monitor_that_missed_its_turn_is_named(served: Any) -> None:
    serve_week(served, informative=True)
    served.do("judge_window", "night")
    assert answer(served)["hold"] == 1
    served.clock.advance(timedelta(days=3))
    told = answer(served)
    assert (told["hold"], told["untold"]) == (0, 1)
    assert told["untold_models"][0]["why"].startswith("monitor overdue since 2013-")


def test_a_loss_is_red_with_what_is_being_done(lost: Any) -> None:
    found = row(lost)
    assert found["health"]["state"] == "red"
    assert found["performance"]["outcome"] == "FAILED"
    assert found["last_retraining"]["outcome"] == "requested"
    (one,) = answer(lost)["red_models"]
    assert "0.9102 at evaluation" in one["lost"]
    assert one["doing"][0].startswith("retraining requested")
    assert one["doing"][-1].startswith("nobody has taken on")
    for incident in found["incidents"]:
        acknowledge_incident(lost.services, incident=incident["id"], by="ravi")
    assert answer(lost)["red_models"][0]["doing"][-1] == "taken on by ravi"


def test_one_word_everywhere(life: Any) -> None:
    """`steward why` says the same at every turn of a life."""

    def same() -> str:
        said = state_by_why(life)
        assert said == row(life)["health"]["state"] == tell_model(life.services, "toy")["health"]["state"]
        return said

    seen = [same()]
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    seen.append(same())
    life.clock.advance(timedelta(days=5))
    for informative in (True, False):
        serve_week(life, informative=informative)
        judged = life.do("judge_window", f"night {informative}")
        life.do("open_incident", f"night {informative}", evidence=judged["evidence"])
        seen.append(same())
    life.clock.advance(timedelta(days=5))
    seen.append(same())
    assert seen == ["not serving", "not judged", "green", "red", "red"]


@pytest.mark.parametrize(("text", "state"), [("model: [", "broken"), (None, "not judged")])
def test_one_word_where_no_sound_spec_declares_what_serves(served: Any, text: str | None, state: str) -> None:
    serve_week(served, informative=True)
    served.do("judge_window", "night")
    assert row(served)["health"]["state"] == "green"
    declared = served.services.specs.folder / "toy" / "model.yaml"
    declared.unlink() if text is None else declared.write_text(text)
    assert row(served)["health"]["state"] == tell_model(served.services, "toy")["health"]["state"] == state
    assert answer(served)["hold"] == 0


def test_a_champion_that_came_back_is_told_by_what_is_judged_since(served: Any) -> None:
    """And one beside which a canary was taken off has never been away."""
    serve_week(served, informative=True)
    served.do("judge_window", "night")
    began = row(served)["champion_since"]
    for way in ("a canary", "a champion"):
        served.clock.advance(timedelta(hours=1))
        trained = served.train({"C": 0.5})
        served.approve(trained)
        if way == "a canary":
            served.do("start_rollout", trained["run"], version=trained["version"])
        else:
            served.release(trained)
        served.clock.advance(timedelta(hours=1))
        actions.roll_back(served.services, served.spec, actor="person:ravi", reason="complaints of the desk")
        found = row(served)
        assert found["champion"] == 1
        assert state_by_why(served) == found["health"]["state"]
        if way == "a canary":
            assert (found["champion_since"], found["back_at"], found["health"]["state"]) == (began, None, "green")
    assert (found["champion_since"], found["back_at"]) == (served.clock.now(),) * 2
    assert found["health"]["state"] == "not judged"
    assert found["health"]["why"][0].startswith("no window judged since @1 came back on 2013-")
    told = answer(served)
    assert (told["hold"], told["untold"]) == (0, 1)


def test_only_models_that_may_be_seen_are_told_and_counted(planted: PlantedEstate) -> None:
    services = planted.services
    whole = tell_portfolio(services, PLACES)
    some = {each["model"] for each in whole["rows"][::3]}
    told = tell_portfolio(services, PLACES, only=some)
    assert told["rows"] == [each for each in whole["rows"] if each["model"] in some]
    assert told["answer"]["models"] == len(some)
    hidden = {each["model"] for each in whole["rows"]} - some
    for named in ("red_models", "untold_models", "waits"):
        assert not {one["model"] for one in told["answer"][named]} & hidden
    assert tell_portfolio(services, PLACES, only=[])["rows"] == []


def test_every_kind_of_model_is_told(planted: PlantedEstate) -> None:
    rows = {each["model"]: each for each in tell_portfolio(planted.services, PLACES)["rows"]}
    by_rule = {rule: rows.get(model) for model, rule in planted.truth}
    broken, undeclared = by_rule["broken_spec"], by_rule["undeclared"]
    assert broken
    assert undeclared
    assert (broken["health"]["state"], broken["dag"]) == ("broken", f"{broken['model']}__broken")
    assert "taks" in broken["fault"]
    assert (undeclared["health"]["state"], undeclared["dag"]) == ("not judged", None)
    assert rows["vendor_0"]["health"]["state"] == "elsewhere"
    assert rows["buried_000"]["health"]["state"] == "retired"
    assert rows["buried_000"]["health"]["why"][0].startswith("retired 2026-")
    late = by_rule["past_review"]
    assert late
    assert late["review_overdue"]
    sound = [row for row in rows.values() if row["standing"] == "declared"]
    assert all(row["dag"] == f"{row['model']}__train" for row in sound)


def test_a_fault_in_the_file_of_models_elsewhere_hides_no_other_model(served: Any) -> None:
    """What the fault quotes may be of a model that the reader may not see."""

    def broken() -> Any:
        raise SpecError("inventory.yaml:3:9: risk_tier: got 'hihg' of vendor_scores")

    services = replace(served.services, external=broken)
    told = tell_portfolio(services, PLACES)
    assert told["rows"] == tell_portfolio(served.services, PLACES)["rows"]
    assert told["faults"] == [UNTOLD_ELSEWHERE]
    for page in (portfolio_fragment(told, live=True), portfolio_page(told)):
        assert "Not complete: the inventory file cannot be read" in page
        assert "vendor_scores" not in page
    assert not tell_portfolio(served.services, PLACES)["faults"]


class _Altered(FakeEvidenceStore):
    """One piece was altered behind our back."""

    bad = ""

    def get_all(self, digests: Collection[str]) -> dict[str, Evidence]:
        if self.bad in digests:
            raise IntegrityError("it was altered")
        return super().get_all(digests)


def test_altered_evidence_is_not_told_and_hides_no_other_model(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_week(served, informative=True)
    served.do("judge_window", "night")
    with served.services.database.begin() as tx:
        monkeypatch.setattr(_Altered, "bad", tx.windows.latest_everywhere()[0].evidence)
        monkeypatch.setattr(type(tx.evidence), "get_all", _Altered.get_all)
        monkeypatch.setattr(type(tx.evidence), "bad", _Altered.bad, raising=False)
    found = row(served)
    assert found["health"]["why"][0] == ALTERED
    assert found["performance"] == {"outcome": None, "reason": None}
    told = answer(served)
    assert (told["hold"], told["untold"]) == (0, 1)
    assert ALTERED in told["untold_models"][0]["why"]


def test_evidence_that_is_gone_is_said(planted: PlantedEstate) -> None:
    """The estate's windows have none."""
    told = tell_portfolio(planted.services, PLACES)
    judged = [each for each in told["rows"] if each["window_end"]]
    assert judged
    assert all(LOST in each["health"]["why"] for each in judged)
    assert told["answer"]["hold"] == 0


def test_a_memory_saves_reading_and_changes_nothing(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_week(served, informative=True)
    served.do("judge_window", "night")
    memory, asked = Memory(), []
    with served.services.database.begin() as tx:
        plain = type(tx.evidence).get_all
    monkeypatch.setattr(
        FakeEvidenceStore, "get_all", lambda self, wanted: asked.append({*wanted}) or plain(self, wanted)
    )
    told = [tell_portfolio(served.services, PLACES, memory=memory) for _ in range(2)]
    assert told[0]["rows"] == told[1]["rows"] == tell_portfolio(served.services, PLACES)["rows"]
    assert [len(each) for each in asked] == [1, 0, 1]
    tell_portfolio(served.services, PLACES, only=[], memory=memory)
    assert len(memory.told) == 1
    served.clock.advance(timedelta(days=1))
    served.do("judge_window", "next night")
    tell_portfolio(served.services, PLACES, memory=memory)
    assert len(memory.told) == 1
