"""Fitting a candidate: the time-ordered split, the call into the model's code, and where its score becomes a yes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from steward.errors import DataError, ModelCodeError
from steward.gates.classes import in_spec_order, places_of
from steward.spec import ModelSpec
from steward.training.code import ModelCode
from steward.training.thresholds import check_threshold, choose_threshold, decision_threshold, with_threshold
from steward.types import JsonObject, Window

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fitted", "Split", "decision_threshold", "fit", "fitted_on", "score", "split"]


@dataclass(frozen=True)
class Split:
    """Labelled rows before and after the cut; the hold-out is always the later part."""

    fit: pd.DataFrame
    holdout: pd.DataFrame
    cut: Any


@dataclass(frozen=True)
class Fitted:
    model: Any
    params: JsonObject
    cpu_seconds: float
    threshold: JsonObject | None  # the version's and how it was chosen: `choose_threshold`; None: it takes none


def split(spec: ModelSpec, frame: pd.DataFrame, window: Window) -> Split:
    """Rows with a label, cut so that the last `evaluation.holdout` of the window is held out.

    Raises DataError when either part has no labelled rows.
    """
    import pandas as pd

    labelled = frame[frame[spec.data.label.column].notna()]
    cut = pd.Timestamp(window.end - spec.evaluation.holdout.length)
    parts = Split(labelled[labelled[spec.data.time] < cut], labelled[labelled[spec.data.time] >= cut], cut)
    for name, part in (("training part", parts.fit), ("hold-out", parts.holdout)):
        if part.empty:
            raise DataError(
                f"the {name} of {window} has no labelled rows",
                where=f"{spec.model}, cut at {cut}",
                hint="check that the labels have arrived, or change training.window / evaluation.holdout",
            )
    return parts


def fit(
    spec: ModelSpec, code: ModelCode, part: pd.DataFrame, params: JsonObject, threshold: float | None = None
) -> Fitted:
    """Build and fit a model on the declared features, in their declared order, seeded with `training.seed`.

    A binary model decides at `threshold`, or else at the spec's; unless that is 0.5 the model is wrapped, so that the
    artefact itself carries it. Raises DataError for a threshold that is no share, or of a model that takes none,
    ModelCodeError for what the model's own code does wrong.
    """
    import numpy as np

    chosen = {**spec.training.params, **params}
    check_threshold(spec, threshold)
    np.random.seed(spec.training.seed)
    model = code.call(spec.training.build, chosen, limit=timedelta(minutes=1))
    if not hasattr(model, "fit"):
        raise ModelCodeError(
            f"{spec.training.build} returned {type(model).__name__}, which has no fit()",
            where=str(code.path),
            hint="return a scikit-learn estimator",
        )
    _seed(model, spec.training.seed)
    features, label = part[list(spec.data.features)], part[spec.data.label.column].to_numpy()
    started = time.process_time()

    def learn() -> tuple[Any, JsonObject | None]:
        chosen_at = choose_threshold(spec, model, part, threshold)
        return with_threshold(model.fit(features, label), chosen_at, features, label), chosen_at

    fitted, chosen_at = code.invoke("fitting the model", learn, limit=spec.training.time_limit)
    if spec.data.label.classes is not None:
        _require_probabilities(fitted)
    if chosen_at is not None:
        chosen_at["value"] = decision_threshold(fitted)
    return Fitted(fitted, chosen, time.process_time() - started, chosen_at)


def _seed(model: Any, seed: int) -> None:
    """Every `random_state` the model's code left open gets the seed, in a pipeline's steps too."""
    parameters = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    unset = {name: seed for name, value in parameters.items() if name.endswith("random_state") and value is None}
    if unset:
        model.set_params(**unset)


def fitted_on(model: Any, otherwise: Iterable[str]) -> list[str]:
    """The columns an estimator learned from, in its order; `otherwise` where it does not say."""
    return [str(name) for name in getattr(model, "feature_names_in_", otherwise)]


def score(model: Any, features: pd.DataFrame, classes: Sequence[str] | None = None) -> Any:
    """Probability of the positive class where the model has one, else the prediction. Shape (rows,), float.

    With `classes` the probability of each, in the spec's order: shape (rows, classes). Raises DataError when the model
    tells a class that is none of them.
    """
    import numpy as np

    if classes is not None:
        _require_probabilities(model)
        shares = np.asarray(model.predict_proba(features), dtype=float)
        return in_spec_order(shares, places_of(model.classes_, classes), len(classes))
    answers = model.predict_proba(features)[:, 1] if hasattr(model, "predict_proba") else model.predict(features)
    return np.asarray(answers, dtype=float)


def _require_probabilities(model: Any) -> None:
    if not hasattr(model, "predict_proba"):
        said = f"{type(model).__name__} gives no probabilities, which every check of a multiclass model reads"
        raise ModelCodeError(said, hint="build a classifier with predict_proba: a CalibratedClassifierCV around it has")
