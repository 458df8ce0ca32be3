"""Where a binary model's score becomes a yes: given by the spec or by hand, or chosen so that groups fare alike.

One number for everybody, whoever they are. `parity` looks for it on the training part alone, with scores of rows that
the scoring model had not seen: the hold-out stays unseen until the candidate is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steward.errors import DataError, ModelCodeError
from steward.gates.fairness import parity_ratio
from steward.gates.groups import Flags, Names, group_names, groups_of
from steward.spec.fairness import Fairness
from steward.spec.model import ModelSpec, Task
from steward.types import JsonObject

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PLAIN = 0.5  # where scikit-learn's own classifiers decide
FOLDS = 5
_STEPS = 100


def check_threshold(spec: ModelSpec, given: float | None) -> None:
    """Raises DataError for a threshold by hand that the model cannot decide at."""
    if given is None:
        return
    if spec.task is not Task.BINARY:
        raise DataError(f"a {spec.task} model has no threshold", where=spec.model, hint="leave the field empty")
    if not 0 < given < 1:
        raise DataError(
            f"the threshold {given:g} is no probability", where=spec.model, hint="give a number between 0 and 1"
        )


def decision_threshold(model: Any) -> float:
    """The score from which on a version itself says yes; its artefact carries it, 0.5 where it does not say."""
    from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

    if isinstance(model, FixedThresholdClassifier):
        return PLAIN if isinstance(model.threshold, str) else float(model.threshold)
    return float(model.best_threshold_) if isinstance(model, TunedThresholdClassifierCV) else PLAIN


def with_threshold(model: Any, chosen: JsonObject | None, features: pd.DataFrame, labels: Any) -> Any:
    """The fitted model, deciding where it was `chosen`; itself where it decides there anyway.

    A spec that says nothing leaves a model alone that brings a threshold of its own.
    """
    if chosen is None or chosen["value"] == decision_threshold(model) or _is_unsaid(chosen):
        return model
    from sklearn.frozen import FrozenEstimator
    from sklearn.model_selection import FixedThresholdClassifier

    _check_probabilities(model)
    frozen = FrozenEstimator(model)
    wrapped = FixedThresholdClassifier(frozen, threshold=chosen["value"], response_method="predict_proba")
    return wrapped.fit(features, labels)  # learns nothing: the frozen model stays as it is


def _is_unsaid(chosen: JsonObject) -> bool:
    return bool(chosen["chosen_by"] == "spec" and chosen["value"] == PLAIN)


def choose_threshold(spec: ModelSpec, model: Any, part: pd.DataFrame, given: float | None) -> JsonObject | None:
    """→ {"value", "chosen_by"} and, where it was searched for, the {"parity", "met", "folds", "table"} it came from.

    None for a model that makes no yes-or-no decision. `model` is not yet fitted and stays so.
    """
    wanted = spec.training.threshold
    if spec.task is not Task.BINARY:
        return None
    if given is not None:
        return {"value": given, "chosen_by": "run"}
    if wanted.parity is None:
        return {"value": wanted.at if wanted.at is not None else PLAIN, "chosen_by": "spec"}
    scores = _out_of_fold(spec, model, part)
    labels = part[spec.data.label.column].to_numpy(float)
    return _fairest(spec, part, labels, scores, wanted.parity)


def _out_of_fold(spec: ModelSpec, model: Any, part: pd.DataFrame) -> Floats:
    """Scores of each row by a model fitted without it, in seeded folds."""
    import numpy as np
    from sklearn.base import clone
    from sklearn.model_selection import StratifiedKFold

    features, labels = part[list(spec.data.features)], part[spec.data.label.column].to_numpy()
    rarer = int(min(np.unique(labels, return_counts=True)[1]))
    if len(np.unique(labels)) < 2 or rarer < FOLDS:
        raise DataError(
            f"the rarer outcome has {rarer if len(np.unique(labels)) > 1 else 0} rows, a search takes {FOLDS}",
            where=f"{spec.model}, training.threshold.parity",
            hint="lengthen training.window, or give training.threshold.at",
        )
    scores = np.full(len(part), np.nan)
    for known, asked in StratifiedKFold(FOLDS, shuffle=True, random_state=spec.training.seed).split(features, labels):
        fitted = clone(model).fit(features.iloc[known], labels[known])
        _check_probabilities(fitted)
        scores[asked] = fitted.predict_proba(features.iloc[asked])[:, 1]
    return scores


def _check_probabilities(model: Any) -> None:
    if not hasattr(model, "predict_proba"):
        raise ModelCodeError(
            f"{type(model).__name__} gives no probabilities to set a threshold on",
            hint="build a classifier with predict_proba, or leave training.threshold at 0.5",
        )


def _fairest(spec: ModelSpec, part: pd.DataFrame, labels: Floats, scores: Floats, parity: float) -> JsonObject:
    """The best balanced accuracy among thresholds that reach the parity; where none does, the highest parity.

    A candidate that misses the parity goes on to the gates, which say so with numbers: better than a crash.
    """
    groups = {column: group_names(part, [column]) for column in spec.data.protected}
    rules = spec.evaluation.fairness or Fairness()
    table = [_row(rules, groups, labels > 0.5, scores, step / _STEPS) for step in range(1, _STEPS)]
    met = [row for row in table if _lowest(row) >= parity]
    if met:
        best = max(met, key=lambda row: (row["balanced_accuracy"], -abs(row["threshold"] - PLAIN)))
    else:
        best = max(table, key=lambda row: (_lowest(row), row["balanced_accuracy"]))
    return {
        "value": best["threshold"],
        "chosen_by": "parity",
        "parity": parity,
        "met": bool(met),
        "folds": FOLDS,
        "balanced_accuracy": best["balanced_accuracy"],
        "table": table,
    }


def _lowest(row: JsonObject) -> float:
    """Of its columns; one that cannot be compared (too few rows, nobody favoured) reaches nothing."""
    return min((ratio if ratio is not None else 0.0 for ratio in row["parity"].values()), default=0.0)


def _row(rules: Fairness, groups: dict[str, Names], positive: Flags, scores: Floats, threshold: float) -> JsonObject:
    decided = scores >= threshold
    right, good = decided == positive, bool(rules.favourable)
    fared = {column: groups_of(names, positive == good, decided == good) for column, names in groups.items()}
    return {
        "threshold": threshold,
        "balanced_accuracy": float(right[positive].mean() + right[~positive].mean()) / 2,
        "parity": {column: parity_ratio(each, rules.min_rows).value for column, each in fared.items()},
    }
