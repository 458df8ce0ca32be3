"""The prediction log: what it costs a server to store its answers, beside a Delta commit for each batch."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.unit.serving.conftest import MODEL, make_spec

from steward.adapters.delta_predictions import DeltaPredictionLog
from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.serving.answers.contract import Batch
from steward.serving.log.answered_rows import Answered, FeatureLayout, to_table
from steward.types import Role, Window

ROWS, FLUSH = 100_000, 2_000  # rows of a second at 2,000 requests/s
NUMBERS, TEXTS = 14, 6
NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)
DAY = Window(datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 4, 2, tzinfo=UTC))

pytestmark = pytest.mark.bench


def layout() -> FeatureLayout:
    numbers: dict[str, Any] = {f"n{k}": {"type": "number"} for k in range(NUMBERS)}
    return FeatureLayout(make_spec(features={**numbers, **{f"c{k}": {"type": "category"} for k in range(TEXTS)}}), b"")


def requests(count: int, first: int) -> list[Answered]:
    """One row each, as a server keeps them until the next flush."""
    known, scores = layout(), np.array([0.25])
    made = []
    for n in range(first, first + count):
        columns: dict[str, list[Any]] = {f"n{k}": [n * 0.5 + k] for k in range(NUMBERS)}
        columns |= {f"c{k}": [f"level {(n + k) % 50}"] for k in range(TEXTS)}
        batch = Batch(1, columns, frozenset())
        now = datetime.now(UTC)
        routed = (MODEL, 1, Role.CHAMPION, 3, f"key {n}", [f"{n:032x}"], NOON, now)
        made.append(Answered(*routed, 1.5, None, scores, "desk", known.keep(batch), known))
    return made


def cpu(action: Callable[[], Any]) -> float:
    gc.collect()
    started = time.process_time()
    action()
    return time.process_time() - started


def append_all(log: DeltaPredictionLog, tables: list[pa.Table]) -> None:
    for rows in tables:
        log.append(MODEL, rows)


def test_storing(report: Report, tmp_path: Path) -> None:
    segments, delta = SegmentedPredictionLog(tmp_path / "segments"), DeltaPredictionLog(str(tmp_path / "delta"))
    building, tables = 0.0, []
    for first in range(0, ROWS, FLUSH):
        waiting = requests(FLUSH, first)
        started = time.process_time()
        tables.append(to_table(waiting))
        building += time.process_time() - started
    append_all(delta, tables[:1])  # a table is made and everything imported before anything is measured
    append_all(segments, tables[:1])
    appended = cpu(lambda: append_all(segments, tables[1:])) * ROWS / (ROWS - FLUSH)
    committed = cpu(lambda: append_all(delta, tables[1:])) * ROWS / (ROWS - FLUSH)
    small = [rows.slice(0, 1) for rows in tables]
    one_row = cpu(lambda: append_all(segments, small)) / len(small)
    one_commit = cpu(lambda: append_all(delta, small)) / len(small)
    unfolded = cpu(lambda: segments.served(MODEL, DAY, ["decision_id", "score"]))
    folded = cpu(lambda: segments.maintain(MODEL, DAY.start))
    assert len(segments.served(MODEL, DAY, ["decision_id"])) == ROWS
    after = cpu(lambda: segments.served(MODEL, DAY, ["decision_id", "score"]))
    report.headline(
        f"Storing {ROWS:,} predictions as segments, beside a Delta commit per flush", appended, committed, "CPU s"
    )
    report.headline(
        "Storing one prediction as a segment, beside a Delta commit", 1e3 * one_row, 1e3 * one_commit, "CPU ms"
    )
    report.table(
        f"{ROWS:,} one-row answers of {NUMBERS + TEXTS} features, {FLUSH:,} a flush",
        "a Delta commit per flush",
        Figure("a Delta commit per flush", committed, "CPU s", 1.0),
        Figure("appended to segments", appended, "CPU s", appended / committed),
        Figure("made into rows, either way", building, "CPU s", building / committed),
        Figure("folded into Delta by maintenance", folded, "CPU s", folded / committed),
        Figure("read back: two columns, before folding", unfolded, "CPU s", unfolded / committed),
        Figure("read back: two columns, after folding", after, "CPU s", after / committed),
    )
    report.table(
        "One answer a flush: a model that is asked once a second",
        "a Delta commit",
        Figure("a Delta commit", 1e3 * one_commit, "CPU ms", 1.0),
        Figure("appended to a segment", 1e3 * one_row, "CPU ms", one_row / one_commit),
    )
