"""The profile of a version: all a later check needs to know of its reference data, in a few kilobytes of JSON.

| part | what of |
|---|---|
| `features` | each feature of the rows the model learned from: missing share, range, moments, bins, words |
| `reference` | a typical value of each feature: decisions are explained against it |
| `score` | the answers on the hold-out, described as a feature is; of a multiclass model the classes decided for |
| `confidence` | moments of the probability of the class decided for; empty for a regression |
| `threshold` | the version's own, from which on a score is a yes |
| `performance` `slices` `calibration` | how good the answers were, and how far a probability was one |
| `groups` | how evenly protected groups fared on the hold-out |
| `importance` `attribution` | what the model relies on |

Format 1 had neither moments nor confidence; see `read_profile`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from steward.errors import DataError
from steward.monitoring.performance.served_groups import group_baseline
from steward.monitoring.profiles.baseline import baseline
from steward.monitoring.profiles.bins import Bins, Vector, is_known, read_column
from steward.monitoring.profiles.words import MOST_WORDS, vocabulary_of
from steward.monitoring.statistics.swing import swing_of, windows_in
from steward.monitoring.tallies import Moments
from steward.monitoring.tallies.counting import counted_features
from steward.spec.model import FeatureType, ModelSpec, Task
from steward.types import JsonObject, to_json

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from steward.monitoring.statistics.swing import Places

FORMAT = 2
MOST_BYTES = 600_000
"""Of all levels of all features together: with 200 features a profile stays below a megabyte."""
MOST_WORDS_TOGETHER = 25_000  # of all text features
_LONGEST = 1000  # signs of a typical value
_NUMBERS = (FeatureType.NUMBER, FeatureType.INTEGER)


def build_profile(
    spec: ModelSpec,
    frame: pd.DataFrame,
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    importance: JsonObject | None = None,
    threshold: float = 0.5,
    holdout: pd.DataFrame | None = None,
) -> JsonObject:
    """Of the reference rows in `frame` (one column per feature).

    `scores` and `labels` align with each other, not necessarily with `frame`: give predictions the model did not learn
    from, or every later window will look worse than it is. NaN labels are left out of the performance. `threshold` is
    the version's own, from which on a score is a yes. `holdout` are the rows behind the scores: with their time and the
    columns of slices, performance is known per slice and between days.
    Raises DataError for a feature that is absent or not of its type.
    """
    predicted, outcomes = np.asarray(scores, np.float64), np.asarray(labels, np.float64)
    if len(predicted) != len(outcomes):
        raise DataError(f"{len(predicted)} scores and {len(outcomes)} labels do not align")
    windows = windows_in(frame[spec.data.time], spec.monitoring.window.length) if spec.data.time in frame else []
    profile = {
        "format": FORMAT,
        "model": spec.model,
        "spec": spec.digest,
        "rows": len(frame),
        "features": {name: _feature(spec, frame, name, windows) for name in spec.data.features},
        "reference": {name: typical(frame[name], about.type) for name, about in spec.data.features.items()},
        "score": _score(spec, predicted),
        "confidence": _confidence(spec, predicted, threshold).to_json(),
        "threshold": threshold,
        **baseline(spec, predicted, outcomes, threshold, holdout),
        "groups": group_baseline(spec, predicted, outcomes, threshold, holdout),
        "importance": importance,
    }
    return to_json(profile)


def read_profile(stored: JsonObject) -> JsonObject:
    """As this release reads it. A version registered under format 1 goes on being watched: its moments follow from the
    mean, the spread and the range that were stored; its confidence is not known. Raises DataError for other formats."""
    found = stored.get("format")
    if found == FORMAT:
        return stored
    if found != 1:
        raise DataError(
            f"the version's profile has format {found!r}, this release reads 1 and {FORMAT}",
            hint="run the release that registered the version, or train it again under this one",
        )
    features = {name: _with_moments(about) for name, about in stored["features"].items()}
    score = _with_moments(stored["score"])
    return {**stored, "format": FORMAT, "features": features, "score": score, "confidence": []}


def _with_moments(about: JsonObject) -> JsonObject:
    rows, known = about["rows"], "mean" in about
    moments = [rows, about["mean"], about["std"] ** 2 * rows, about["min"], about["max"]] if known else []
    return {**about, "moments": moments}


def _feature(spec: ModelSpec, frame: pd.DataFrame, name: str, windows: Sequence[Places]) -> JsonObject:
    if name not in frame.columns:
        raise DataError(
            f"feature {name} is not in the reference data", hint="return every declared feature from load()"
        )
    kind = spec.data.features[name].type
    try:
        values = read_column(frame[name], kind)
    except DataError as error:
        raise DataError(f"feature {name} {error.what}", hint=error.hint) from error
    about = describe(values, MOST_BYTES // len(spec.data.features))
    swing = swing_of(Bins.from_json(about["bins"]), values, windows)
    return {"type": kind.value, **about, "swing": swing, **_words(spec, frame[name], name)}


def _words(spec: ModelSpec, column: pd.Series, name: str) -> JsonObject:
    """Of a text that the log holds as it came; of many such features fewer words each."""
    texts = [each for each in counted_features(spec) if spec.data.features[each].type is FeatureType.TEXT]
    most = min(MOST_WORDS, MOST_WORDS_TOGETHER // max(len(texts), 1))
    return {"words": vocabulary_of(column, most=most).to_json()} if name in texts else {}


def describe(values: Vector, most_bytes: int = MOST_BYTES) -> JsonObject:
    """Bins, missing share and, of numbers, range and moments. `most_bytes`: of levels that are named."""
    known = values[is_known(values)]
    missing = 1 - len(known) / len(values) if len(values) else None
    about: JsonObject = {"rows": len(known), "missing": missing, "moments": []}
    if known.dtype != object and len(known):
        about |= {"min": known.min(), "max": known.max(), "mean": known.mean(), "std": known.std()}
        about["moments"] = Moments.of(known).to_json()
    return {**about, "bins": Bins.of(known, most_bytes).to_json()}


def _score(spec: ModelSpec, scores: Vector) -> JsonObject:
    """Rows of probabilities say which class was decided for; every class has a bin, though none was."""
    if scores.ndim == 1:
        return describe(scores)
    decided = scores.argmax(axis=1).astype(np.float64)
    return {**describe(decided), "bins": Bins.of_values(range(scores.shape[1]), decided).to_json()}


def _confidence(spec: ModelSpec, scores: Vector, threshold: float) -> Moments:
    if spec.task is Task.REGRESSION:
        return Moments()
    said = scores.max(axis=1) if scores.ndim == 2 else np.where(scores >= threshold, scores, 1 - scores)
    return Moments.of(said[np.isfinite(said)])


def typical(column: pd.Series, kind: FeatureType) -> Any:
    """A value that was really seen: the lower median of numbers, else the most frequent; None where most are missing.

    Decisions are explained against a row of these. Of a long text the beginning.
    """
    values = read_column(column, kind) if kind in _NUMBERS else column.to_numpy(dtype=object)
    known = values[is_known(values)]
    if 2 * len(known) <= len(values):
        return None
    if kind in _NUMBERS:
        return float(np.quantile(known, 0.5, method="lower"))
    value = Counter(known.tolist()).most_common(1)[0][0]
    return value[:_LONGEST] if isinstance(value, str) else value
