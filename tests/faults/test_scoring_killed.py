"""A scoring run that is killed anywhere: a window is in the table as a whole or not at all."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.types import Window

pytestmark = pytest.mark.faults

KILLS, ROWS = 12, 20_000
DAY = Window(datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 4, 2, tzinfo=UTC))
# Replaces the same window over and over, with other rows each time, and says when it begins and when it is done.
WRITER = f"""
import sys
from datetime import UTC, datetime, timedelta
import pyarrow as pa
from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.types import Window, digest_of

root, first = sys.argv[1], int(sys.argv[2])
start = datetime(2013, 4, 1, tzinfo=UTC)
window, log = Window(start, start + timedelta(days=1)), SegmentedPredictionLog(root)
instant = pa.timestamp("us", "UTC")
for number in range(first, first + 1000):
    rows = pa.table({{
        "decision_id": pa.array([f"d{{n}}" for n in range({ROWS})]),
        "version": pa.array([1] * {ROWS}, pa.int32()),
        "role": pa.array(["champion"] * {ROWS}),
        "at": pa.array([start + timedelta(seconds=n % 80000) for n in range({ROWS})], instant),
        "recorded_at": pa.array([start] * {ROWS}, instant),
        "score": pa.array([float(number)] * {ROWS}),
        "source": pa.array(["score"] * {ROWS}),
    }})
    print("begun", number, flush=True)
    log.replace_window("m", window, 1, rows.to_reader(max_chunksize=1000), digest_of(number))
    print("done", number, flush=True)
"""


def run_and_kill(root: Path, first: int, after: float) -> tuple[int, int]:
    """The last number that was begun, and the last that was acknowledged; -1 for none."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(root), str(first)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "it never began"
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        said = [f"begun {first}", *process.stdout.read().splitlines()]
    finally:
        process.kill()
        process.wait(10)
    told = {word: [int(line.split()[1]) for line in said if line.startswith(word)] for word in ("begun", "done")}
    return max(told["begun"]), max(told["done"], default=-1)


def test_kills_leave_whole_windows(tmp_path: Path) -> None:
    draw, begun, acknowledged = random.Random(7), 0, -1
    for _ in range(KILLS):
        begun, done = run_and_kill(tmp_path, begun + 1, draw.uniform(0.0, 0.4))
        acknowledged = max(acknowledged, done)
        try:
            rows = DeltaTable(f"{tmp_path}/predictions/m").to_pandas()
        except TableNotFoundError:
            assert acknowledged < 0
            continue
        scores = set(rows["score"])
        assert len(rows) in (0, ROWS)
        assert len(scores) <= 1, "rows of two runs stand beside each other"
        assert acknowledged < 0 or acknowledged <= max(scores) <= begun
    assert acknowledged >= 0, "no run was ever acknowledged: the kills came too early to prove anything"
    served = SegmentedPredictionLog(tmp_path).served("m", DAY, ["decision_id"])
    assert len(served) == served["decision_id"].nunique() == ROWS
