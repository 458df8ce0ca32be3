"""Recorders and folders to be killed: `python -m tests.faults.recorder_under_test FOLDER`.

Imports once, then forks a child for every line it reads: `record NAME` answers requests without end and notes each
answered one in FOLDER/NAME; `fold` folds without end. Prints the child's process id.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from tests.unit.serving.conftest import MODEL, ROW, make_spec

from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.serving.answers.contract import Batch
from steward.serving.log.answered_rows import Answered, FeatureLayout
from steward.serving.log.recorder import PredictionRecorder
from steward.serving.log.row_counts import RowCount
from steward.types import Role

INTERVAL = 0.2
NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)


def answered(name: str, number: int, layout: FeatureLayout) -> Answered:
    batch = Batch(1, {feature: [value] for feature, value in ROW.items()}, frozenset())
    return Answered(
        model=MODEL,
        version=1,
        role=Role.CHAMPION,
        epoch=1,
        key="k",
        decision_ids=[f"{name}-{number:06d}"],
        at=NOON,
        recorded_at=datetime.now(UTC),
        latency_ms=1.0,
        error=None,
        scores=np.array([0.5]),
        source=None,
        logged=layout.keep(batch),
        layout=layout,
    )


def record(folder: Path, name: str) -> None:
    """First what the start found lost, then a line for each answered request: its id and when."""
    lost = [0]

    def on_lost(model: str, rows: int) -> None:
        lost[0] += rows

    count = RowCount(folder / "count")
    notes = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(notes, f"lost {count.lost_before}\n".encode())
    recorder = PredictionRecorder(SegmentedPredictionLog(folder / "tables"), count, on_lost, INTERVAL)
    layout = FeatureLayout(make_spec(), b"k" * 32)
    recorder.start()
    number = 0
    while True:
        recorder.record(answered(name, number, layout))
        state = "failing" if recorder.failing_since else "ok"
        os.write(notes, f"{name}-{number:06d} {time.monotonic()} {state}\n".encode())
        number += 1
        time.sleep(0.001)


def fold(folder: Path) -> None:
    log = SegmentedPredictionLog(folder / "tables")
    while True:
        log.maintain(MODEL, datetime(2010, 1, 1, tzinfo=UTC))


def main(folder: Path) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead need no one to bury them
    for line in sys.stdin:
        action, *names = line.split()
        if child := os.fork():
            print(child, flush=True)
        else:
            record(folder, *names) if action == "record" else fold(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
