"""The numbers a gate may be set on, by name: what each means, which way is better, for which task.

Imports nothing heavy, so that a spec can be checked against it; `steward.gates.measurement` computes them.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum

from steward.errors import SpecError
from steward.spec.model import Task


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
    tasks: frozenset[Task]


_BINARY = frozenset({Task.BINARY})
_REGRESSION = frozenset({Task.REGRESSION})

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", "Area under the ROC curve", Better.MORE, _BINARY),
        Metric("average_precision", "Average precision", Better.MORE, _BINARY),
        Metric("accuracy", "Accuracy at 0.5", Better.MORE, _BINARY),
        Metric("brier", "Brier score", Better.LESS, _BINARY),
        Metric("log_loss", "Log loss", Better.LESS, _BINARY),
        Metric("calibration_gap", "Gap between mean prediction and rate", Better.LESS, _BINARY | _REGRESSION),
        Metric("mae", "Mean absolute error", Better.LESS, _REGRESSION),
        Metric("rmse", "Root mean squared error", Better.LESS, _REGRESSION),
    )
}


def metric_named(name: str, task: Task) -> Metric:
    """Raises SpecError, naming the nearest metric of the task."""
    metric = METRICS.get(name)
    if metric is not None and task in metric.tasks:
        return metric
    known = [m.name for m in METRICS.values() if task in m.tasks]
    nearest = difflib.get_close_matches(name, known, n=1)
    what = f"there is no metric {name!r}" if metric is None else f"{name} does not measure a {task} model"
    hint = (
        f"did you mean {nearest[0]}?" if nearest else f"one of {', '.join(known) or 'none yet for this task'}"
    )
    raise SpecError(what, hint=hint)
