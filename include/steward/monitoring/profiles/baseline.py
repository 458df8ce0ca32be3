"""What a version did on its hold-out, as the profile keeps it for later: performance overall and per slice, with the
spread between days; how well its scores were calibrated; and what an estimate without outcomes needs.

The hold-out is counted as served days are, so that a later difference is one of the rows and not of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steward.errors import DataError
from steward.gates.measurement import MIN_ROWS, known_rows, measure
from steward.gates.metrics import METRICS
from steward.gates.slices import parse_slice
from steward.gates.verdict import OVERALL
from steward.monitoring.performance.calibrator import Calibrator
from steward.monitoring.performance.estimating import estimator
from steward.monitoring.performance.measuring import between_days, error_of_mean, jackknife, measure_tally
from steward.monitoring.statistics.day_errors import MIN_DAYS
from steward.monitoring.tallies import OutcomeTally, Tally
from steward.spec.model import ModelSpec, Task
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd

    Floats = NDArray[np.float64]

_BINS = 10


def baseline(
    spec: ModelSpec, scores: Floats, labels: Floats, threshold: float, holdout: pd.DataFrame | None = None
) -> JsonObject:
    """→ `performance`, `slices` and `calibration` of a profile.

    `holdout`: the rows behind the scores, with the columns of slices and the time; without it nothing is known of
    slices and days. Raises DataError when rows and scores do not align.
    """
    if holdout is not None and len(holdout) != len(scores):
        raise DataError(f"{len(scores)} scores and {len(holdout)} rows of the hold-out do not align")
    edges = _edges(spec, scores)
    stub = {"features": {}, "threshold": threshold, "calibration": {"edges": edges}, "score": None}
    days = list(_counted_days(spec, stub, scores, labels, holdout))
    whole = Tally.total("", days)
    return {
        "performance": _performance(spec, scores, labels, threshold, [day.overall for day in days]),
        "slices": dict(_slices(spec, whole, days, threshold)),
        "calibration": _calibration(spec, edges, scores, labels, threshold, days),
    }


def metrics_of(spec: ModelSpec) -> list[str]:
    return [metric.name for metric in METRICS.values() if spec.task in metric.tasks]


def class_count(spec: ModelSpec) -> int:
    return len(spec.data.label.classes or (0, 1))


def _counted_days(
    spec: ModelSpec, stub: JsonObject, scores: Floats, labels: Floats, holdout: pd.DataFrame | None
) -> Iterator[Tally]:
    import pandas as pd

    from steward.monitoring.tallies.counting import tally_of

    frame = pd.DataFrame({"label": labels, "score": scores if scores.ndim == 1 else scores.argmax(axis=1)})
    if scores.ndim == 2:
        frame["probabilities"] = list(scores)
    if holdout is None:
        yield tally_of(spec, stub, "", frame)
        return
    for column in _sliced_by(spec, holdout):
        frame[f"g_{column}"] = holdout[column].to_numpy()
    for day in _days(spec, holdout):
        yield tally_of(spec, stub, "", frame[day])


def _sliced_by(spec: ModelSpec, holdout: pd.DataFrame) -> list[str]:
    parsed = [parse_slice(text) for text in spec.evaluation.slices]
    named = [name for each in parsed for name in ([each] if isinstance(each, str) else [c.column for c in each])]
    return [name for name in dict.fromkeys(named) if name in holdout.columns]


def _days(spec: ModelSpec, holdout: pd.DataFrame) -> list[NDArray[np.bool_]]:
    import pandas as pd

    if spec.data.time not in holdout.columns:
        return [np.ones(len(holdout), np.bool_)]
    instants = pd.to_datetime(holdout[spec.data.time], utc=True, errors="coerce")
    day, _ = pd.factorize(instants.dt.floor("D"), sort=True)  # −1 where the time cannot be read
    return [day == each for each in np.unique(day)]


# --- performance --------------------------------------------------------------------------------------


def _performance(
    spec: ModelSpec, scores: Floats, labels: Floats, threshold: float, days: Sequence[OutcomeTally]
) -> JsonObject:
    """Every metric of the task: what monitoring measures a fall from."""
    known = known_rows(labels)
    found: JsonObject = {}
    for name in metrics_of(spec):
        measured = measure(name, labels[known], scores[known], threshold=threshold)
        found[name] = _with_days(measured.to_json(), name, days, threshold, class_count(spec))
    return found


def _with_days(
    found: JsonObject, name: str, days: Sequence[OutcomeTally], threshold: float, classes: int
) -> JsonObject:
    """The larger of both errors: of independent rows, and of days that differ."""
    told = [day for day in days if day.rows]
    if found["value"] is None or len(told) < MIN_DAYS:
        return found
    apart = between_days(name, told, threshold, classes) or 0.0
    return found if apart <= found["error"] else {**found, "error": apart, "days": len(told)}


def _slices(spec: ModelSpec, whole: Tally, days: Sequence[Tally], threshold: float) -> Iterator[tuple[str, JsonObject]]:
    """Slices with enough rows, and their metrics."""
    classes = class_count(spec)
    for part, counted in whole.outcomes.items():
        if part == OVERALL or counted.rows < spec.evaluation.slice_min_rows:
            continue
        own = [day.outcomes.get(part, OutcomeTally()) for day in days]
        yield (
            part,
            {
                name: _with_days(
                    measure_tally(name, counted, threshold, classes).to_json(), name, own, threshold, classes
                )
                for name in spec.monitoring.performance
            },
        )


# --- calibration --------------------------------------------------------------------------------------


def _said(spec: ModelSpec, scores: Floats) -> Floats:
    """What is held against outcomes: the score, or the probability of the class that was decided for."""
    return scores.max(axis=1) if scores.ndim == 2 else scores


def _edges(spec: ModelSpec, scores: Floats) -> list[float]:
    """Inner edges of tenths of the scores, as the bins of the score have them."""
    said = _said(spec, scores)
    known = said[np.isfinite(said)]
    if not len(known):
        return []
    return np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])).tolist()


def _calibration(
    spec: ModelSpec, edges: list[float], scores: Floats, labels: Floats, threshold: float, days: Sequence[Tally]
) -> JsonObject:
    whole = Tally.total("", days).overall
    pairs = list(whole.calibration)
    found: JsonObject = {
        "edges": edges,
        "rows": [said.n for said, _ in pairs],
        "said": [said.mean for said, _ in pairs],
        "seen": [seen.mean for _, seen in pairs],
        "estimate": _estimate(spec, edges, scores, labels, threshold),
    }
    return {**found, "estimated": _estimated(spec, found, days), "confidence": _between_confidences(days)}


def _between_confidences(days: Sequence[Tally]) -> JsonObject | None:
    """How the mean confidence differs between days; None where too few days tell."""
    each = [day.answers.confidence for day in days if day.answers.confidence.n]
    if len(each) < MIN_DAYS:
        return None
    return {"error": error_of_mean(each), "days": len(each)}


def _estimate(
    spec: ModelSpec, edges: list[float], scores: Floats, labels: Floats, threshold: float
) -> JsonObject | None:
    said = _said(spec, scores)
    known = known_rows(labels) & np.isfinite(said)
    said, labels, scores = said[known], labels[known], scores[known]
    if spec.task is Task.REGRESSION:
        return _errors_by_bin(edges, said, labels)
    if spec.task is Task.MULTICLASS and scores.ndim == 2:
        return _line(said, (scores.argmax(axis=1) == labels).astype(np.float64))
    return _map(said, labels, threshold)


def _map(scores: Floats, labels: Floats, threshold: float) -> JsonObject | None:
    from steward.monitoring.tallies.answer_counts import cells_of

    fitted = Calibrator.fit(scores, labels)
    if fitted is None or scores.min() < 0 or scores.max() > 1:
        return None
    cells, counts = np.unique(cells_of(scores), return_counts=True)
    by_cell = {str(cell): int(count) for cell, count in zip(cells, counts, strict=True)}
    return {"kind": "scores", "threshold": threshold, **fitted.to_json(), "cells": by_cell}


def _line(confidence: Floats, right: Floats) -> JsonObject | None:
    """Least squares: the mean of a straight line is the line at the mean, so that moments suffice."""
    from steward.monitoring.tallies import Moments

    found = Moments.of(confidence)
    if found.n < 2 * MIN_ROWS or found.variance == 0:
        return None
    slope = float((confidence - found.mean) @ (right - right.mean()) / found.m2)
    off = right - right.mean() - slope * (confidence - found.mean)
    return {
        "kind": "confidence",
        "slope": slope,
        "intercept": float(right.mean() - slope * found.mean),
        "slope_error": float(np.sqrt(off @ off / (found.n - 2) / found.m2)),
        "confidence": found.to_json(),
    }


def _errors_by_bin(edges: list[float], said: Floats, labels: Floats) -> JsonObject | None:
    if len(said) < 2 * MIN_ROWS:
        return None
    place, off = np.searchsorted(edges, said, side="right"), np.abs(said - labels)
    found: JsonObject = {"kind": "predictions", "rows": np.bincount(place, minlength=len(edges) + 1).tolist()}
    for name, losses in (("absolute_error", off), ("squared_error", off * off)):
        each = [losses[place == bin_] if (place == bin_).sum() > 1 else losses for bin_ in range(len(edges) + 1)]
        found[name] = [float(part.mean()) for part in each]
        found[f"{name}_variance"] = [float(part.var(ddof=1) / len(part)) for part in each]
    return found


def _estimated(spec: ModelSpec, calibration: JsonObject, days: Sequence[Tally]) -> JsonObject:
    """What the estimate makes of the hold-out itself, and how it differs between its days."""
    found = estimator(calibration)
    if found is None:
        return {}
    vectors = np.stack([found.read_labelled(day.overall) for day in days if day.overall.rows])
    sizes = [day.overall.rows for day in days if day.overall.rows]
    apart = vectors.sum(axis=0) - vectors
    estimated: JsonObject = {}
    for name in sorted(found.metrics & set(metrics_of(spec))):
        value = float(found.values(name, vectors.sum(axis=0)[None])[0])
        error = jackknife(value, found.values(name, apart), sizes) if len(sizes) >= MIN_DAYS else None
        estimated[name] = {"value": value, "error": error, "days": len(sizes)}
    return estimated
