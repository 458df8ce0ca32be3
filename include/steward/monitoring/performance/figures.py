"""What outcomes and estimates said of a window, whether the spec sets limits or not: kept in its evidence."""

from __future__ import annotations

import math

from steward.monitoring.checks.calibration import reliability
from steward.monitoring.due import due_outcomes
from steward.monitoring.performance.estimating import estimator
from steward.monitoring.performance.measuring import measure_tally
from steward.monitoring.profiles.baseline import class_count, metrics_of
from steward.monitoring.reading import Reading
from steward.types import JsonObject


def performance_figures(reading: Reading) -> JsonObject:
    """`metrics` by name and `reliability` of the outcomes that are due, `labelled` their share of what is due;
    `estimated` by metric from all answers."""
    due, threshold = due_outcomes(reading), reading.profile.get("threshold", 0.5)
    classes = class_count(reading.spec)
    metrics = {
        name: measure_tally(name, due.overall, threshold, classes).to_json() for name in metrics_of(reading.spec)
    }
    return {
        "labelled": due.share,
        "metrics": metrics if due.overall.rows else {},
        "reliability": reliability(reading),
        "estimated": _estimated(reading),
    }


def _estimated(reading: Reading) -> dict[str, float]:
    found = estimator(reading.profile.get("calibration"))
    if found is None:
        return {}
    vector = found.read(reading.tally.answers)
    values = {
        name: float(found.values(name, vector[None])[0])
        for name in sorted(found.metrics & set(metrics_of(reading.spec)))
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}
