"""The record of every model, now and at a past moment; models elsewhere; who reads whose answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life
from tests.unit.inventory.estate import NOW, plant_estate
from tests.unit.specs import a_spec

from steward.actions.governance.surveying import inventory, survey
from steward.inventory import ServedVersion
from steward.inventory.external import ExternalModels, load_external
from steward.inventory.record import InventoryRecord, Places, Standing
from steward.inventory.upstream import declared_upstream, misplaced_upstream
from steward.spec import FaultsError

PLACES = Places("http://server/v2/models/{model}/infer", "http://grafana/d/steward?var-model={model}")


def one(records: list[InventoryRecord], model: str = "toy") -> InventoryRecord:
    return next(record for record in records if record.model == model)


@pytest.fixture
def life(tmp_path: Path) -> Life:
    """Its owner is one of the people of the policy."""
    return build_life(tmp_path, MODEL_YAML.replace("user: olga", "user: dana"))


def test_the_record_of_a_model_that_serves(life: Life) -> None:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    record = one(inventory(life.services, PLACES))
    assert (record.standing, record.stage, record.champion) == (Standing.DECLARED, "monitoring", 1)
    assert (record.title, record.risk_tier, record.task) == ("A toy", "medium", "binary_classification")
    assert record.owner is not None
    assert record.owner["user"] == "dana"
    assert record.versions == {"champion": 1}
    assert record.training_data is not None
    assert record.training_data["table"] == "snapshots/toy"
    assert len(record.training_data["digest"]) == 64
    assert record.evidence["validation"] == trained["validation"]
    assert record.endpoint == "http://server/v2/models/toy/infer"
    assert record.dashboard == "http://grafana/d/steward?var-model=toy"
    assert record.champion_since == life.clock.now()
    assert record.next_review_at == life.clock.now() + timedelta(days=365)


def test_a_model_that_was_never_trained_is_there(life: Life) -> None:
    record = one(inventory(life.services, PLACES))
    assert (record.standing, record.champion, record.stage) == (Standing.DECLARED, None, None)
    assert (record.endpoint, record.next_review_at, record.versions) == (None, None, {})


def test_the_past_is_told_by_the_ledger_alone(life: Life, tmp_path: Path) -> None:
    first = life.train()
    life.approve(first)
    life.release(first)
    then = life.clock.now()
    present = one(inventory(life.services, PLACES))
    life.clock.advance(timedelta(days=10))
    path = tmp_path / "models" / "toy" / "model.yaml"
    path.write_text(path.read_text().replace("title: A toy", "title: Another toy"))
    second = life.train({"C": 0.5})
    life.approve(second)
    life.release(second)
    past = one(inventory(life.services, PLACES, at=then))
    assert past.to_json() == present.to_json()
    assert one(inventory(life.services, PLACES)).champion == 2
    assert inventory(life.services, PLACES, at=then - timedelta(days=365)) == []


def test_a_broken_spec_is_there_with_its_fault_and_its_champion(life: Life, tmp_path: Path) -> None:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    path = tmp_path / "models" / "toy" / "model.yaml"
    path.write_text(path.read_text().replace("risk_tier", "risk_teir"))
    record = one(inventory(life.services, PLACES))
    assert (record.standing, record.champion) == (Standing.BROKEN, 1)
    assert (record.title, record.risk_tier) == ("A toy", "medium")  # as it was registered
    assert record.fault is not None
    assert "risk_teir" in record.fault


def test_every_kind_of_standing_in_one_estate(tmp_path: Path) -> None:
    estate = plant_estate(tmp_path, models=60, per_rule=1)
    records = inventory(estate.services, PLACES)
    assert {record.standing for record in records} == set(Standing) - {Standing.RECORDED}
    assert [record.model for record in records] == sorted(record.model for record in records)
    found = survey(estate.services, probe=False)
    assert found.models == len(records) + 1  # and the one that only the registry knows


def test_a_review_moves_the_next_one(tmp_path: Path) -> None:
    estate = plant_estate(tmp_path, models=60, per_rule=1)
    (model,) = [model for model, rule in estate.truth if rule == "approval_expired"]
    record = one(inventory(estate.services, PLACES), model)
    assert record.last_review_at == NOW - timedelta(days=30)
    assert record.next_review_at == NOW + timedelta(days=335)


EXTERNAL = """
external_models:
  - id: bureau_score
    title: Will this applicant default?
    purpose: Second opinion.
    owner: {team: risk, name: Vera, email: vera@example.com, user: vera}
    risk_tier: high
    runs_on: a vendor
    vendor: Bureau Ltd
    registered_on: 2026-01-15
    last_review: 2026-02-01
    review_after: 90d
