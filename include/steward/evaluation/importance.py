"""Permutation importance on the raw feature columns: how much a metric loses when one column is shuffled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from steward.gates.measurement import Floats, known_rows, measure
from steward.gates.metrics import METRICS, metric_named
from steward.spec.model import ModelSpec
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

MAX_ROWS = 2000
REPEATS = 3


def permutation_importance(
    spec: ModelSpec,
    predict: Callable[[pd.DataFrame], ArrayLike],
    frame: pd.DataFrame,
    labels: ArrayLike,
    *,
    seed: int,
    threshold: float = 0.5,
) -> JsonObject:
    """→ {"metric", "rows", "features": {name: mean loss over the repeats}}, most important first.

    The metric is the first gated one; the loss is oriented so that positive means the model needs the column.
    At most MAX_ROWS rows are drawn. `features` is empty, with a `problem`, when the metric has no value on
    those rows.
    """
    metric = metric_named(next(iter(spec.evaluation.metrics)), spec.task).name
    draw = np.random.default_rng(seed)
    rows, outcome = _sample(np.asarray(labels, np.float64), draw)
    sample = frame[list(spec.data.features)].iloc[rows].reset_index(drop=True)
    whole = measure(metric, outcome, _scored(predict, sample), threshold=threshold)
    if whole.value is None:
        return {"metric": metric, "rows": len(rows), "problem": whole.problem, "features": {}}
    losses = {
        column: float(
            np.mean(
                [_loss(metric, whole.value, predict, sample, outcome, column, draw, threshold) for _ in range(REPEATS)]
            )
        )
        for column in sample
    }
    ranked = sorted(losses.items(), key=lambda item: -item[1])
    return {"metric": metric, "rows": len(rows), "features": dict(ranked)}


def _sample(labels: Floats, draw: np.random.Generator) -> tuple[np.ndarray, Floats]:
    known = np.flatnonzero(known_rows(labels))
    rows = np.sort(draw.choice(known, MAX_ROWS, replace=False)) if len(known) > MAX_ROWS else known
    return rows, labels[rows]


def _scored(predict: Callable[[pd.DataFrame], ArrayLike], sample: pd.DataFrame) -> Floats:
    return np.asarray(predict(sample), np.float64)


def _loss(
    metric: str,
    whole: float,
    predict: Callable[[pd.DataFrame], ArrayLike],
    sample: pd.DataFrame,
    labels: Floats,
    column: str,
    draw: np.random.Generator,
    threshold: float,
) -> float:
    values = sample[column].take(draw.permutation(len(sample))).set_axis(sample.index)
    shuffled = sample.copy()
    shuffled[column] = values  # not assign(): a feature may be called self
    found = measure(metric, labels, _scored(predict, shuffled), threshold=threshold).value
    return 0.0 if found is None else METRICS[metric].better.sign * (whole - found)
