"""Every check that is promised is really asked of a window: level and trend, for each kind of model.

Families have tests of their own, and those pass when nobody calls the family any more. These do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.served_days import DAY, FIRST, classified, predicted, profile_on, reading_on, scored
from tests.unit.specs import a_data_section, a_spec

from steward.gates import Outcome
from steward.monitoring.checks.judging import judge
from steward.spec import ModelSpec

FEATURES: dict[str, Any] = {
    "x": {"type": "number", "min": -9, "max": 9, "max_missing": 0.5},
    "hub": {"type": "category"},
    "remark": {"type": "text"},
}
OF_EACH = {
    "drift": {"domain_classifier": {"max": 0.65}, "attribution": {"min": 0.9}},
    "calibration": {"max": 0.05},
    "error_rate": {"max": 0.02},
    "p50_latency": {"max": "100ms"},
    "p95_latency": {"max": "200ms"},
    "p99_latency": {"max": "250ms"},
    "throughput": {"capacity": 10},
    "completeness": {"min": 0.5},
    "min_rows": 200,
}
FAIRNESS = {
    "demographic_parity_ratio": {"min": 0.8},
    "equalized_odds_difference": {"max": 0.2},
    "adverse_action_rate": {"max": 0.95},
    "accuracy_difference": {"max": 0.2},
}
INPUTS = {
    "drift.psi:x", "drift.psi:hub", "drift.psi:remark", "drift.prediction_psi",  # 1, 6
    "data.missing:x", "drift.missing:x", "drift.trend_missing:x",  # 2
    "data.range:x", "drift.levels:hub",  # 3, 4
    "drift.unseen_words:remark", "drift.words:remark", "drift.domain_classifier", "drift.attribution",
}  # fmt: skip
SERVICE = {
    "performance.calibration",  # 7
    "operation.p50_latency", "operation.p95_latency", "operation.p99_latency",  # 13
    "operation.error_rate", "operation.unscored", "operation.throughput",  # 14, 15
    "data.freshness", "data.completeness", "data.volume", "data.clock",  # 16
    "data.outcomes:late", "data.outcomes:early", "data.outcomes:corrected", "data.outcomes:doubled",
    "monitor.rows", "monitor.quiet", "monitor.labels",
}  # fmt: skip
BUSINESS = {"correlation": {"min": 0.1}}
CONFIDENCE = {"drift.confidence", "drift.trend_confidence"}  # 7
GROUPS = {
    "fairness.demographic_parity_ratio:sex", "fairness.trend_parity:sex", "fairness.equalized_odds_difference:sex",
    "fairness.adverse_action_rate:sex", "fairness.accuracy_difference:sex",
}  # fmt: skip

TASKS: dict[str, tuple[Callable[..., pd.DataFrame], dict[str, Any], set[str]]] = {
    "binary_classification": (
        scored,
        {
            "performance": {"roc_auc": {"max_drop": 0.05}},
            "estimated": {"accuracy": {"max_drop": 0.05}},
            "fairness": FAIRNESS,
            "business": BUSINESS,
        },
        {"performance.roc_auc", "performance.business", "drift.estimated:accuracy", *CONFIDENCE, *GROUPS},
    ),
    "multiclass_classification": (
        classified,
        {"performance": {"accuracy": {"max_drop": 0.05}}, "estimated": {"accuracy": {"max_drop": 0.05}}},
        {"performance.accuracy", "drift.estimated:accuracy", *CONFIDENCE},
    ),
    "regression": (
        predicted,
        {
            "performance": {"mae": {"max_rise": 2}},
            "estimated": {"mae": {"max_rise": 2}},
            "calibration": {"max": 9},
            "business": BUSINESS,
        },
        {"performance.mae", "performance.business", "drift.estimated:mae"},  # 8
    ),
}


def a_watched(task: str, **monitoring: Any) -> ModelSpec:
    label: dict[str, Any] = {"column": "late", "arrives_after": "1h"}
    if task == "multiclass_classification":
        label["classes"] = ["early", "on time", "late"]
    groups = {"protected": ["sex"]} if "fairness" in monitoring else {}
    metric = {"regression": {"mae": {"max": 9}}, "binary_classification": {"roc_auc": {"min": 0.6}}}
    return a_spec(
        task=task,
        data=a_data_section({**FEATURES, **({"sex": {"type": "category"}} if groups else {})}, label=label, **groups),
        evaluation={"holdout": {"days": 14}, "metrics": metric.get(task, {"accuracy": {"min": 0.5}})},
        monitoring={**OF_EACH, **monitoring},
    )


def rows_of(kind: Callable[..., pd.DataFrame]) -> Callable[[np.random.Generator, int], pd.DataFrame]:
    def rows(draw: np.random.Generator, count: int) -> pd.DataFrame:
        return kind(draw, count).assign(
            remark=draw.choice(["late crew", "weather at the hub", "none"], count), sex=draw.choice(["f", "m"], count)
        )

    return rows


def a_month(draw: np.random.Generator, kind: Callable[..., pd.DataFrame]) -> Sequence[pd.DataFrame]:
    return [_served(draw, rows_of(kind)(draw, 60), FIRST + place * DAY) for place in range(28)]


def _served(draw: np.random.Generator, rows: pd.DataFrame, day: Any) -> pd.DataFrame:
    at = pd.Series(day + pd.to_timedelta(np.sort(draw.random(len(rows))) * 86_400, unit="s"))
    logged = rows.rename(columns={name: f"f_{name}" for name in (*FEATURES, "sex")})
    return logged.assign(
        at=at, recorded_at=at, observed_at=at + timedelta(hours=1), told=1, labels_told=1, source="desk",
        latency_ms=draw.gamma(4, 10, len(rows)), value=logged["score"] + draw.normal(size=len(rows)),
    )  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_every_check_speaks_of_a_window_of_any_kind_of_model(task: str) -> None:
    kind, monitoring, own = TASKS[task]
    spec, draw = a_watched(task, **monitoring), np.random.default_rng(3)
    frames = a_month(draw, kind)
    rows = rows_of(kind)
    reading = reading_on(spec, profile_on(spec, rows, rows=200), frames, now=DAY)
    features = list(spec.data.features)
    asked = replace(
        reading,
        sample=lambda: rows(draw, 300)[features],
        reference=lambda: rows(draw, 300)[features],
        predict=lambda frame: np.zeros(len(frame)),
    )
    verdict = judge(asked)
    assert {finding.gate for finding in verdict.findings} >= INPUTS | SERVICE | own
    assert not [finding.reason for finding in verdict.findings if finding.outcome is Outcome.FAILED]
