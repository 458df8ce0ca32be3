"""Computing the named metrics: a value with its sampling error, or the reason there is none.

`labels` and `scores` align over n rows; `weights` is (r, n): each row weighs the n rows for one resample, which gives
r values at once. Scores of a binary model are probabilities of the positive class, labels 0 or 1; from `threshold` on
a score is a yes. Scores of a multiclass model are (n, k) probabilities, labels the index of the class; the decision is
the most probable one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steward.gates.confusion import DECISION_METRICS, confusion, ratio, ratio_error
from steward.types import JsonObject

Floats = NDArray[np.float64]

MIN_ROWS = 30  # below this no metric is worth a number
_TINY = float(np.finfo(np.float64).eps)
_RANKS = frozenset({"roc_auc", "average_precision"})
_READS_DECISIONS = DECISION_METRICS | {"accuracy"}


@dataclass(frozen=True)
class Measurement:
    """`error` is the standard error of `value` for independent rows.

    `value` is None exactly when `problem` is set.
    """

    metric: str
    value: float | None
    error: float | None
    rows: int
    problem: str | None = None

    def to_json(self) -> JsonObject:
        found = {"value": self.value, "error": self.error, "rows": self.rows}
        return found if self.problem is None else {**found, "problem": self.problem}


def known_rows(labels: Floats) -> NDArray[np.bool_]:
    """Rows whose outcome has arrived."""
    return ~np.isnan(labels)


def measure(
    metric: str, labels: Floats, scores: Floats, *, min_rows: int = MIN_ROWS, threshold: float = 0.5
) -> Measurement:
    """KeyError for a metric that is not in `steward.gates.metrics.METRICS`."""
    labels, scores = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
    problem = find_problem(metric, labels, scores, min_rows=min_rows, threshold=threshold)
    if problem is not None:
        return Measurement(metric, None, None, len(labels), problem)
    scores = _as_read(metric, scores, threshold)
    value = float(_VALUES[metric](labels, scores, np.ones((1, len(labels))))[0])
    return Measurement(metric, value, float(_ERRORS[metric](labels, scores)), len(labels))


def find_problem(
    metric: str, labels: Floats, scores: Floats, *, min_rows: int = MIN_ROWS, threshold: float = 0.5
) -> str | None:
    """Why the metric has no value on these rows; None when it has one."""
    if len(labels) < min_rows:
        return f"{len(labels)} rows with a known outcome, {min_rows} are needed"
    finite = np.isfinite(scores).reshape(len(scores), -1).all(axis=1)
    if broken := int((~finite).sum()):
        return f"{broken} of {len(scores)} scores are not finite numbers"
    if np.isnan(labels).any():
        return f"{int(np.isnan(labels).sum())} of {len(labels)} outcomes are unknown"
    return _undefined(metric, labels, scores, threshold)


def _undefined(metric: str, labels: Floats, scores: Floats, threshold: float) -> str | None:
    if scores.ndim == 2 and not np.isin(labels, np.arange(scores.shape[1])).all():
        return f"an outcome is none of the {scores.shape[1]} classes that are scored"
    if metric in _RANKS and len(np.unique(labels)) < 2:
        return f"all {len(labels)} outcomes are {labels[0]:g}: ranking needs both classes"
    if metric in DECISION_METRICS:
        return empty_ratio(metric, _counted(labels, decided(scores, threshold)))
    return None


def empty_ratio(metric: str, counts: Floats) -> str | None:
    """Why a metric of decisions has no value on these counts; None when it has one."""
    seen = counts.sum(axis=0)
    if metric == "balanced_accuracy" and (seen > 0).sum() < 2:
        return f"all {seen.sum():g} outcomes are of one class: balanced accuracy needs two"
    if np.isnan(ratio(metric, counts)):
        return {
            "precision": "nothing was decided a yes: precision has no value",
            "recall": "no outcome is positive: recall has no value",
        }.get(metric, "nothing is positive, neither decided nor so: F1 has no value")
    return None


def resampled(metric: str, labels: Floats, scores: Floats, weights: Floats, *, threshold: float = 0.5) -> Floats:
    """One value per row of `weights`.

    NaN where a resample has one class only. Preconditions: `find_problem` is None.
    """
    return _VALUES[metric](labels, _as_read(metric, scores, threshold), weights)


def decided(scores: Floats, threshold: float) -> Floats:
    """The class of each row: 1 from the threshold on; of several classes the most probable."""
    return scores.argmax(axis=1).astype(np.float64) if scores.ndim == 2 else (scores >= threshold).astype(np.float64)


def _as_read(metric: str, scores: Floats, threshold: float) -> Floats:
    """A metric of decisions is handed the decisions."""
    return decided(scores, threshold) if metric in _READS_DECISIONS else scores


def _counted(labels: Floats, decisions: Floats) -> Floats:
    return confusion(labels, decisions, np.ones((1, len(labels))))[0]


# --- values --------------------------------------------------------------------------------------


def _mean(per_row: Floats, weights: Floats) -> Floats:
    return weights @ per_row / weights.sum(axis=1)


def _log_losses(labels: Floats, scores: Floats) -> Floats:
    if scores.ndim == 2:
        of_truth = scores[np.arange(len(labels)), labels.astype(np.intp)]
        return -np.log(np.clip(of_truth, _TINY, 1.0))
    p = np.clip(scores, _TINY, 1 - _TINY)
    return -(labels * np.log(p) + (1 - labels) * np.log1p(-p))


def _hits(labels: Floats, decisions: Floats) -> Floats:
    return (decisions == labels).astype(np.float64)


_PER_ROW: dict[str, Callable[[Floats, Floats], Floats]] = {
    "accuracy": _hits,
    "brier": lambda y, p: (p - y) ** 2,
    "log_loss": _log_losses,
    "mae": lambda y, p: np.abs(p - y),
}


def _tie_starts(ordered_scores: Floats) -> NDArray[np.int64]:
    """Index of the first row of each group of equal scores."""
    return np.flatnonzero(np.r_[True, ordered_scores[1:] != ordered_scores[:-1]])


def _by_score(labels: Floats, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weights of positives and negatives per distinct score, ascending: two (r, g) arrays."""
    order = np.argsort(scores, kind="stable")
    ordered, positive, starts = weights[:, order], labels[order], _tie_starts(scores[order])
    positives, negatives = ordered * positive, ordered * (1 - positive)
    if len(starts) == len(scores):
        return positives, negatives
    return np.add.reduceat(positives, starts, axis=1), np.add.reduceat(negatives, starts, axis=1)


