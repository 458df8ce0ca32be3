"""A step reads the same whatever log it was kept in, an empty one too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from steward.actions.releases.observing import observe
from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.data import PREDICTION_COLUMNS
from steward.rollout.analysis import Observation
from steward.spec import Deployment, Task
from steward.testing.builders import a_rollout
from steward.testing.data_stores import FakePredictionLog

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=9)
SHADOWED = Deployment.model_validate(
    {
        "steps": [0, 50, 100],
        "bake": {"requests": 30, "at_most": "1h"},
        "smoke": "model:examples",
        "guardrails": {
            "error_rate": {"max": 0.01},
            "p99_latency": {"max": "250ms"},
            "prediction_psi": {"max": 0.25},
            "disagreement": {"max": 0.1},
            "outcome": {"measure": "absolute_error", "max_drop": 0.5, "min_rows": 20},
        },
    }
)
TYPES = {"string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64()}


@pytest.fixture(params=["fake", "segments"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return FakePredictionLog() if request.param == "fake" else SegmentedPredictionLog(tmp_path)


def look(kept: Any, percent: int) -> Observation:
    services: Any = SimpleNamespace(predictions=kept, wall=lambda: NOW + timedelta(minutes=1))
    data = SimpleNamespace(label=SimpleNamespace(classes=None))
    spec: Any = SimpleNamespace(model="toy", deployment=SHADOWED, task=Task.REGRESSION, data=data)
    return observe(services, spec, a_rollout(model="toy", version=2, previous=1, percent=percent, step_wall_at=NOW))


def answers(version: int, role: str, scores: Any, errors: int = 0) -> pa.Table:
    rows = len(scores)
    told: dict[str, Any] = {name: [None] * rows for name in PREDICTION_COLUMNS} | {
        "decision_id": [f"d{row}" for row in range(rows)],
        "version": [version] * rows,
        "role": [role] * rows,
        "epoch": [1] * rows,
        "at": [NOW] * rows,
        "recorded_at": [NOW + timedelta(milliseconds=row + 1) for row in range(rows)],
        "latency_ms": [300.0] + [2.0] * (rows - 1),
        "error": ["timeout"] * errors + [None] * (rows - errors),
        "score": scores,
    }
    instant = pa.timestamp("us", "UTC")
    return pa.table(told, schema=pa.schema([(n, TYPES.get(t, instant)) for n, t in PREDICTION_COLUMNS.items()]))


@pytest.mark.parametrize("percent", [0, 50, 100])
def test_nothing_is_nothing(kept: Any, percent: int) -> None:
    observed = look(kept, percent)
    assert (observed.canary.requests, observed.canary.p99, observed.psi) == (0, None, None)
    assert (observed.champion is None) == (percent == 100)


def test_a_shadow_step(kept: Any) -> None:
    kept.append("toy", answers(1, "champion", np.linspace(0, 10, 60)))
    kept.append("toy", answers(2, "shadow", np.linspace(0, 10, 60) + 0.1, errors=2))
    kept.append("toy", answers(2, "tester", np.zeros(60)))
    instant = pa.timestamp("us", "UTC")
    told = {"decision_id": ["d59"], "label": [11.0], "observed_at": [LATER], "recorded_at": [LATER]}
    types = [("decision_id", pa.string()), ("label", pa.float64()), ("observed_at", instant), ("recorded_at", instant)]
    kept.append_outcomes("toy", pa.table(told, schema=pa.schema(types)))
    observed = look(kept, 0)
    assert (observed.canary.requests, observed.canary.errors, observed.canary.late) == (60, 2, 1)
    assert observed.canary.kinds == {"timeout": 2}
    assert observed.champion is not None
    assert observed.champion.requests == 60
    assert observed.pairs is not None
    assert np.sum(observed.pairs.compared) >= 58
    assert np.sum(observed.pairs.differing) == 0
    assert observed.contrast is not None
    assert observed.contrast.canary_mean == pytest.approx(0.9)
    assert observed.contrast.champion_mean == pytest.approx(1.0)
