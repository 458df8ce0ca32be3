"""The numbers a gate may be set on, by name: the spec's table with their titles and which way is better.

Imports nothing heavy; `steward.gates.measurement` computes them.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum

from steward.errors import SpecError
from steward.spec import metrics as spec_metrics


class Better(StrEnum):
    MORE = "more"
    LESS = "less"

    @property
    def sign(self) -> int:
        """Multiply a value by this and more is better."""
        return 1 if self is Better.MORE else -1


@dataclass(frozen=True)
class Metric:
    name: str
    title: str
    better: Better
    tasks: frozenset[str]


_TITLES = {
    "roc_auc": "Area under the ROC curve",
    "average_precision": "Average precision",
    "accuracy": "Accuracy of the decisions",
    "balanced_accuracy": "Balanced accuracy",
    "precision": "Precision of the decisions",
    "recall": "Recall of the decisions",
    "f1": "F1 of the decisions",
    "macro_f1": "Mean F1 over the classes",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "calibration_gap": "Gap between mean prediction and mean outcome",
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
}

METRICS: dict[str, Metric] = {
    name: Metric(name, _TITLES[name], Better.MORE if known.rises else Better.LESS, known.tasks)
    for name, known in spec_metrics.METRICS.items()
}


def metric_named(name: str, task: str) -> Metric:
    """Raises SpecError, naming the nearest metric of the task."""
    metric = METRICS.get(name)
    if metric is not None and task in metric.tasks:
        return metric
    known = spec_metrics.metrics_of(task)
    nearest = difflib.get_close_matches(name, known, n=1)
    what = f"there is no metric {name!r}" if metric is None else f"{name} does not measure a {task} model"
    hint = f"did you mean {nearest[0]}?" if nearest else f"one of {', '.join(known) or 'none yet for this task'}"
    raise SpecError(what, hint=hint)
