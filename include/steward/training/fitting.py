"""Fitting a candidate: the time-ordered split and the call into the model's code."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from steward.errors import DataError, ModelCodeError
from steward.spec import ModelSpec
from steward.training.code import ModelCode
from steward.types import JsonObject, Window

if TYPE_CHECKING:
    import pandas as pd


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


def split(spec: ModelSpec, frame: pd.DataFrame, window: Window) -> Split:
    """Rows with a label, cut so that the last `evaluation.holdout` of the window is held out.

    Raises DataError when either part has no rows or a single class.
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


def fit(spec: ModelSpec, code: ModelCode, part: pd.DataFrame, params: JsonObject) -> Fitted:
    """Build and fit a model on the declared features, in their declared order, seeded with `training.seed`."""
    import numpy as np

    chosen = {**spec.training.params, **params}
    np.random.seed(spec.training.seed)
    model = code.call(spec.training.build, chosen, limit=timedelta(minutes=1))
    if not hasattr(model, "fit"):
        raise ModelCodeError(
            f"{spec.training.build} returned {type(model).__name__}, which has no fit()",
            where=str(code.path),
            hint="return a scikit-learn estimator",
        )
    _seed(model, spec.training.seed)
    features, label = part[list(spec.data.features)], part[spec.data.label.column]
    started = time.process_time()
    code.invoke("fitting the model", lambda: model.fit(features, label.to_numpy()), limit=spec.training.time_limit)
    return Fitted(model, chosen, time.process_time() - started)


def _seed(model: Any, seed: int) -> None:
    """Every `random_state` the model's code left open gets the seed, in a pipeline's steps too."""
    parameters = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    unset = {name: seed for name, value in parameters.items() if name.endswith("random_state") and value is None}
    if unset:
        model.set_params(**unset)


def score(model: Any, features: pd.DataFrame) -> Any:
    """Probability of the positive class where the model has one, else the prediction. Shape (rows,), float."""
    import numpy as np

    answers = model.predict_proba(features)[:, 1] if hasattr(model, "predict_proba") else model.predict(features)
    return np.asarray(answers, dtype=float)


def decision_threshold(model: Any) -> float:
    """The score from which on the version itself says yes; its artefact carries it, 0.5 where it does not say."""
    threshold = getattr(model, "threshold", 0.5)
    return float(threshold) if isinstance(threshold, (int, float)) else 0.5
