"""Whatever answers and outcomes hold, the checks of performance say something and raise nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.served_days import (
    binary,
    classified,
    days_of,
    multiclass,
    predicted,
    profile_on,
    reading_on,
    regression,
    scored,
)

from steward.gates import Outcome
from steward.monitoring.checks.calibration import judge_calibration
from steward.monitoring.checks.confidence import judge_confidence
from steward.monitoring.checks.estimation import judge_estimates
from steward.monitoring.checks.performance import judge_performance
from steward.monitoring.performance.figures import performance_figures
from steward.spec import ModelSpec, metrics_of
from steward.types import JsonObject, to_json

FAMILIES = (judge_performance, judge_calibration, judge_estimates, judge_confidence)
SERVED: dict[str, Any] = {
    "binary_classification": scored,
    "multiclass_classification": classified,
    "regression": predicted,
}


def watched(make: Callable[..., ModelSpec], task: str) -> ModelSpec:
    """Every metric of the task, watched and estimated."""
    rules = {name: {"max": 1e9} for name in metrics_of(task)}
    return make(performance=rules, estimated=rules, calibration={"max": 0.05})


TASKS = {
    "binary_classification": watched(binary, "binary_classification"),
    "multiclass_classification": watched(multiclass, "multiclass_classification"),
    "regression": watched(regression, "regression"),
}
ODD: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "an empty day": lambda day: day.head(0),
    "one row": lambda day: day.head(1),
    "no outcome": lambda day: day.assign(label=np.nan),
    "one class": lambda day: day.assign(label=0.0),
    "outcomes that are none": lambda day: day.assign(label=7.5),
    "infinite outcomes": lambda day: day.assign(label=np.inf),
    "outcomes in words": lambda day: day.assign(label="late"),
    "no score": lambda day: day.assign(score=np.nan),
    "scores beyond a chance": lambda day: day.assign(score=day["score"] * 1e12),
    "one score": lambda day: day.assign(score=1.0),
    "every row an error": lambda day: day.assign(error="Timeout"),
    "no such columns": lambda day: day[["x"]],
}


@pytest.fixture(scope="module", params=TASKS)
def known(request: pytest.FixtureRequest) -> tuple[ModelSpec, JsonObject]:
    spec = TASKS[request.param]
    return spec, profile_on(spec, SERVED[request.param], days=6, rows=300)


@pytest.mark.parametrize("trouble", ODD)
@pytest.mark.parametrize("some", [True, False], ids=["one day", "every day"])
def test_nothing_raises_and_nothing_passes_in_silence(
    known: tuple[ModelSpec, JsonObject], trouble: str, some: bool
) -> None:
    spec, profile = known
    frames = days_of(SERVED[spec.task], 8, rows=60)
    odd = [ODD[trouble](frame) if place == 6 or not some else frame for place, frame in enumerate(frames)]
    reading = reading_on(spec, profile, odd)
    found = [finding for family in FAMILIES for finding in family(reading)]
    told = {finding.gate for finding in found}
    assert {f"performance.{name}" for name in spec.monitoring.performance} <= told
    assert {f"drift.estimated:{name}" for name in spec.monitoring.estimated} <= told
    assert "performance.calibration" in told
    assert all(finding.reason and "nan" not in finding.reason for finding in found)
    to_json(performance_figures(reading))
    if not some and trouble in ("an empty day", "no outcome", "no score", "no such columns", "every row an error"):
        judged = [finding for finding in found if finding.gate.startswith("performance.")]
        assert {finding.outcome for finding in judged} == {Outcome.INCONCLUSIVE}