"""


def external(tmp_path: Path, text: str = EXTERNAL) -> ExternalModels:
    (tmp_path / "inventory.yaml").write_text(text)
    return load_external(tmp_path / "inventory.yaml")


def test_a_model_elsewhere_is_a_record_of_its_own(tmp_path: Path) -> None:
    estate = plant_estate(tmp_path, models=60, per_rule=1)
    services = replace(estate.services, external=lambda: external(tmp_path))
    record = one(inventory(services, PLACES), "bureau_score")
    assert (record.standing, record.vendor, record.environment) == (Standing.ELSEWHERE, "Bureau Ltd", "a vendor")
    found = [f for f in survey(services, probe=False).findings if f.model == "bureau_score"]
    assert [(f.rule, f.reason) for f in found] == [("past_review", "somebody was to look at it by 2026-05-02")]
    before = inventory(services, PLACES, at=NOW.replace(year=2025))
    assert "bureau_score" not in {each.model for each in before}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("risk_tier: high", "risk_teir: high", "did you mean"),
        ("risk_tier: high", "risk_tier: huge", "risk_tier"),
        ("id: bureau_score", "id: Bureau Score", "external_models[0].id"),
        ("    purpose: Second opinion.\n", "", "a required key is missing"),
        ("review_after: 90d", "review_after: soon", "duration"),
        ("email: vera@example.com", "email: vera", "an e-mail address"),
    ],
)
def test_models_elsewhere_are_read_as_strictly_as_a_spec(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in EXTERNAL
    with pytest.raises(FaultsError) as raised:
        external(tmp_path, EXTERNAL.replace(old, new))
    assert said in str(raised.value)
    assert "inventory.yaml:" in str(raised.value)


def test_a_model_registered_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaultsError, match="bureau_score is registered twice"):
        external(tmp_path, EXTERNAL + EXTERNAL.split("external_models:\n")[1])


def test_without_a_file_nothing_runs_elsewhere(tmp_path: Path) -> None:
    assert load_external(tmp_path / "none.yaml") == ExternalModels()


def test_the_shipped_file_is_sound() -> None:
    assert load_external(Path(__file__).parents[3] / "include" / "inventory.yaml").external_models == ()


READS: dict[str, list[str]] = {"a": ["b"], "b": ["c"], "c": [], "d": ["e"], "e": ["f"], "f": ["e"]}


def placed(upstream: tuple[str, ...], known: Any = frozenset("abcdef"), **more: list[str]) -> list[str]:
    reads: Callable[[str], list[str]] = lambda model: {**READS, **more}.get(model, [])  # noqa: E731
    spec = a_spec(model="z", upstream=upstream)
    return [f"{one.key[1]}: {one.sentence}" for one in misplaced_upstream(spec, known, reads)]


def test_known_models_may_be_read() -> None:
    assert placed(("a", "c")) == []


def test_an_unknown_upstream_is_named() -> None:
    assert placed(("a", "nobody")) == ["1: no model nobody is declared here or in inventory.yaml"]


def test_a_circle_is_shown_whole() -> None:
    assert placed(("a",), c=["z"]) == ["0: it reads itself: z → a → b → c → z"]


def test_a_circle_of_others_is_theirs() -> None:
    assert placed(("d",)) == []


def test_what_cannot_be_told_is_not_refused() -> None:
    assert placed(("nobody",), known=None) == []


def test_a_broken_spec_breaks_no_other(tmp_path: Path) -> None:
    for model, text in (("a", "upstream: [b, 3]\n"), ("b", "upstream: {\n"), ("c", "upstream: b\n")):
        (tmp_path / model).mkdir()
        (tmp_path / model / "model.yaml").write_text(text)
    upstream = declared_upstream(tmp_path)
    assert [upstream(model) for model in ("a", "b", "c", "none")] == [["b"], [], [], []]


def test_a_life_as_the_actions_write_it_has_nothing_to_find(life: Life) -> None:
    for params in (None, {"C": 0.5}):
        trained = life.train(params, "airflow:mo")
        life.approve(trained)
        life.release(trained)
        life.clock.advance(timedelta(days=1))
    serve_as_routed(life)
    assert survey(life.services, probe=True).findings == ()
    life.do("roll_back", "by-hand", reason="the second one is worse")
    serve_as_routed(life)
    assert survey(life.services, probe=True).findings == ()


def serve_as_routed(life: Life) -> None:
    """What a model server makes of the route."""
    with life.services.database.begin() as tx:
        champion = tx.versions.champion("toy")
    assert champion is not None
    digest = champion.artefact_digest
    life.services.served.versions = [ServedVersion("http://one", "toy", champion.number, digest, "champion")]


def test_the_approval_of_a_life_expires_and_its_monitor_is_missed(life: Life) -> None:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    serve_as_routed(life)
    life.clock.advance(timedelta(days=400))
    found = {finding.rule for finding in survey(life.services, probe=False).findings}
    assert found == {"approval_expired", "past_review", "no_monitor", "idle_champion"}