def _roc_auc(labels: Floats, scores: Floats, weights: Floats) -> Floats:
    """Share of (positive, negative) pairs ranked right, a tie counting half."""
    positives, negatives = _by_score(labels, scores, weights)
    below = np.cumsum(negatives, axis=1) - 0.5 * negatives
    with np.errstate(invalid="ignore"):
        right = np.einsum("rg,rg->r", positives, below)
        return right / (positives.sum(axis=1) * negatives.sum(axis=1))


def _average_precision(labels: Floats, scores: Floats, weights: Floats) -> Floats:
    """Σ (R_n − R_{n−1}) P_n over falling thresholds, without interpolation."""
    positives, negatives = (a[:, ::-1] for a in _by_score(labels, scores, weights))
    found = np.cumsum(positives, axis=1)
    selected = found + np.cumsum(negatives, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(selected > 0, found / selected, 0.0)
        return (positives * precision).sum(axis=1) / positives.sum(axis=1)


_VALUES: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    **{name: lambda y, p, w, f=f: _mean(f(y, p), w) for name, f in _PER_ROW.items()},  # type: ignore[misc]
    "calibration_gap": lambda y, p, w: np.abs(_mean(p - y, w)),
    "rmse": lambda y, p, w: np.sqrt(_mean((p - y) ** 2, w)),
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    **{name: lambda y, d, w, m=name: ratio(m, confusion(y, d, w)) for name in DECISION_METRICS},  # type: ignore[misc]
}


# --- standard errors -----------------------------------------------------------------------------


def _error_of_mean(per_row: Floats) -> float:
    return float(per_row.std(ddof=1) / np.sqrt(len(per_row)))


def _rmse_error(labels: Floats, scores: Floats) -> float:
    """Delta method: sd of the squared errors over twice the root."""
    squared = (scores - labels) ** 2
    root = float(np.sqrt(squared.mean()))
    return _error_of_mean(squared) / (2 * root) if root > 0 else 0.0


def _auc_error(labels: Floats, scores: Floats) -> float:
    """DeLong, DeLong and Clarke-Pearson 1988, from the placement values of both classes."""
    positive = labels > 0.5
    ups, downs = scores[positive], scores[~positive]
    return float(np.sqrt(_placement_variance(ups, downs) + _placement_variance(downs, ups)))


def _placement_variance(of: Floats, among: Floats) -> float:
    if len(of) < 2:
        return 0.25  # one row of a class says nothing: the largest variance a placement can have
    among = np.sort(among)
    placed = (np.searchsorted(among, of, "left") + np.searchsorted(among, of, "right")) / (2 * len(among))
    return float(placed.var(ddof=1) / len(of))


def _average_precision_error(labels: Floats, scores: Floats) -> float:
    """No closed form is worth its assumptions: the spread over 100 seeded resamples."""
    values = resampled("average_precision", labels, scores, resamples(len(labels), 100, seed=0))
    return float(np.nanstd(values, ddof=1))


def resamples(rows: int, count: int, seed: int | np.random.Generator) -> Floats:
    """(count, rows) of how often each row is drawn when `rows` are drawn with replacement."""
    draw = np.random.default_rng(seed)
    drawn = (np.bincount(draw.integers(0, rows, rows), minlength=rows) for _ in range(count))
    return np.stack([counts.astype(np.float64) for counts in drawn])


_ERRORS: dict[str, Callable[[Floats, Floats], float]] = {
    **{name: lambda y, p, f=f: _error_of_mean(f(y, p)) for name, f in _PER_ROW.items()},  # type: ignore[misc]
    "calibration_gap": lambda y, p: _error_of_mean(p - y),
    "rmse": _rmse_error,
    "roc_auc": _auc_error,
    "average_precision": _average_precision_error,
    **{name: lambda y, d, m=name: ratio_error(m, _counted(y, d)) for name in DECISION_METRICS},  # type: ignore[misc]
}
