"""Self-healing on fakes: a failing champion, a server without its champion, a stuck run, a silent monitor."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from tests.unit.actions.conftest import build_life

from steward import actions
from steward.actions.governance.verifying import differences
from steward.actions.healing import live_failures
from steward.errors import UnavailableError
from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.inventory import MissingChampion
from steward.ledger import EventDraft, EventType
from steward.monitoring.windows import Cause, JudgedWindow
from steward.types import Window

ONE, TWO = "http://one", "http://two"
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
WHO = "airflow:steward__heal"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Version 2 replaced version 1 an hour ago."""
    life = build_life(tmp_path_factory.mktemp("released"))
    for _ in range(2):
        trained = life.train()
        life.approve(trained)
        life.release(trained)
        life.do("close_run", trained["run"])
        life.clock.advance(timedelta(hours=1))
    return life


@pytest.fixture
def served(released: Any, life: Any) -> Any:
    """A life of its own that begins where that one stands; two servers."""
    life.services.database._state = released.services.database._state.draft()
    life.clock.set(released.clock.now())
    life.predictions.rows.update({model: list(rows) for model, rows in released.predictions.rows.items()})
    for kept in ("models", "files", "metrics", "registered", "aliases"):
        getattr(life.tracker, kept).update(getattr(released.tracker, kept))
    life.services.snapshots.__dict__.update(copy.deepcopy(released.services.snapshots.__dict__))
    life.services.served.endpoints = (ONE, TWO)
    life.runs = released.runs
    return life


def heal(life: Any, **given: Any) -> list[Any]:
    answer = actions.heal(life.services, actor=WHO, **given)
    assert answer["outcome"] == "PASSED", answer["faults"]
    return answer["found"]


def incidents(life: Any, model: str = "toy") -> list[Any]:
    with life.services.database.begin() as tx:
        return [i for i in tx.incidents.all(model) if i.cause not in ("drift", "data")]


def titles(life: Any) -> list[str]:
    return [message.title for _, message in life.services.notifier.told]


def route_of(life: Any) -> Any:
    with life.services.database.begin() as tx:
        return tx.routes.get("toy")


def answer(life: Any, errors: int, count: int = 400, version: int | None = None) -> None:
    """The champion answers; the failures are spread over its requests."""
    route = route_of(life)
    life.clock.advance(MINUTE)
    failed = np.random.default_rng(1).permutation(count) < errors
    said = ["boom" if each else None for each in failed]
    life.log(version or route.champion, route.epoch, "champion", np.linspace(0, 1, count), error=said)


def is_whole(life: Any) -> bool:
    with life.services.database.begin() as tx:
        return differences(tx) == []


# --- a champion that fails in service --------------------------------------------------------------------


def test_a_champion_that_fails_gives_way_to_the_one_that_stands_by(served: Any) -> None:
    answer(served, errors=200)
    (found,) = heal(served)
    assert (found["kind"], found["rolled_back"]["from"], found["rolled_back"]["to"]) == ("operation", 2, 1)
    assert (served.champion(), served.state(2)) == (1, "rejected")
    (event,) = served.events("rollout.rolled_back")
    assert "error rate is 0.5 (200 boom), above the limit 0.02" in event.reason
    (incident,) = incidents(served)
    assert (incident.cause, incident.version, incident.state) == ("operation", 2, "resolved")
    assert incident.id in event.reason
    assert ("rollback", str(event.seq)) in {(link["kind"], link["ref"]) for link in incident.links}
    assert titles(served)[-2:] == [
        "toy@2: operation incident opened [medium]",
        "toy@2: operation incident resolved [medium]",
    ]
    assert is_whole(served)
    assert heal(served) == []
    assert len(served.events("rollout.rolled_back")) == 1


def test_a_dry_run_tells_and_changes_nothing(served: Any) -> None:
    answer(served, errors=200)
    before = len(served.events())
    (found,) = heal(served, dry_run=True)
    assert found["said"].startswith("version 2: error rate is 0.5")
    assert (served.champion(), len(served.events())) == (2, before)


