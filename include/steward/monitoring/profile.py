"""The profile of a version.

All a later check needs to know of its reference data, in a few kilobytes of JSON.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from steward.errors import DataError
from steward.gates.measurement import known_rows, measure
from steward.gates.metrics import METRICS, metric_named
from steward.monitoring.bins import Bins, Vector, is_known, read_column
from steward.spec.model import FeatureType, ModelSpec
from steward.types import JsonObject, to_json

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

FORMAT = 1
_NUMBERS = (FeatureType.NUMBER, FeatureType.INTEGER)


def build_profile(
    spec: ModelSpec,
    frame: pd.DataFrame,
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    importance: JsonObject | None = None,
    threshold: float = 0.5,
) -> JsonObject:
    """Of the reference rows in `frame` (one column per feature).

    `scores` and `labels` align with each other, not necessarily with `frame`: give predictions the model did
    not learn
    from, or every later window will look worse than it is. NaN labels are left out of the performance. `threshold`
    is the version's own, from which on a score is a yes.
    Raises DataError for a feature that is absent or not of its type.
    """
    predicted, outcomes = np.asarray(scores, np.float64), np.asarray(labels, np.float64)
    if predicted.shape != outcomes.shape:
        raise DataError(f"{len(predicted)} scores and {len(outcomes)} labels do not align")
    profile = {
        "format": FORMAT,
        "model": spec.model,
        "spec": spec.digest,
        "rows": len(frame),
        "features": {name: _feature(frame, name, about.type) for name, about in spec.data.features.items()},
        "reference": {name: typical(frame[name], about.type) for name, about in spec.data.features.items()},
        "score": describe(predicted),
        "threshold": threshold,
        "performance": _performance(spec, outcomes, predicted, threshold),
        "importance": importance,
    }
    return to_json(profile)


def _feature(frame: pd.DataFrame, name: str, kind: FeatureType) -> JsonObject:
    if name not in frame.columns:
        raise DataError(
            f"feature {name} is not in the reference data", hint="return every declared feature from load()"
        )
    try:
        values = read_column(frame[name], kind)
    except DataError as error:
        raise DataError(f"feature {name} {error.what}", hint=error.hint) from error
    return {"type": kind.value, **describe(values)}


def describe(values: Vector) -> JsonObject:
    """Bins, missing share and, of numbers, range and moments."""
    known = values[is_known(values)]
    about = {"rows": len(known), "missing": 1 - len(known) / len(values) if len(values) else None}
    if known.dtype != object and len(known):
        about |= {"min": known.min(), "max": known.max(), "mean": known.mean(), "std": known.std()}
    return {**about, "bins": Bins.of(known).to_json()}


def typical(column: pd.Series, kind: FeatureType) -> Any:
    """A value that was really seen: the lower median of numbers, else the most frequent; None where most are missing.

    Decisions are explained against a row of these.
    """
    values = read_column(column, kind) if kind in _NUMBERS else column.to_numpy(dtype=object)
    known = values[is_known(values)]
    if 2 * len(known) <= len(values):
        return None
    if kind in _NUMBERS:
        return float(np.quantile(known, 0.5, method="lower"))
    return Counter(known.tolist()).most_common(1)[0][0]


def _performance(spec: ModelSpec, labels: Vector, scores: Vector, threshold: float) -> JsonObject:
    """Every metric of the task, with its sampling error: what monitoring measures a fall from."""
    wanted = [metric_named(name, spec.task).name for name in spec.monitoring.performance]
    names = dict.fromkeys([*wanted, *(m.name for m in METRICS.values() if spec.task in m.tasks)])
    known = known_rows(labels)
    return {name: measure(name, labels[known], scores[known], threshold=threshold).to_json() for name in names}
