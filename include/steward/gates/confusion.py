"""Metrics of decisions, from counts of what was decided against what was so.

Each is a mean over classes of rows decided right over some rows of the class: over those that are so (recall), over
those decided so (precision), over the mean of both (F1). Definitions equal scikit-learn's; a class without such rows is
left out of a mean, and where none is left there is no value, where scikit-learn says 0 and warns.

`counts` is (…, k, k): [decided, true].
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class _Ratio(NamedTuple):
    """Rows of a class: so much of those decided so, so much of those that are. `every` class, or class 1, the yes."""

    decided: float
    true: float
    every: bool

    def rows(self, counts: Floats) -> Floats:
        return self.decided * counts.sum(axis=-1) + self.true * counts.sum(axis=-2)


_RATIOS: dict[str, _Ratio] = {
    "precision": _Ratio(1.0, 0.0, every=False),
    "recall": _Ratio(0.0, 1.0, every=False),
    "f1": _Ratio(0.5, 0.5, every=False),
    "balanced_accuracy": _Ratio(0.0, 1.0, every=True),
    "macro_f1": _Ratio(0.5, 0.5, every=True),
}
DECISION_METRICS = frozenset(_RATIOS)


def confusion(labels: Floats, decisions: Floats, weights: Floats, classes: int = 2) -> Floats:
    """(r, k, k) for `weights` of (r, n); k grows with the classes that are met."""
    k = int(max(classes - 1, labels.max(initial=0), decisions.max(initial=0))) + 1
    cell = decisions.astype(np.intp) * k + labels.astype(np.intp)
    return np.stack([np.bincount(cell, row, k * k).astype(np.float64) for row in weights]).reshape(len(weights), k, k)


def ratio(metric: str, counts: Floats) -> Floats:
    """(…) values; NaN where no class has rows for it."""
    each, there = _each(metric, counts)
    known = there.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known > 0, np.where(there, each, 0.0).sum(axis=-1) / known, np.nan)


def _each(metric: str, counts: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Per class the ratio, and whether it counts."""
    rows, right = _RATIOS[metric].rows(counts), np.diagonal(counts, axis1=-2, axis2=-1)
    there = rows > 0
    if not _RATIOS[metric].every:
        there = there & (np.arange(rows.shape[-1]) == 1)
    return right / np.where(rows > 0, rows, 1.0), there


def ratio_error(metric: str, counts: Floats) -> float:
    """Standard error for independent rows, of one (k, k), by the delta method.

    One more row, spread over all cells, keeps two rows that were both right from looking certain.
    """
    k = counts.shape[-1]
    counts = counts + 1 / k**2
    about = _RATIOS[metric]
    each, there = _each(metric, counts)
    per_row = there / about.rows(counts) / there.sum()
    pulled = each * per_row
    influence = np.diag(per_row) - about.decided * pulled[:, None] - about.true * pulled[None, :]
    return float(np.sqrt((counts * influence**2).sum()))
