"""What every log must do that is read for counting: each answer once, with its outcome, whatever the batches."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from tests.contract.test_prediction_log import (
    APRIL_FIRST,
    MODEL,
    NOON,
    WALL,
    answer,
    log,  # noqa: F401 — a fixture
    make_delta,
    make_segmented,
    outcomes,
    predictions,
)

from steward.data import JOINED_COLUMNS, PredictionLog
from steward.errors import UnavailableError
from steward.types import Role

A_DAY = timedelta(days=1)


def rows_of(batches: Iterable[pa.RecordBatch]) -> dict[str, dict[str, Any]]:
    found = [row for batch in batches for row in batch.to_pylist()]
    assert len(found) == len({(row["decision_id"], row.get("version"), row.get("role")) for row in found})
    return {row["decision_id"]: row for row in found}


def test_a_model_that_never_served_has_no_batches(log: PredictionLog) -> None:  # noqa: F811
    assert list(log.batches(MODEL, APRIL_FIRST)) == []
    assert log.days_told(MODEL, WALL, date(2013, 1, 1)) == set()


def test_batches_hold_what_was_served(log: PredictionLog) -> None:  # noqa: F811
    log.append(MODEL, predictions(answer("a"), answer("late", at=APRIL_FIRST.end), answer("new", version=2)))
    log.append(MODEL, predictions(answer("copy", role="shadow"), answer("test", role="tester")))
    log.append_outcomes(MODEL, outcomes(("new", 1.0, WALL), ("late", 1.0, WALL)))
    assert sorted(rows_of(log.batches(MODEL, APRIL_FIRST))) == ["a", "new"]
    assert list(rows_of(log.batches(MODEL, APRIL_FIRST, version=1))) == ["a"]
    assert list(rows_of(log.batches(MODEL, APRIL_FIRST, roles=(Role.SHADOW,)))) == ["copy"]
    (row,) = rows_of(log.batches(MODEL, APRIL_FIRST, ["decision_id", "f_distance", "label"], version=2)).values()
    assert row == {"decision_id": "new", "f_distance": 100.0, "label": 1.0}


def test_a_column_nobody_asked_for_is_not_there_nor_one_nobody_has(log: PredictionLog) -> None:  # noqa: F811
    log.append(MODEL, predictions(answer("a")))
    (batch,) = log.batches(MODEL, APRIL_FIRST, ["score", "f_nothing"])
    assert batch.schema.names == ["score"]
    (batch,) = log.batches(MODEL, APRIL_FIRST)
    assert {"f_distance", "role", "score"} <= set(batch.schema.names)


def test_of_one_answer_the_newest_counts(log: PredictionLog) -> None:  # noqa: F811
    again = WALL + timedelta(seconds=1)
    log.append(MODEL, predictions(answer("a", recorded_at=again, score=0.9), answer("b"), answer("b")))
    log.append(MODEL, predictions(answer("a"), answer("a", role="canary", version=2, score=0.4)))
    found = [row for batch in log.batches(MODEL, APRIL_FIRST) for row in batch.to_pylist()]
    assert sorted((row["decision_id"], row["version"], row["score"]) for row in found) == [
        ("a", 1, 0.9),
        ("a", 2, 0.4),
        ("b", 1, 0.25),
    ]


def test_the_newest_outcome_is_joined_with_how_often_one_was_told(log: PredictionLog) -> None:  # noqa: F811
    log.append(MODEL, predictions(answer("once"), answer("twice"), answer("corrected"), answer("unknown")))
    after = WALL + timedelta(hours=1)
    log.append_outcomes(MODEL, outcomes(("once", 1.0, WALL), ("twice", 0.0, WALL), ("corrected", 1.0, after)))
    log.append_outcomes(MODEL, outcomes(("twice", 0.0, after), ("corrected", 0.0, WALL), ("nobody", 1.0, WALL)))
    found = rows_of(log.batches(MODEL, APRIL_FIRST, ["decision_id", *JOINED_COLUMNS]))
    told = {name: (row["label"], row["told"], row["labels_told"]) for name, row in found.items()}
    assert told == {"once": (1, 1, 1), "twice": (0, 2, 1), "corrected": (1, 2, 2), "unknown": (None, None, None)}
    assert found["once"]["observed_at"] == NOON + A_DAY
    assert found["unknown"]["observed_at"] is None


def test_days_whose_outcomes_came_later_are_named(log: PredictionLog) -> None:  # noqa: F811
    days = [NOON, NOON + A_DAY, NOON + 2 * A_DAY]
    log.append(MODEL, predictions(*(answer(str(place), at=at) for place, at in enumerate(days))))
    log.append_outcomes(MODEL, outcomes(("0", 1.0, WALL), ("1", 1.0, WALL)))
    assert log.days_told(MODEL, WALL, date(2013, 4, 1)) == set()
    log.append_outcomes(MODEL, outcomes(("0", 1.0, WALL + A_DAY), ("2", 1.0, WALL + A_DAY), ("x", 1.0, WALL + A_DAY)))
    assert log.days_told(MODEL, WALL, date(2013, 4, 1)) == {date(2013, 4, 1), date(2013, 4, 3)}
    assert log.days_told(MODEL, WALL, date(2013, 4, 2)) == {date(2013, 4, 3)}


def test_a_person_who_is_forgotten_is_in_no_batch(log: PredictionLog) -> None:  # noqa: F811
    log.append(MODEL, predictions(answer("a", subject="ab12"), answer("b", subject="cd34")))
    log.forget(MODEL, "ab12", datetime.now(UTC))
    assert list(rows_of(log.batches(MODEL, APRIL_FIRST))) == ["b"]
    assert list(rows_of(log.batches(MODEL, APRIL_FIRST, ["decision_id"]))) == ["b"]


def test_folding_changes_no_batch(log: PredictionLog) -> None:  # noqa: F811
    log.append(MODEL, predictions(*(answer(f"{place}", score=place / 10) for place in range(8)), answer("1")))
    log.append_outcomes(MODEL, outcomes(("3", 1.0, WALL)))
    before = rows_of(log.batches(MODEL, APRIL_FIRST))
    log.maintain(MODEL, NOON)
    log.append(MODEL, predictions(answer("new")))
    after = rows_of(log.batches(MODEL, APRIL_FIRST))
    assert after.pop("new")["label"] is None
    assert {name: (row["score"], row["label"]) for name, row in after.items()} == {
        name: (row["score"], row["label"]) for name, row in before.items()
    }


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("make", [make_delta, make_segmented])
def test_many_rows_come_in_batches_that_memory_holds(make: Any, folded: bool, tmp_path: Any) -> None:
    log, rows = make(tmp_path), 150_000  # noqa: F811
    columns: dict[str, Any] = {
        name: pa.array([value] * rows) for name, value in answer("x").items() if value is not None
    }
    columns["decision_id"] = pa.array([f"d{place % 140_000}" for place in range(rows)])
    columns["at"] = pa.array([NOON + timedelta(seconds=place % 3600) for place in range(rows)])
    log.append(MODEL, pa.table(columns))
    if folded:
        log.maintain(MODEL, NOON)
    sizes = [len(batch) for batch in log.batches(MODEL, APRIL_FIRST, ["decision_id", "score"])]
    assert sum(sizes) == 140_000
    assert max(sizes) <= 65_536


def test_of_hundreds_of_columns_each_keeps_its_rows(tmp_path: Any) -> None:
    """They are read a few at a time, and put together again."""
    log, names = make_delta(tmp_path), [f"f_n{place}" for place in range(100)]  # noqa: F811
    for first in (0, 50):  # a file each, the second without the last column
        given = [answer(str(first + row), **{name: float(first + row) for name in names}) for row in range(50)]
        log.append(MODEL, predictions(*given).drop_columns(["f_n99"] if first else []))
    log.append_outcomes(MODEL, outcomes(*((str(row), float(row % 2), WALL) for row in range(0, 100, 3))))
    found = rows_of(log.batches(MODEL, APRIL_FIRST))
    assert len(found) == 100
    for name, row in found.items():
        assert {row[column] for column in names[:99]} == {float(name)}
        assert row["label"] == (float(name) % 2 if int(name) % 3 == 0 else None)
    assert sum(row["f_n99"] is None for row in found.values()) == 50


def test_rows_erased_under_the_readers_hands_are_no_silent_loss(tmp_path: Any) -> None:
    log = make_delta(tmp_path)  # noqa: F811
    log.append(MODEL, predictions(answer("a", subject="ab12"), answer("b", subject=None)))
    for place in range(10):  # a file each; a few of them are opened ahead
        log.append(MODEL, predictions(answer(f"{place}", subject="ab12")))
    reading = log.batches(MODEL, APRIL_FIRST)
    next(reading)
    log.forget(MODEL, "ab12", datetime.now(UTC))
    with pytest.raises(UnavailableError, match="changed while it was read"):
        list(reading)
