"""What callers send beside the features, and beside an outcome: stored, read, counted, and erased with the person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from tests.contract.test_prediction_log import (
    APRIL_FIRST,
    MODEL,
    NOON,
    WALL,
    answer,
    make_delta,
    make_fake,
    make_segmented,
    predictions,
    table,
)
from tests.unit.serving.conftest import ROW, Stack, make_estimator, make_spec, tensors
from tests.unit.serving.test_hot_path import listening

from steward.adapters.delta_predictions import DeltaPredictionLog
from steward.adapters.log_segments import SegmentFolder, TableWriter
from steward.adapters.prediction_rows import OUTCOMES, PREDICTIONS, conform, with_day
from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.data import OUTCOME_COLUMNS, PredictionLog
from steward.data.privacy import keyed_hash
from steward.monitoring.tallies.counting import count_rows
from steward.types import Window

LATER = WALL + timedelta(hours=1)
EARLIER_COLUMNS = {name: type_ for name, type_ in OUTCOME_COLUMNS.items() if name != "value"}


@pytest.fixture(params=[make_fake, make_delta, make_segmented])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> PredictionLog:
    return cast("PredictionLog", request.param(tmp_path))


def told(decision: str, label: float | None, at: datetime = WALL, **value: float | None) -> dict[str, Any]:
    return {
        "decision_id": decision,
        "label": label,
        "observed_at": NOON + timedelta(days=1),
        "recorded_at": at,
        **value,
    }


def outcomes(*rows: dict[str, Any]) -> pa.Table:
    return table(list(rows), OUTCOME_COLUMNS)


def by_decision(log: PredictionLog, column: str) -> dict[str, Any]:
    found = log.served(MODEL, APRIL_FIRST).set_index("decision_id")[column].astype(object)
    return found.where(found.notna(), None).to_dict()


# --- on the fake and on every adapter ---------------------------------------------------------------


def test_the_value_comes_back_with_the_answer_and_the_newest_word_counts(log: PredictionLog) -> None:
    log.append(MODEL, predictions(answer("a"), answer("b"), answer("c")))
    log.append_outcomes(MODEL, outcomes(told("a", 1.0, value=12.5), told("b", 0.0, value=-3.0)))
    log.append_outcomes(MODEL, outcomes(told("a", 1.0, LATER, value=20.0)))
    assert by_decision(log, "value") == {"a": 20.0, "b": -3.0, "c": None}
    assert by_decision(log, "label") == {"a": 1.0, "b": 0.0, "c": None}
    assert log.served(MODEL, APRIL_FIRST, ["value"])["value"].notna().sum() == 2
    assert sorted(log.outcomes_since(MODEL, NOON)["value"]) == [-3.0, 12.5, 20.0]


def test_outcomes_without_a_value_are_null_beside_others(log: PredictionLog) -> None:
    log.append(MODEL, predictions(answer("a"), answer("b")))
    log.append_outcomes(MODEL, table([told("a", 1.0)], EARLIER_COLUMNS))
    log.append_outcomes(MODEL, outcomes(told("b", 1.0, value=7.0)))
    assert by_decision(log, "value") == {"a": None, "b": 7.0}
    assert list(log.outcomes_since(MODEL, NOON).columns) == list(OUTCOME_COLUMNS)


def test_upkeep_keeps_values_and_groups(log: PredictionLog) -> None:
    log.append(MODEL, predictions(answer("plain")))
    log.append(MODEL, _with_group(predictions(answer("a"), answer("b")), ["black", None]))
    log.append_outcomes(MODEL, outcomes(told("a", 1.0, value=12.5)))
    log.append_outcomes(MODEL, outcomes(told("a", 1.0, LATER, value=13.5)))
    for _ in range(2):
        log.rotate()
        log.maintain(MODEL, NOON - timedelta(days=30))
        assert by_decision(log, "g_race") == {"plain": None, "a": "black", "b": None}
        assert by_decision(log, "value") == {"plain": None, "a": 13.5, "b": None}
        assert sorted(log.outcomes_since(MODEL, NOON)["value"]) == [12.5, 13.5], "a corrected value is no repetition"


def test_batches_of_rows_carry_both(log: PredictionLog) -> None:
    log.append(MODEL, _with_group(predictions(answer("a"), answer("b")), ["black", "white"]))
    log.append_outcomes(MODEL, outcomes(told("a", 1.0, value=12.5)))
    wanted = ["decision_id", "g_race", "value"]
    rows = [row for batch in log.batches(MODEL, APRIL_FIRST, wanted) for row in batch.to_pylist()]
    assert sorted((row["decision_id"], row["g_race"], row["value"]) for row in rows) == [
        ("a", "black", 12.5),
        ("b", "white", None),
    ]


def test_the_groups_of_a_person_are_forgotten_with_them(log: PredictionLog) -> None:
    log.append(MODEL, _with_group(predictions(answer("a", subject="ad"), answer("b", subject="be")), ["rare", "white"]))
    log.append_outcomes(MODEL, outcomes(told("a", 1.0, value=12.5), told("b", 1.0, value=1.0)))
    log.forget(MODEL, "ad", LATER)
    assert by_decision(log, "g_race") == {"b": "white"}
    assert log.outcomes_since(MODEL, NOON)["value"].tolist() == [1.0]


def _with_group(rows: pa.Table, groups: list[str | None]) -> pa.Table:
    return rows.append_column("g_race", pa.array(groups, pa.string()))


# --- tables of an earlier release -------------------------------------------------------------------


def _earlier_tables(folder: Path) -> None:
    """As they were written before there were values and groups."""
    answers = with_day(conform(predictions(answer("old", subject="ad")), PREDICTIONS), PREDICTIONS)
    write_deltalake(str(folder / PREDICTIONS / MODEL), answers, partition_by=["day"])
    rows = table([told("old", 1.0)], EARLIER_COLUMNS)
    days = pa.array([(NOON + timedelta(days=1)).date()], pa.date32())
    write_deltalake(str(folder / OUTCOMES / MODEL), rows.append_column("day", days), partition_by=["day"])


def _earlier_segments(folder: Path) -> None:
    answers, rows = predictions(answer("old", subject="ad")), table([told("old", 1.0)], EARLIER_COLUMNS)
    for name, found in ((f"{PREDICTIONS}/{MODEL}", answers), (f"{OUTCOMES}/{MODEL}", rows)):
        writer = TableWriter(SegmentFolder(folder / "segments" / name))
        writer.append(found, durable=True)
        writer.close()


@pytest.mark.parametrize(
    ("written", "made"),
    [
        (_earlier_tables, DeltaPredictionLog),
        (_earlier_tables, SegmentedPredictionLog),
        (_earlier_segments, SegmentedPredictionLog),
    ],
)
def test_what_an_earlier_release_stored_goes_on_working(tmp_path: Path, written: Any, made: Any) -> None:
    written(tmp_path)
    log = made(str(tmp_path))
    assert by_decision(log, "label") == {"old": 1.0}
    assert by_decision(log, "value") == {"old": None}
    assert log.outcomes_since(MODEL, NOON)["value"].isna().all()
    asked = log.served(MODEL, APRIL_FIRST, ["decision_id", "g_race", "value"])
    assert asked["g_race"].isna().all()
    log.append(MODEL, _with_group(predictions(answer("new")), ["black"]))
    log.append_outcomes(MODEL, outcomes(told("new", 0.0, value=4.0)))
    for _ in range(2):
        assert by_decision(log, "value") == {"old": None, "new": 4.0}
        assert by_decision(log, "g_race") == {"old": None, "new": "black"}
        log.rotate()
        log.maintain(MODEL, NOON - timedelta(days=30))
    assert "value" in DeltaTable(str(tmp_path / OUTCOMES / MODEL)).to_pyarrow_dataset().schema.names
    assert log.forget(MODEL, "ad", LATER).predictions == 1
    assert by_decision(log, "value") == {"new": 4.0}


# --- from a caller to the counts and back to nothing ------------------------------------------------

KEY = b"key"
PEOPLE = {
    "protected": ["race", "sex"],
    "other_columns": ["race", "sex"],
    "privacy": {"race": "keep"},
    "subject": "applicant",
}


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A model server on the loopback interface, its log on the disk."""
    stack = Stack(tmp_path)
    stack.log = SegmentedPredictionLog(tmp_path / "tables")  # type: ignore[assignment]
    stack.sources.register(make_spec(**PEOPLE), 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    with listening(stack, hash_key=KEY) as number:
        yield number


def test_groups_and_values_from_callers_to_counts_and_a_forgotten_person(tmp_path: Path, port: int) -> None:
    server, draw = f"http://127.0.0.1:{port}", np.random.default_rng(0)
    scores = {}
    for n in range(40):
        person = {**ROW, "distance": float(draw.uniform(100, 3000)), "race": ["black", "white"][n % 2], "sex": "f"}
        asked = tensors(person, decision_ids=[f"d{n}"], subject=f"person-{n}")
        scores[f"d{n}"] = _scored(httpx.post(f"{server}/v2/models/{MODEL}/infer", json=asked))
    frame = {"dataframe_records": [{**ROW, "race": "black"}], "params": {"decision_ids": ["m"], "subject": "person-0"}}
    httpx.post(f"{server}/models/{MODEL}/invocations", json=frame).raise_for_status()
    news = [
        {"decision_id": name, "label": score > 0.5, "observed_at": "2013-04-02T00:00:00Z", "value": 10 * score}
        for name, score in scores.items()
    ]
    httpx.post(f"{server}/v2/models/{MODEL}/outcomes", json={"outcomes": news}).raise_for_status()

    log, spec = SegmentedPredictionLog(tmp_path / "tables"), make_spec(**PEOPLE)
    rows = _when(log, 41)
    assert rows.set_index("decision_id").loc["d0", "g_race"] == "black"
    assert set(rows["g_sex"].dropna()) == {keyed_hash(KEY, MODEL, "f")}
    profile = {"features": {}, "threshold": 0.5, "score": None, "calibration": {"edges": []}}
    tally = count_rows(spec, profile, "p", log.batches(MODEL, DAY))
    assert {name: group.rows for name, group in tally.groups["race"].items()} == {"black": 21, "white": 20}
    assert {group.rows for group in tally.groups["sex"].values()} == {40, 1}
    assert tally.overall.business.correlation == pytest.approx(1.0)

    forgotten = log.forget(MODEL, keyed_hash(KEY, MODEL, "person-0"), datetime.now(UTC))
    assert (forgotten.predictions, forgotten.outcomes) == (2, 1)
    left = log.served(MODEL, DAY)
    assert not {"d0", "m"} & set(left["decision_id"])
    again = count_rows(spec, profile, "p", log.batches(MODEL, DAY))
    assert {name: group.rows for name, group in again.groups["race"].items()} == {"black": 19, "white": 20}


DAY = Window(datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 4, 2, tzinfo=UTC))


def _scored(answered: httpx.Response) -> float:
    answered.raise_for_status()
    return float(answered.json()["outputs"][0]["data"][0])


def _when(log: PredictionLog, rows: int) -> pd.DataFrame:
    from tests.unit.serving.conftest import wait_until

    wait_until(lambda: len(log.served(MODEL, DAY)) == rows)
    return log.served(MODEL, DAY)
