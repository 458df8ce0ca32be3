"""What every WindowWriter must do: a scored window is there as a whole, once, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from tests.unit.actions.conftest import MODEL_PY, build_life
from tests.unit.actions.test_scoring import BATCH_YAML, release

from steward.adapters.delta_predictions import DeltaPredictionLog
from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.data import PREDICTION_COLUMNS, PredictionLog
from steward.errors import ConflictError, RequestError, UnavailableError
from steward.testing.data_stores import FakePredictionLog
from steward.types import Window, digest_of

MODEL = "flight_delays"
START = datetime(2013, 4, 1, tzinfo=UTC)
WALL = datetime(2026, 1, 1, tzinfo=UTC)
TWO_DAYS = Window(START, START + timedelta(days=2))
FIRST, SECOND = digest_of("first"), digest_of("second")
_TYPES = {"string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64()}


@pytest.fixture(params=["fake", "delta", "segments"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> PredictionLog:
    made = {"delta": DeltaPredictionLog, "segments": SegmentedPredictionLog}
    return FakePredictionLog() if request.param == "fake" else made[request.param](str(tmp_path))


def rows(count: int, *, version: int = 1, score: float = 0.5, source: str = "score", first: int = 0) -> pa.Table:
    """One every hour from `START`, decision `d<n>`."""
    values: dict[str, list[Any]] = {
        "decision_id": [f"d{n}" for n in range(first, first + count)],
        "request_key": ["k"] * count,
        "version": [version] * count,
        "role": ["champion"] * count,
        "epoch": [0] * count,
        "at": [START + timedelta(hours=n) for n in range(first, first + count)],
        "recorded_at": [WALL] * count,
        "latency_ms": [None] * count,
        "error": [None] * count,
        "score": [score] * count,
        "source": [source] * count,
        "subject": [None] * count,
    }
    schema = pa.schema([(n, _TYPES.get(t, pa.timestamp("us", "UTC"))) for n, t in PREDICTION_COLUMNS.items()])
    table = pa.table(values, schema=schema)
    return table.append_column("f_distance", pa.array([100.0] * count))


def put(log: PredictionLog, table: pa.Table, digest: str = FIRST, version: int = 1, window: Window = TWO_DAYS) -> bool:
    return log.replace_window(MODEL, window, version, in_small_parts(table), digest)


def in_small_parts(table: pa.Table) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=7))


def scores(log: PredictionLog, window: Window = TWO_DAYS) -> dict[tuple[str, int], float]:
    found = log.served(MODEL, window)
    return {(d, v): s for d, v, s in zip(found["decision_id"], found["version"], found["score"], strict=True)}


def test_a_window_is_readable_with_its_features(log: PredictionLog) -> None:
    assert put(log, rows(48))
    found = log.served(MODEL, TWO_DAYS)
    assert len(found) == 48
    assert set(found["f_distance"]) == {100.0}


def test_the_same_rows_again_change_nothing(log: PredictionLog) -> None:
    assert put(log, rows(48))
    assert not put(log, rows(48, score=0.9))  # by the digest they are the same: not even read
    assert set(scores(log).values()) == {0.5}


def test_other_rows_replace_all_of_the_window(log: PredictionLog) -> None:
    put(log, rows(48))
    assert put(log, rows(10, score=0.9), SECOND)
    assert scores(log) == {(f"d{n}", 1): 0.9 for n in range(10)}
    assert put(log, rows(48))  # and back: what was there first is not there now
    assert len(scores(log)) == 48


def test_other_windows_versions_and_callers_stay(log: PredictionLog) -> None:
    later = Window(TWO_DAYS.end, TWO_DAYS.end + timedelta(days=1))
    log.append(MODEL, rows(1, source="desk", score=0.1).set_column(0, "decision_id", pa.array(["asked"])))
    put(log, rows(48, version=2, score=0.2), version=2)
    put(log, rows(24, first=48, score=0.3), window=later)
    put(log, rows(48))
    put(log, rows(5, score=0.9), SECOND)
    found = scores(log)
    assert found["asked", 1] == 0.1
    assert sum(version == 2 for _, version in found) == 48
    assert sum(version == 1 for _, version in found) == 6
    assert set(scores(log, later).values()) == {0.3}


def test_rows_that_break_off_leave_the_table_as_it_was(log: PredictionLog) -> None:
    put(log, rows(48))

    def broken() -> Iterator[pa.RecordBatch]:
        yield from rows(7, score=0.9).to_batches()
        raise OSError("the file with the rows is gone")

    reader = pa.RecordBatchReader.from_batches(rows(0).schema, broken())
    with pytest.raises((UnavailableError, OSError)):
        log.replace_window(MODEL, TWO_DAYS, 1, reader, SECOND)
    assert set(scores(log).values()) == {0.5}
    assert len(scores(log)) == 48


def test_a_table_is_made_by_whoever_comes_first(tmp_path: Path) -> None:
    """Ten runs of one window at once: one set of rows, every loser told to come again."""

    def run(number: int) -> str:
        try:
            return str(put(DeltaPredictionLog(str(tmp_path)), rows(48)))
        except (ConflictError, UnavailableError):
            return "again"

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(run, range(10)))
    log = DeltaPredictionLog(str(tmp_path))
    assert "True" in said
    assert not put(log, rows(48))
    dataset = log._open(f"predictions/{MODEL}").to_pyarrow_dataset()
    assert dataset.count_rows() == 48


def test_a_window_in_the_middle_of_a_day_is_refused(tmp_path: Path) -> None:
    half = Window(START + timedelta(hours=12), START + timedelta(days=2))
    with pytest.raises(RequestError, match="not of whole days"):
        put(DeltaPredictionLog(str(tmp_path)), rows(24), window=half)


def test_a_store_that_refuses_is_unavailable(tmp_path: Path) -> None:
    log = DeltaPredictionLog(str(tmp_path))
    put(log, rows(48))
    part = next((tmp_path / "predictions" / MODEL / "_delta_log").glob("*.json"))
    part.write_text("this is no log")
    with pytest.raises(UnavailableError):
        put(log, rows(48), SECOND)


@pytest.mark.parametrize("make", [DeltaPredictionLog, SegmentedPredictionLog])
def test_a_scoring_run_on_real_tables(make: type[DeltaPredictionLog], tmp_path: Path) -> None:
    """Scored, scored again, corrected, scored by a newer champion, outcomes recorded: each once."""
    life = build_life(tmp_path, BATCH_YAML)
    log = make(str(tmp_path / "tables"))
    life.services = replace(life.services, predictions=log)
    release(life)
    window = Window.ending(datetime(2013, 6, 1, tzinfo=UTC), timedelta(days=2))
    table = f"{tmp_path}/tables/predictions/toy"

    def score(run: str) -> tuple[bool, int, int]:
        """Whether something was written, rows in the table, rows that are served."""
        done = life.do("score_window", run)
        return done["written"], DeltaTable(table).to_pyarrow_dataset().count_rows(), len(log.served("toy", window))

    assert score("one") == (True, 96, 96)
    assert score("two") == (False, 96, 96)
    code = life.services.specs.module_path("toy")
    code.write_text(MODEL_PY.replace('"x": x, "y": y})', '"x": x + 1, "y": y})[hours.hour != 5]'))
    assert score("three") == (True, 92, 92)
    code.write_text(MODEL_PY)
    assert score("four") == (True, 96, 96)
    life.clock.advance(timedelta(hours=1))
    release(life)
    assert score("five") == (True, 192, 192)
    for run, recorded in (("o1", 96), ("o2", 0)):
        assert life.do("record_outcomes", run, as_of="2013-06-02")["recorded"] == recorded
    served = log.served("toy", window)
    assert served["label"].notna().all()
    assert set(served["version"]) == {1, 2}
