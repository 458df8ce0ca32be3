"""A version is trained again from its record: the same to the last bit, or the reason why not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_PY, Life, build_life

from steward.approval.policy import load_policy
from steward.errors import NotFoundError, UnavailableError
from steward.spec import SpecFolder
from steward.testing import FrozenClock
from steward.testing.services import services_in_memory
from steward.training import provenance

PROJECT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def commit(monkeypatch: pytest.MonkeyPatch) -> str:
    """The toy lives in no repository: its image says which commit it was built from."""
    monkeypatch.setenv("STEWARD_CODE_COMMIT", "c" * 40)
    return "c" * 40


def reproduce(life: Life, version: int = 1, run: str = "again") -> Any:
    return life.do("reproduce", run, version=version)


def test_a_version_is_reproduced_to_the_last_bit(life: Life) -> None:
    life.train()
    found = reproduce(life)
    assert found["verdict"] == "bit-exact", found
    assert (found["reasons"], found["doubts"], found["differing_parts"]) == ([], [], [])
    assert found["scores"]["largest"] == 0
    assert found["said"] == "all 193 hold-out scores are equal to the last bit; the models hold the same"
    event = life.events("version.reproduced")[0]
    assert (event.version, event.evidence) == (1, found["evidence"])
    with life.services.database.begin() as tx:
        assert tx.evidence.get(found["evidence"]).body["verdict"] == "bit-exact"


def test_a_repetition_is_one_event_and_another_run_another(life: Life) -> None:
    life.train()
    assert reproduce(life) == reproduce(life)
    reproduce(life, run="once more")
    assert len(life.events("version.reproduced")) == 2


def test_a_rejected_version_and_given_parameters_are_reproduced_too(life: Life) -> None:
    life.train({"C": 0})
    life.train({"C": 0.01})
    assert reproduce(life, 1)["verdict"] == "bit-exact"
    assert reproduce(life, 2, "r2")["verdict"] == "bit-exact"


def test_a_spec_that_changed_since_does_not_matter(life: Life) -> None:
    life.train()
    training = life.spec.training.model_copy(update={"params": {"C": 0.001}, "seed": 99})
    life.spec = life.spec.model_copy(update={"training": training})
    assert reproduce(life)["verdict"] == "bit-exact"


def test_a_threshold_tried_by_hand_is_kept(life: Life) -> None:
    run = "by-hand"
    snapshot = life.do("take_snapshot", run)["snapshot"]
    validation = life.do("validate_data", run, snapshot=snapshot)["validation"]
    training = life.do("train", run, snapshot=snapshot, threshold=0.7)["training"]
    evaluation = life.do("evaluate", run, training=training)["evaluation"]
    life.do("register", run, validation=validation, training=training, evaluation=evaluation)
    found = reproduce(life)
    assert found["verdict"] == "bit-exact", found
    assert found["thresholds"] == [0.7, 0.7]


RANDOM = MODEL_PY.replace(
    "return DummyClassifier() if params.get",
    "params['C'] = float(np.random.default_rng().uniform(1e-4, 1e-2))\n    return DummyClassifier() if params.get",
)


def test_a_part_that_nobody_seeded_is_not_reproducible(tmp_path: Path) -> None:
    life = build_life(tmp_path)
    life.services.specs.module_path("toy").write_text(RANDOM)
    life.spec = life.services.specs.get("toy")
    life.train()
    found = reproduce(life)
    assert found["verdict"] == "not reproducible"
    assert "the fit differs: 193 of 193 hold-out scores differ" in found["reasons"][0]
    assert found["differing_parts"]


def test_altered_rows_are_said_to_be_altered(life: Life) -> None:
    life.train()
    (table,) = life.services.snapshots.tables.values()
    snapshot, rows = table[0]
    table[0] = (snapshot, rows.slice(1))
    found = reproduce(life)
    assert found["verdict"] == "not reproducible"
    assert found["reasons"] == ["the rows were altered: the rows have another digest than the snapshot"]
    assert "scores" not in found
    table.clear()
    assert reproduce(life, run="r2")["reasons"] == ["snapshot 0 of snapshots/toy is gone"]


def test_an_artefact_that_is_altered_or_gone_is_a_reason(life: Life) -> None:
    life.train()
    life.tracker.tampered.add("run-1")
    assert reproduce(life)["reasons"] == ["the artefact is altered: the artefact has another digest"]


def test_code_that_is_gone_is_a_reason_and_code_that_stands_in_a_doubt(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.train()
    monkeypatch.setenv("STEWARD_CODE_COMMIT", "d" * 40)
    found = reproduce(life)
    assert found["verdict"] == "bit-exact"
    assert found["doubts"] == [
        "commit cccccccccccc cannot be read from this repository: the present files stand in for its own"
    ]
    life.services.specs.module_path("toy").rename(life.services.specs.folder / "model.py")
    (life.services.specs.folder / "toy" / "model.yaml").rename(life.services.specs.folder / "model.yaml")
    (life.services.specs.folder / "toy").rmdir()
    assert "its code is gone" in reproduce(life, run="r2")["reasons"][0]


def test_code_that_no_longer_fits_is_a_reason(life: Life) -> None:
    life.train()
    life.services.specs.module_path("toy").write_text("def build(params): raise ValueError('no more')\n")
    found = reproduce(life)
    assert found["verdict"] == "not reproducible"
    assert "it cannot be fitted any more: model:build in model.py raised ValueError: no more" in found["reasons"][0]


def test_another_environment_is_named_where_it_may_be_the_reason(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    life.train()
    present = provenance.environment()
    monkeypatch.setattr(provenance, "environment", lambda: {**present, "scikit-learn": "99", "typer": "0"})
    found = reproduce(life)
    assert found["verdict"] == "bit-exact"
    assert found["environment"]["matter"]["scikit-learn"] == [present["scikit-learn"], "99"]
    assert found["environment"]["others"] == 1
    life.tracker.tampered.add("run-1")
    reasons = reproduce(life, run="r2")["reasons"]
    assert reasons[-1] == f"the environment differs: scikit-learn {present['scikit-learn']} then, 99 now"


def test_a_store_that_is_away_is_no_verdict(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    life.train()

    def away(*_: Any) -> Any:
        raise UnavailableError("the store is away")

    monkeypatch.setattr(life.services.snapshots, "read", away)
    with pytest.raises(UnavailableError):
        reproduce(life)
    assert not life.events("version.reproduced")
    with pytest.raises(NotFoundError, match="toy@7"):
        reproduce(life, 7)


def test_a_retired_version_is_reproduced_from_the_archive(life: Life) -> None:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    life.clock.advance(timedelta(days=8))
    life.do("start_retirement", "end", "airflow:olga", reason="superseded")
    for step in ("close_endpoint", "archive_model", "bury"):
        life.do(step, "end")
    life.services.snapshots.tables.clear()
    found = reproduce(life)
    assert (found["verdict"], found["data"]["from"]) == ("bit-exact", "the archive")
    name = next(name for name in life.services.archive.files if name.endswith(".parquet"))
    life.services.archive.files[name] += b"x"
    assert reproduce(life, run="r2")["reasons"] == ["snapshot 0 of snapshots/toy is gone"]


def test_the_flights_are_reproduced_to_the_last_bit(tmp_path: Path) -> None:
    """The shipped model, real rows, HistGradientBoosting: two weeks of training, one held out."""
    clock = FrozenClock(datetime(2013, 3, 1, 6, tzinfo=UTC))
    policy = load_policy(PROJECT / "include" / "policy.yaml")
    services = services_in_memory(SpecFolder(PROJECT / "include" / "models"), policy, clock, tmp_path)
    spec = services.specs.get("flight_delays")
    weeks = {
        "training": spec.training.model_copy(update={"window": type(spec.training.window)(days=21)}),
        "evaluation": spec.evaluation.model_copy(
            update={"holdout": type(spec.evaluation.holdout)(days=7), "slices": ()}
        ),
    }
    life = Life(services, spec.model_copy(update=weeks), clock, services.tracker, services.predictions)
    life.train()
    found = reproduce(life)
    assert found["verdict"] == "bit-exact", found
    assert found["scores"]["rows"] > 5000
    assert found["differing_parts"] == []
