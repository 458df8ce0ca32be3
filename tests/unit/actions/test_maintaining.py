"""Upkeep of the prediction log as actions: one event where something changed, and no name of a person."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life

from steward import actions
from steward.data import Upkeep
from steward.data.privacy import keyed_hash
from steward.errors import NotFoundError, PolicyError, RequestError, UnavailableError
from steward.testing.builders import a_day_tally
from steward.types import to_json

OUTCOMES = """
def outcomes(start, end):
    frame = pd.DataFrame({"decision_id": ["a", "b", "stranger"], "label": [1, 0, 1]})
    frame["observed_at"] = pd.Timestamp("2013-05-30", tz="UTC")
    return frame[(frame["observed_at"] >= start) & (frame["observed_at"] < end)]
"""


@pytest.fixture
def told(tmp_path: Path) -> Life:
    """A model with persons and with a table of outcomes, and a few answers."""
    life = build_life(tmp_path)
    code, declared = (tmp_path / "models" / "toy" / name for name in ("model.py", "model.yaml"))
    code.write_text(code.read_text() + OUTCOMES)
    declared.write_text(
        MODEL_YAML.replace("data:\n", "data:\n  subject: customer\n  outcomes: model:outcomes\n  log_keep: 10d\n", 1)
    )
    life.spec = life.services.specs.get("toy")
    life.services = replace(life.services, log_key=b"k" * 32)
    serve(life, "a", "ada")
    serve(life, "b", "bob")
    return life


def serve(life: Life, decision_id: str, who: str | None) -> None:
    hashed = keyed_hash(b"k" * 32, "toy", who) if who else None
    life.log(1, 0, "champion", [0.5], decision_id=[decision_id], subject=[hashed])


def events(life: Life, *types: str) -> list[Any]:
    """Of the portfolio too."""
    with life.services.database.begin() as tx:
        return [event for event in tx.events.read() if not types or event.type.value in types]


def maintain(life: Life, **given: Any) -> Any:
    return actions.maintain_log(life.services, actor="airflow:steward__maintain", **given)


def test_outcomes_of_the_table_are_recorded_once_and_told_once(told: Life) -> None:
    done = maintain(told, compact=True)
    assert done["models"]["toy"] == {"folded": 0, "expired": 0, "merged_files": 0, "orphans": 1, "outcomes": 3}
    (event,) = events(told, "log.maintained")
    assert (event.model, event.reason, event.body["compacted"]) == ("*", "3 outcomes recorded", True)
    assert maintain(told)["models"] == {}
    assert len(events(told, "log.maintained")) == 1, "nothing changed, nothing to tell"
    labels = told.predictions.arm("toy", 0, datetime(2000, 1, 1, tzinfo=UTC))["label"].tolist()
    assert labels == [1.0, 0.0]


def test_a_correction_is_not_undone_by_the_table(told: Life) -> None:
    actions.load_outcomes(told.services, told.spec, actor="cli:ravi")
    now = told.services.wall() + timedelta(minutes=1)
    corrected = {"decision_id": ["a"], "label": [0.0], "observed_at": [now], "recorded_at": [now]}
    told.predictions.append_outcomes("toy", pa.table(corrected))
    assert actions.load_outcomes(told.services, told.spec, actor="cli:ravi") == {"recorded": 0}
    assert told.predictions.arm("toy", 0, datetime(2000, 1, 1, tzinfo=UTC))["label"].tolist() == [0.0, 0.0]


def test_outcomes_may_be_loaded_from_further_back(told: Life) -> None:
    later = told.clock.now() + timedelta(days=200)
    told.clock.advance(later - told.clock.now())
    assert actions.load_outcomes(told.services, told.spec, actor="cli:ravi") == {"recorded": 0}
    assert actions.load_outcomes(told.services, told.spec, actor="cli:ravi", since="2013-05-01") == {"recorded": 3}
    (event,) = events(told, "log.maintained")
    assert (event.model, event.actor, event.reason) == ("toy", "cli:ravi", "recorded 3 outcomes of toy")


def test_a_model_without_a_table_says_how_to_name_one(life: Life) -> None:
    with pytest.raises(NotFoundError, match="names no function for outcomes"):
        actions.load_outcomes(life.services, life.spec, actor="cli:ravi")


def test_rows_are_kept_as_long_as_the_spec_says(told: Life) -> None:
    maintain(told)
    told.clock.advance(timedelta(days=11))
    assert maintain(told)["models"]["toy"]["expired"] >= 2
    assert events(told, "log.maintained")[-1].reason.endswith("rows expired")
    assert told.predictions.decision("toy", "a") is None


def test_counts_of_days_go_with_their_rows(told: Life) -> None:
    today = told.clock.now().date()
    with told.services.database.begin() as tx:
        for back in (0, 1):
            tx.tallies.record(a_day_tally(model="toy", day=today - timedelta(days=back)))
    told.clock.advance(timedelta(days=10))
    assert maintain(told)["models"]["toy"]["expired_days"] == 1, "rows of the tenth day back are kept"
    told.clock.advance(timedelta(days=1))
    assert maintain(told)["models"]["toy"]["expired_days"] == 1
    with told.services.database.begin() as tx:
        assert tx.tallies.days("toy", 1, today - timedelta(days=1), today) == []


def test_of_a_broken_spec_no_row_is_deleted(told: Life) -> None:
    with told.services.database.begin() as tx:
        assert not tx.versions.everywhere()
    path = told.services.specs.folder / "toy" / "model.yaml"
    path.write_text(path.read_text() + "\nnonsense: true\n")
    told.clock.advance(timedelta(days=1000))
    assert maintain(told)["models"] == {}
    assert told.predictions.decision("toy", "a") is not None


def test_files_are_merged_at_night_unless_somebody_says(told: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    keep = lambda model, keep_from, *, compact: (asked.append(compact), Upkeep())[1]  # noqa: E731
    monkeypatch.setattr(told.predictions, "maintain", keep)
    for hour, given in [(2, None), (3, None), (3, False), (2, True)]:
        told.services = replace(told.services, wall=lambda hour=hour: datetime(2026, 1, 1, hour, tzinfo=UTC))
        maintain(told, compact=given)
    assert asked == [False, True, False, True]


def test_a_store_that_is_away_is_told_at_the_end(told: Life) -> None:
    told.predictions.away = True
    with pytest.raises(UnavailableError, match=r"the logs of toy were not maintained: .*the store refuses rows"):
        maintain(told)
    assert not events(told, "log.maintained")
    told.predictions.away = False
    assert maintain(told)["models"]["toy"]["outcomes"] == 3


def test_outcomes_that_cannot_be_had_hold_retention_not_up(told: Life) -> None:
    code = told.services.specs.folder / "toy" / "model.py"
    code.write_text(code.read_text().replace("def outcomes(start, end):\n", "def outcomes(start, end):\n    1 / 0\n"))
    told.clock.advance(timedelta(days=11))
    with pytest.raises(UnavailableError, match=r"the logs of toy were not maintained: .*division by zero"):
        maintain(told)
    assert told.predictions.decision("toy", "a") is None
    assert events(told, "log.maintained")[-1].reason.endswith("rows expired")


def forget(life: Life, who: str, reason: str = "asked us to, ticket 90210", **given: Any) -> Any:
    return actions.forget_subject(
        life.services, life.spec, run=given.get("run"), actor="cli:ravi", subject=who, reason=reason
    )


def test_a_person_is_forgotten_and_the_ledger_knows_a_hash_alone(told: Life) -> None:
    maintain(told)
    ada = keyed_hash(b"k" * 32, "toy", "ada")
    assert forget(told, "ada") == {"subject": ada, "predictions": 1, "outcomes": 1, "held": 0, "sampled": 0}
    assert told.predictions.decision("toy", "a") is None
    assert told.predictions.decision("toy", "b") is not None
    assert forget(told, "ada")["predictions"] == 0
    told_of = events(told, "subject.forgotten")
    assert [(e.body["subject"], e.body["predictions"], e.reason) for e in told_of] == [
        (ada, 1, "asked us to, ticket 90210"),
        (ada, 0, "asked us to, ticket 90210"),
    ]
    assert all('"ada"' not in json.dumps(to_json(event.body)) for event in events(told))


def test_a_run_that_is_repeated_forgets_once(told: Life) -> None:
    first = forget(told, "ada", run="again")
    serve(told, "a2", "ada")
    assert forget(told, "ada", run="again") == first
    assert len(events(told, "subject.forgotten")) == 1


def test_a_reason_must_not_name_the_person(told: Life) -> None:
    with pytest.raises(RequestError, match="the reason names the person"):
        forget(told, "ada", "Ada Lovelace asked us to")
    assert told.predictions.decision("toy", "a") is not None


def test_a_model_that_logs_no_persons_says_so(life: Life) -> None:
    with pytest.raises(PolicyError, match="toy knows no persons"):
        forget(life, "ada")
