"""Metrics from counts: of one tally, of several days, of a week that leaves a day out. No row is read again.

`per_row` metrics are exact. Ranking metrics read the cells of the score: two scores within a thousandth are a tie.
Metrics of decisions read the confusion counts; where a tally has none, a cell is decided by its middle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from steward.gates.confusion import DECISION_METRICS, ratio, ratio_error
from steward.gates.measurement import MIN_ROWS, Measurement, empty_ratio, resampled
from steward.monitoring.tallies import CELLS, Moments, OutcomeTally

Floats = NDArray[np.float64]

MIDDLES = (np.arange(CELLS) + 0.5) / CELLS
_RANKING = frozenset({"roc_auc", "average_precision"})
_PER_ROW = {
    "accuracy": "accuracy",
    "log_loss": "log_loss",
    "brier": "squared_error",
    "mae": "absolute_error",
    "rmse": "squared_error",
    "calibration_gap": "residual",
}
_SHAPED: dict[str, Callable[[Floats], Floats]] = {"rmse": np.sqrt, "calibration_gap": np.abs}
_RESAMPLES = 100


def measure_tally(
    metric: str, outcome: OutcomeTally, threshold: float = 0.5, classes: int = 2, *, min_rows: int = MIN_ROWS
) -> Measurement:
    """As `steward.gates.measurement.measure` of the rows behind the counts. KeyError for a metric that is unknown."""
    problem = _problem(metric, outcome, threshold, classes, min_rows)
    if problem is not None:
        return Measurement(metric, None, None, outcome.rows, problem)
    value = float(values(metric, [outcome], np.ones((1, 1)), threshold, classes)[0])
    return Measurement(metric, value, _error(metric, outcome, threshold, classes), outcome.rows)


def values(
    metric: str, parts: Sequence[OutcomeTally], weights: Floats, threshold: float = 0.5, classes: int = 2
) -> Floats:
    """(r,) for `weights` of (r, parts): how often each part counts. NaN where the metric has no value."""
    with np.errstate(invalid="ignore", divide="ignore"):
        if metric in DECISION_METRICS:
            counts = np.stack([confusion_of(part, threshold, classes) for part in parts])
            return ratio(metric, np.einsum("rp,pij->rij", weights, counts))
        if metric in _RANKING:
            cells = np.stack([np.concatenate(by_class(part)) for part in parts])
            return _ranked(metric, weights @ cells)
        moments = [part.per_row.get(_PER_ROW[metric], Moments()) for part in parts]
        rows = np.array([float(each.n) for each in moments])
        sums = rows * np.array([each.mean for each in moments])
        means = weights @ sums / (weights @ rows)
        return _SHAPED.get(metric, np.positive)(means)


def between_days(metric: str, days: Sequence[OutcomeTally], threshold: float = 0.5, classes: int = 2) -> float | None:
    """Standard error of the metric over all days together, from how it changes when one day is left out; None when
    some day cannot be left out."""
    apart = values(metric, days, 1 - np.eye(len(days)), threshold, classes)
    whole = values(metric, days, np.ones((1, len(days))), threshold, classes)[0]
    return jackknife(float(whole), apart, [day.rows for day in days])


def jackknife(whole: float, apart: Floats, sizes: Sequence[int]) -> float | None:
    """Delete-a-group, for groups of uneven size: Busing, Meijer and van der Leeden 1999. `apart[d]` is the value
    without group d."""
    rows = np.asarray(sizes, np.float64)
    if len(rows) < 2 or not (rows > 0).all() or not np.isfinite([whole, *apart]).all():
        return None
    share = rows.sum() / rows
    centre = len(rows) * whole - ((1 - 1 / share) * apart).sum()
    pseudo = share * whole - (share - 1) * apart
    return float(np.sqrt(((pseudo - centre) ** 2 / (share - 1)).mean()))


def error_of_mean(days: Sequence[Moments]) -> float | None:
    """Of the mean over all days together, from how it changes when one is left out."""
    rows = np.array([float(day.n) for day in days])
    sums = rows * np.array([day.mean for day in days])
    if len(days) < 2:
        return None
    apart = (sums.sum() - sums) / (rows.sum() - rows)
    return jackknife(float(sums.sum() / rows.sum()), apart, [day.n for day in days])


def by_class(outcome: OutcomeTally) -> tuple[Floats, Floats]:
    """Negatives and positives by cell, one number for each of all cells."""
    return spread(outcome.negatives), spread(outcome.positives)


def spread(cells: Mapping[int, int]) -> Floats:
    found = np.zeros(CELLS)
    found[list(cells)] = list(cells.values())
    return found


def confusion_of(outcome: OutcomeTally, threshold: float = 0.5, classes: int = 2) -> Floats:
    """(k, k): [decided, true]."""
    if outcome.confusion:
        k = math.isqrt(len(outcome.confusion))
        return np.asarray(outcome.confusion, np.float64).reshape(k, k)
    if classes > 2:
        return np.zeros((classes, classes))
    yes = threshold <= MIDDLES
    return np.array([[part[~yes].sum() for part in by_class(outcome)], [part[yes].sum() for part in by_class(outcome)]])


def _ranked(metric: str, cells: Floats) -> Floats:
    """Of (r, 2·CELLS): negatives, then positives."""
    labels, scores = np.repeat([0.0, 1.0], CELLS), np.tile(MIDDLES, 2)
    there = cells.any(axis=0)
    if not there.any():
        return np.full(len(cells), np.nan)
    return resampled(metric, labels[there], scores[there], cells[:, there])


def _problem(metric: str, outcome: OutcomeTally, threshold: float, classes: int, min_rows: int) -> str | None:
    rows = outcome.rows
    if rows < min_rows:
        return f"{rows} rows with a known outcome, {min_rows} are needed"
    if metric in DECISION_METRICS:
        return empty_ratio(metric, confusion_of(outcome, threshold, classes))
    if metric in _RANKING:
        negatives, positives = (sum(cells.values()) for cells in (outcome.negatives, outcome.positives))
        if not negatives or not positives:
            return f"all {rows} outcomes are {outcome.labels.mean:g}: ranking needs both classes"
    elif outcome.per_row.get(_PER_ROW[metric], Moments()).n < min_rows:
        return f"too few of {rows} rows hold what it is computed from"
    return None


# --- standard errors for independent rows -----------------------------------------------------------


def _error(metric: str, outcome: OutcomeTally, threshold: float, classes: int) -> float:
    if metric in DECISION_METRICS:
        return ratio_error(metric, confusion_of(outcome, threshold, classes))
    if metric in _RANKING:
        negatives, positives = by_class(outcome)
        return {"roc_auc": _auc_error, "average_precision": _precision_error}[metric](negatives, positives)
    moments = outcome.per_row[_PER_ROW[metric]]
    error = moments.error or 0.0
    if metric != "rmse":
        return error
    return error / (2 * math.sqrt(moments.mean)) if moments.mean > 0 else 0.0


def _auc_error(negatives: Floats, positives: Floats) -> float:
    """DeLong, DeLong and Clarke-Pearson 1988, from the placement of each cell among the other class."""
    return math.sqrt(_placement_variance(positives, negatives) + _placement_variance(negatives, positives))


def _placement_variance(of: Floats, among: Floats) -> float:
    rows = of.sum()
    if rows < 2:
        return 0.25  # one row of a class says nothing: the largest variance a placement can have
    placed = (np.cumsum(among) - 0.5 * among) / among.sum()
    centred = placed - of @ placed / rows
    return float(of @ centred**2 / (rows - 1) / rows)


def _precision_error(negatives: Floats, positives: Floats) -> float:
    """No closed form is worth its assumptions: the spread over 100 seeded resamples."""
    cells = np.concatenate([negatives, positives])
    rows = int(cells.sum())
    drawn = np.random.default_rng(0).multinomial(rows, cells / rows, _RESAMPLES).astype(np.float64)
    return float(np.nanstd(_ranked("average_precision", drawn), ddof=1))
