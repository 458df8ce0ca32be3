"""A drift check of 100,000 rows × 50 features against the stored profile of a reference of a million rows, beside
Evidently's PSI preset on the same rows; and how the monitor's pass over the prediction log grows with columns and rows.

Each measurement is a process of its own, of one thread: CPU seconds of all it does, and the peak of its memory. The
ratio is what to compare between machines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.unit.specs import a_data_section, a_spec

from steward.adapters.delta_predictions import DeltaPredictionLog
from steward.monitoring.profiles.profile import build_profile
from steward.spec import ModelSpec
from steward.types import Window

ROWS, FEATURES, REFERENCE_ROWS = 100_000, 50, 1_000_000
MONDAY = Window(datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 4, 2, tzinfo=UTC))
PROGRAM = Path(__file__).with_name("drift_process.py")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]


def the_spec(features: int) -> ModelSpec:
    """A fifth of them categories."""
    levels = features // 5
    kinds = {f"n{i}": {"type": "number"} for i in range(features - levels)}
    kinds |= {f"c{i}": {"type": "category"} for i in range(levels)}
    return a_spec(data=a_data_section(kinds), monitoring={"min_rows": 1000, "window": {"days": 1}})


def a_frame(spec: ModelSpec, rows: int, seed: int) -> pd.DataFrame:
    draw, names = np.random.default_rng(seed), [f"level {i}" for i in range(20)]
    columns: dict[str, Any] = {}
    for name in spec.data.features:
        codes = draw.integers(0, 20, rows) if name.startswith("c") else None
        column = draw.normal(size=rows) if codes is None else pd.Categorical.from_codes(codes, names).astype(object)
        columns[f"f_{name}"] = column
    return pd.DataFrame({**columns, "score": draw.random(rows)})


def store(spec: ModelSpec, log: Path, frames: Iterator[pd.DataFrame]) -> None:
    """Into the prediction log, as servers' segments are folded: a commit per frame."""
    predictions, start = DeltaPredictionLog(str(log)), 0
    for frame in frames:
        rows = len(frame)
        ids = [f"{place:032x}" for place in range(start, start + rows)]
        at = MONDAY.start + pd.to_timedelta(np.arange(rows) * 86_000_000 // rows, "ms")
        given = {"decision_id": ids, "version": 1, "role": "champion", "epoch": 1, "at": at, "recorded_at": at}
        told = pd.DataFrame({**given, "latency_ms": 2.5, "source": "desk"}, index=frame.index)
        predictions.append(spec.model, pa.Table.from_pandas(pd.concat([told, frame], axis=1), preserve_index=False))
        start += rows


def write_profile(spec: ModelSpec, folder: Path, reference: pd.DataFrame) -> tuple[float, int]:
    """→ CPU seconds of building it, its bytes."""
    plain = reference.rename(columns=lambda name: name.removeprefix("f_"))
    started = time.process_time()
    profile = json.dumps(build_profile(spec, plain, reference["score"], np.full(len(reference), np.nan)))
    building = time.process_time() - started
    (folder / "profile.json").write_text(profile)
    about = {"spec": spec.model_dump(mode="json"), "features": list(spec.data.features), "window": MONDAY.to_json()}
    (folder / "about.json").write_text(json.dumps(about))
    return building, len(profile)


def measured(program: str, folder: Path) -> dict[str, Any]:
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, PROGRAM, program, folder], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_a_drift_check_beside_evidently(report: Report, tmp_path: Path) -> None:
    spec = the_spec(FEATURES)
    reference, current = a_frame(spec, REFERENCE_ROWS, seed=0), a_frame(spec, ROWS, seed=1)
    building, size = write_profile(spec, tmp_path, reference)
    for side, frame in (("reference", reference), ("current", current)):
        frame.to_parquet(tmp_path / f"{side}.parquet")
    store(spec, tmp_path / "log", iter([current]))
    del reference, current
    ours, theirs = measured("steward", tmp_path), measured("evidently", tmp_path)
    assert (ours["rows"], theirs["rows"], theirs["reference"]) == (ROWS, ROWS, REFERENCE_ROWS)
    assert (ours["failed"], theirs["drifted"]) == ([], 0)  # no drift: both say so
    alone, beside = ours["cpu"]["check alone"], theirs["cpu"]["check alone"]
    mine, other = (whole_process(found, ends) for found, ends in ((ours, "log to verdict"), (theirs, "check alone")))
    what = f"A drift check, {ROWS:,} rows × {FEATURES} features against {REFERENCE_ROWS:,}"
    report.headline(f"{what}, beside Evidently's PSI", alone, beside, "CPU s")
    report.headline("… with the start of the process and reading", mine, other, "CPU s")
    report.headline("… peak of memory", ours["peak_mb"]["log to verdict"], theirs["peak_mb"]["check alone"], "MB")
    report.table(
        what,
        "Steward's check",
        Figure(f"Steward, against a stored profile of {size / 1024:.0f} KiB", alone, "CPU s", 1.0),
        Figure("… the first time in a process", ours["cpu"]["first check alone"], "CPU s"),
        Figure("Evidently's PSI preset, reference rows in memory", beside, "CPU s", beside / alone),
        Figure("Steward's process, from its start through the log to the verdict", mine, "CPU s", 1.0),
        Figure("Evidently's process, from its start through Parquet to the verdict", other, "CPU s", other / mine),
        Figure("… memory of Steward's after importing", ours["peak_mb"]["start"], "MB"),
        Figure("… and at its peak", ours["peak_mb"]["log to verdict"], "MB", 1.0),
        Figure("… Evidently's", theirs["peak_mb"]["check alone"], "MB",
               theirs["peak_mb"]["check alone"] / ours["peak_mb"]["log to verdict"]),
        Figure("building the profile, once a version", building, "CPU s"),
    )  # fmt: skip


def whole_process(found: dict[str, Any], last: str) -> float:
    """CPU seconds until the end of that phase."""
    phases = list(found["cpu"])
    return sum(found["cpu"][phase] for phase in phases[: phases.index(last) + 1])


@pytest.mark.parametrize("features", [10, 50, 200])
def test_growth_with_columns_and_rows(report: Report, tmp_path: Path, features: int) -> None:
    spec, figures = the_spec(features), []
    piece = a_frame(spec, ROWS, seed=1)
    write_profile(spec, tmp_path, a_frame(spec, 20_000, seed=0))
    base = 0.0
    for rows in (ROWS, 3 * ROWS, 10 * ROWS):
        store_more(spec, tmp_path / "log", piece, rows)
        found = measured("steward", tmp_path)
        assert found["rows"] == rows
        seconds, above = found["cpu"]["log to verdict"], grown(found)
        base = base or seconds
        figures += [
            Figure(f"{rows:,} rows × {features} features, log to verdict", seconds, "CPU s", seconds / base),
            Figure("… memory above that of the start", above, "MB"),
        ]
    report.table(f"The monitor's pass over {features} features", f"{ROWS:,} rows", *figures)


def grown(found: dict[str, Any]) -> float:
    """MB of the peak above what importing took."""
    return found["peak_mb"]["log to verdict"] - found["peak_mb"]["start"]


def store_more(spec: ModelSpec, log: Path, piece: pd.DataFrame, rows: int) -> None:
    """A new log of so many rows; one day of them."""
    import shutil

    shutil.rmtree(log, ignore_errors=True)
    store(spec, log, (piece for _ in range(rows // len(piece))))