def test_a_sound_champion_is_left_alone_however_often_one_looks(served: Any) -> None:
    for _ in range(40):
        answer(served, errors=8)  # exactly at its limit of 2 %
        assert heal(served) == []
    assert served.champion() == 2


def test_rows_of_another_version_or_of_testers_convict_nobody(served: Any) -> None:
    answer(served, errors=400, version=1)
    route = route_of(served)
    served.log(2, route.epoch, "tester", np.linspace(0, 1, 400), errors=400)
    assert heal(served) == []


def spec_with(life: Any, old: str, new: str) -> None:
    path = life.services.specs.folder / "toy" / "model.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    life.spec = life.services.specs.get("toy")


def test_without_the_policy_a_person_decides(served: Any) -> None:
    spec_with(served, "  min_rows: 100\n  performance", "  roll_back_on: []\n  min_rows: 100\n  performance")
    answer(served, errors=400)
    assert heal(served) == []


def test_nothing_is_done_while_a_rollout_runs(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    served.do("start_rollout", trained["run"], version=trained["version"])
    answer(served, errors=400)
    assert [each for each in heal(served) if each["kind"] == "operation"] == []
    assert served.champion() == 2


def test_nothing_is_done_right_after_a_person_rolled_back(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    served.release(trained)
    actions.roll_back(served.services, served.spec, actor="person:ravi", reason="complaints")
    assert served.champion() == 2
    answer(served, errors=400)
    assert [each for each in heal(served) if each["kind"] == "operation"] == []
    served.clock.advance(16 * MINUTE)
    answer(served, errors=400)
    assert any("rolled_back" in each for each in heal(served))
    assert served.champion() == 1


def test_after_the_rollback_window_nobody_stands_by(served: Any) -> None:
    served.clock.advance(20 * DAY)
    answer(served, errors=400)
    assert [each for each in heal(served) if each["kind"] == "operation"] == []


@pytest.mark.parametrize("who", ["another healing", "a person"])
def test_whoever_is_faster_is_the_only_one(served: Any, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    """Between the look and the act somebody else goes back: nobody goes back twice."""
    judge_live = live_failures.judge_live

    def overtaken(*given: Any) -> Verdict:
        monkeypatch.setattr(live_failures, "judge_live", judge_live)
        if who == "a person":
            actions.roll_back(served.services, served.spec, actor="person:ravi", reason="complaints")
        else:
            assert len(heal(served)) == 1
        return judge_live(*given)

    answer(served, errors=200)
    monkeypatch.setattr(live_failures, "judge_live", overtaken)
    assert heal(served) == []
    assert len(served.events("rollout.rolled_back")) == 1
    assert served.champion() == 1
    assert [each.state for each in incidents(served)] == ["resolved"] * (who != "a person")
    assert is_whole(served)


def test_a_run_that_moves_while_it_is_looked_at_is_not_closed(served: Any) -> None:
    class Late(Airflow):
        def is_over(self, model: str, run: str) -> bool | None:
            served.do("close_run", "slow")
            return True

    served.do("take_snapshot", "slow")
    served.clock.advance(16 * MINUTE)
    served.services = replace(served.services, runs=Late(True))
    (found,) = [each for each in heal(served) if each["kind"] == "run"]
    assert found["closed"] is False
    assert [event.body.get("outcome") for event in served.events("run.closed")[-1:]] == [None]


def window(life: Any, version: int, *gates: str, ago: int = 0, passed: tuple[Cause, ...] = ()) -> str:
    """A judged window in which these checks failed."""
    findings = tuple(Finding(gate, Outcome.FAILED, f"{gate} was bad") for gate in gates)
    end = life.clock.now().replace(hour=0, minute=0, second=0, microsecond=0) - ago * DAY
    span, causes = Window(end - 7 * DAY, end), tuple(dict.fromkeys(Cause(g.partition(".")[0]) for g in gates))
    outcome = Outcome.FAILED if gates else Outcome.PASSED
    body = {"version": version, "window": span.to_json(), "verdict": Verdict(findings).to_json(), "causes": causes}
    with life.services.database.begin() as tx:
        digest = tx.evidence.put(Evidence("window", "toy", body))
        outcomes = dict.fromkeys(causes, Outcome.FAILED) | dict.fromkeys(passed, Outcome.PASSED)
        tx.windows.record(JudgedWindow("toy", version, span, outcome, causes, digest, life.clock.now(), outcomes))
    return digest


def test_where_the_version_before_failed_the_same_nobody_is_rolled_back_and_the_incident_says_so(served: Any) -> None:
    window(served, 1, "operation.error_rate")
    answer(served, errors=200)
    (found,) = heal(served)
    assert "going back would help nobody" in found["left"]
    (incident,) = incidents(served)
    assert (served.champion(), incident.state) == (2, "open")
    assert heal(served) == []


def test_what_was_seen_live_is_over_when_a_later_window_looked_at_it_and_passed(served: Any) -> None:
    window(served, 1, "operation.error_rate")
    answer(served, errors=200)
    assert "left" in heal(served)[0]
    served.clock.advance(MINUTE)
    served.do("open_incident", "night1", evidence=window(served, 2, "drift.psi:x"))
    assert incidents(served)[0].state == "open"  # that window said nothing of it
    served.do("open_incident", "night2", evidence=window(served, 2, passed=(Cause.OPERATION,)))
    assert incidents(served)[0].state == "resolved"
    assert served.events("incident.resolved")[-1].reason == "operation: a window passed"


# --- a champion that fails a nightly window ----------------------------------------------------------------


def follow(life: Any, digest: str, run: str) -> Any:
    life.do("open_incident", run, evidence=digest)
    return life.do("heal_window", run, evidence=digest)


@pytest.fixture
def strict(served: Any) -> Any:
    spec_with(
        served,
        "  min_rows: 100\n  performance",
        "  roll_back_on: [performance, fairness]\n  min_rows: 100\n  performance",
    )
    return served


def test_a_failed_window_sends_its_version_back(strict: Any) -> None:
    done = follow(strict, window(strict, 2, "performance.roc_auc"), "night1")
    assert (done["rolled_back"], done["from"], done["to"]) == (True, 2, 1)
    assert strict.champion() == 1
    (event,) = strict.events("rollout.rolled_back")
    assert "performance.roc_auc was bad" in event.reason
    (incident,) = incidents(strict)
    assert (incident.cause, incident.state) == ("performance", "resolved")
    assert incident.id in event.reason
    assert is_whole(strict)
    again = strict.do("heal_window", "night1", evidence=window(strict, 2, "performance.roc_auc"))
    assert again == done  # a task that is cleared acts once


@pytest.mark.parametrize(("gate", "said"), [("drift.psi:x", "nothing failed"), ("data.freshness", "nothing failed")])
def test_a_cause_that_policy_does_not_name_sends_nobody_back(strict: Any, gate: str, said: str) -> None:
    done = follow(strict, window(strict, 2, gate), "night1")
    assert not done["rolled_back"]
    assert said in done["reasons"][0]
    assert strict.champion() == 2


def test_a_window_of_a_version_that_left_sends_nobody_back(strict: Any) -> None:
    done = follow(strict, window(strict, 1, "performance.roc_auc"), "night1")
    assert "no longer serves" in done["reasons"][0]
    assert strict.champion() == 2


def test_a_window_whose_trouble_is_older_than_the_version_sends_nobody_back(strict: Any) -> None:
    window(strict, 1, "performance.roc_auc", ago=1)
    digest = window(strict, 2, "performance.roc_auc")
    done = follow(strict, digest, "night1")
    assert (done["rolled_back"], strict.champion()) == (False, 2)
    (incident,) = incidents(strict)
    assert done["left"] == [incident.id]
    assert strict.events("incident.updated")[-1].reason == done["reasons"][0]
    follow(strict, digest, "night2")
    assert len(strict.events("incident.updated")) == 1  # said once


def test_another_check_that_fails_only_now_does(strict: Any) -> None:
    window(strict, 1, "performance.roc_auc")
    done = follow(strict, window(strict, 2, "performance.roc_auc", "performance.log_loss"), "night1")
    assert done["rolled_back"]


# --- servers -----------------------------------------------------------------------------------------------


def test_a_server_without_its_champion_is_told_once_and_over_when_it_has_it(served: Any) -> None:
    estate = served.services.served
    estate.missing = {ONE: [MissingChampion("toy", 2, "the artefact is gone", 1)]}
    (found,) = heal(served)
    assert "http://one cannot load version 2, version 1 answers instead: the artefact is gone" in found["said"]
    (fell,) = served.events("server.fell_back")
    assert (fell.version, fell.body["server"], fell.body["answering"]) == (2, ONE, 1)
    assert heal(served) == []
    estate.missing[TWO] = [MissingChampion("toy", 2, "the artefact is gone", None)]
    (found,) = heal(served)
    assert "http://two cannot load version 2, nothing answers" in found["said"]
    assert [event.body["server"] for event in served.events("server.fell_back")] == [ONE, TWO]
    del estate.missing[ONE]
    heal(served)
    (incident,) = incidents(served)
    assert (incident.cause, incident.severity, incident.state) == ("serving", "medium", "open")
    assert list(incident.detail["servers"]) == [TWO]
    estate.missing = {}
    heal(served)
    (incident,) = incidents(served)
    assert incident.state == "resolved"
    serving = [title for title in titles(served) if "serving" in title]
    assert serving == ["toy@2: serving incident opened [medium]", "toy@2: serving incident resolved [medium]"]
    assert is_whole(served)


def test_a_server_that_goes_away_while_it_lacks_its_champion_is_not_healed_by_that(served: Any) -> None:
    estate = served.services.served
    estate.missing = {ONE: [MissingChampion("toy", 2, "gone", 1)]}
    heal(served)
    estate.silent = {ONE}
    heal(served)
    assert [incident.state for incident in incidents(served)] == ["open"]
    (away,) = incidents(served, "*")
    assert (away.cause, away.detail["servers"]) == ("serving", {ONE: {"trouble": "away"}})
    estate.silent = set()
    heal(served)
    assert len(served.events("server.fell_back")) == 1
    assert [incident.state for incident in incidents(served, "*")] == ["resolved"]
    assert [incident.state for incident in incidents(served)] == ["open"]


def test_the_incident_of_a_champion_that_left_is_over(served: Any) -> None:
    served.services.served.missing = {ONE: [MissingChampion("toy", 2, "gone", 1)]}
    heal(served)
    actions.roll_back(served.services, served.spec, actor="person:ravi", reason="it cannot be loaded")
    (found,) = heal(served)
    assert found["said"] == "version 2 no longer serves"
    assert [incident.state for incident in incidents(served)] == ["resolved"]


def test_a_server_that_does_not_follow_the_route_is_told_after_a_while(served: Any) -> None:
    route = route_of(served)
    served.services.served.epochs = {(ONE, "toy"): route.epoch - 1, (TWO, "toy"): route.epoch}
    (found,) = heal(served)
    assert f"http://one is at epoch {route.epoch - 1} of the route" in found["said"]
    actions.roll_back(served.services, served.spec, actor="person:ravi", reason="complaints")
    served.services.served.epochs = {(ONE, "toy"): route.epoch, (TWO, "toy"): route.epoch}
    (over,) = heal(served)  # of version 2; that both are behind the new route is a matter of seconds still
    assert over["said"] == "version 2 no longer serves"


# --- stuck runs ---------------------------------------------------------------------------------------------


class Airflow:
    def __init__(self, over: bool | None) -> None:
        self.over = over

    def is_over(self, model: str, run: str) -> bool | None:
        return self.over


def open_runs(life: Any) -> str | None:
    from steward.actions.retraining.facts import situation_of

    with life.services.database.begin() as tx:
        return situation_of(life.services, life.spec, tx).history.open_work


def test_a_run_that_does_not_move_is_closed_and_the_next_may_begin(served: Any) -> None:
    served.do("take_snapshot", "stuck")
    served.clock.advance(3 * timedelta(hours=1))
    assert heal(served) == []
    assert "has not ended" in (open_runs(served) or "")
    served.clock.advance(timedelta(hours=20))
    (found,) = [each for each in heal(served) if each["kind"] == "run"]
    assert "did not move since snapshot.taken" in found["said"]
    closed = served.events("run.closed")[-1]
    assert (closed.body["run"], closed.body["outcome"]) == ("stuck", "abandoned")
    assert open_runs(served) is None
    (incident,) = [i for i in incidents(served) if i.cause == "run"]
    assert (incident.state, incident.detail) == ("open", {"run": "stuck"})
    assert [each for each in heal(served) if each["kind"] == "run"] == []
    served.do("take_snapshot", "later")
    served.do("close_run", "later")
    (over,) = [each for each in heal(served) if each["kind"] == "run"]
    assert over["said"] == "run later came to its end"
    assert is_whole(served)


def test_a_run_that_airflow_has_ended_need_not_be_waited_for(served: Any) -> None:
    served.do("take_snapshot", "stuck")
    served.services = replace(served.services, runs=Airflow(True))
    assert heal(served) == []  # its last task may be writing still
    served.clock.advance(16 * MINUTE)
    (found,) = heal(served)
    assert "is over, says Airflow" in found["said"]


@pytest.mark.parametrize("over", [False, None])
def test_a_run_that_airflow_still_knows_has_its_time(served: Any, over: bool | None) -> None:
    served.do("take_snapshot", "slow")
    served.services = replace(served.services, runs=Airflow(over))
    served.clock.advance(16 * MINUTE)
    assert heal(served) == []


def test_a_rollout_that_a_stuck_run_left_goes_back(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    started = served.do("start_rollout", trained["run"], version=trained["version"])
    served.do("shift_traffic", trained["run"], rollout=started["rollout"], percent=20)
    served.clock.advance(DAY)
    (found,) = [each for each in heal(served) if each["kind"] == "run"]
    assert (found["rollout"]["rolled_back"], found["closed"]) == (True, True)
    assert (served.champion(), served.state(3)) == (2, "rejected")
    assert route_of(served).canary is None
    assert open_runs(served) is None
    assert is_whole(served)


def test_a_rollout_whose_spec_is_broken_is_left_to_a_person_who_is_told(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    served.do("start_rollout", trained["run"], version=trained["version"])
    served.clock.advance(DAY)
    (served.services.specs.folder / "toy" / "model.yaml").write_text("model: [")
    served.services = replace(served.services, runs=Airflow(True))
    done = actions.heal(served.services, actor=WHO)
    assert (done["outcome"], len(done["faults"])) == ("FAILED", 1)
    assert "its rollout runs on, and its spec cannot be read: roll it back by hand" in done["faults"][0]
    assert served.events("run.closed")[-1].body["run"] != trained["run"]  # found again until it is mended


def test_a_run_that_waits_for_people_is_not_stuck(served: Any) -> None:
    trained = served.train()
    asked = served.ask(trained)
    served.clock.advance(2 * DAY)
    assert [each for each in heal(served) if each["kind"] == "run"] == []
    served.services = replace(served.services, runs=Airflow(True))
    (found,) = [each for each in heal(served) if each["kind"] == "run"]
    assert found["request"] == "expired"
    with served.services.database.begin() as tx:
        assert tx.approvals.get(asked["request"]).state == "expired"
    assert open_runs(served) is None


def test_a_run_that_was_let_in_and_did_nothing_is_stuck_too(served: Any) -> None:
    with served.services.database.begin() as tx:
        body = {"run": "let in", "trigger": "manual", "requests": []}
        tx.events.append(EventDraft(EventType.RETRAINING_ADMITTED, "toy", "airflow:dana", "by hand", body=body))
    served.clock.advance(2 * DAY)
    (found,) = [each for each in heal(served) if each["kind"] == "run"]
    assert found["run"] == "let in"


# --- the monitor, from outside ---------------------------------------------------------------------------


def silent(found: list[Any]) -> list[str]:
    return [each["said"] for each in found if each["kind"] == "monitor"]


def test_a_monitor_that_does_not_run_is_an_incident_until_it_judges(served: Any) -> None:
    served.clock.set(served.clock.now().replace(hour=1) + DAY)
    assert silent(heal(served)) == []  # it is an hour late at most
    served.clock.advance(timedelta(hours=2))
    (said,) = silent(heal(served))
    assert "the monitor of toy was due at 2013-06-02 00:00 and judged nothing since" in said
    (incident,) = incidents(served)
    assert (incident.cause, incident.version, incident.windows) == ("monitor", 2, 0)
    served.clock.advance(3 * DAY)
    assert silent(heal(served)) == []  # told once, however long it lasts
    judged = served.do("judge_window", "night1")
    (over,) = silent(heal(served))
    assert over == "the monitor judges again"
    assert incidents(served)[0].state == "resolved"
    assert is_whole(served)
    assert judged["version"] == 2


def test_the_monitors_own_run_ends_it_too(served: Any) -> None:
    served.clock.advance(3 * DAY)
    assert silent(heal(served))
    judged = served.do("judge_window", "night1")
    served.do("open_incident", "night1", evidence=judged["evidence"])
    (incident,) = [i for i in incidents(served) if i.detail]
    assert incident.state == "resolved"
    assert served.events("incident.resolved")[-1].reason == "monitor: the monitor judges again"
    assert silent(heal(served)) == []


def test_where_a_calendar_is_replayed_a_monitor_is_not_late_by_jumps(served: Any) -> None:
    wall = served.clock.now()
    served.services = replace(served.services, wall=lambda: wall)
    served.clock.advance(3 * DAY)
    assert silent(heal(served)) == []


def test_missed_windows_are_caught_up_by_the_next_run(served: Any) -> None:
    """The monitor is away for three nights: found from outside, it then judges what it missed."""
    served.clock.set(served.clock.now().replace(hour=3) + DAY)
    served.do("judge_window", "night1")
    served.clock.advance(4 * DAY)
    assert silent(heal(served))
    done = served.do("judge_window", "night5")
    assert done["caught_up"] == 3
    with served.services.database.begin() as tx:
        ends = [judged.window.end.day for judged in tx.windows.recent("toy", 10)]
    assert ends == [2, 3, 4, 5, 6]
    assert silent(heal(served)) == ["the monitor judges again"]


# --- all of it --------------------------------------------------------------------------------------------


def test_what_cannot_be_looked_at_keeps_nothing_else_from_being_healed(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise UnavailableError("the log does not answer")

    monkeypatch.setattr(served.predictions, "arm", away)
    served.do("take_snapshot", "stuck")
    served.clock.advance(2 * DAY)
    done = actions.heal(served.services, actor=WHO)
    assert done["outcome"] == "FAILED"
    assert done["faults"] == ["toy: the log does not answer"]
    assert {"run", "monitor"} <= {each["kind"] for each in done["found"]}


def test_an_estate_without_models_has_nothing_to_heal(life: Any) -> None:
    assert heal(life) == []
    assert life.events() == []
