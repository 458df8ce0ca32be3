"""The metrics a spec may name; `steward.gates.measurement` computes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """`tasks` it is defined for; `rises` when more is better."""

    tasks: frozenset[str]
    rises: bool


_BINARY = frozenset({"binary_classification"})
_MULTICLASS = frozenset({"multiclass_classification"})
_REGRESSION = frozenset({"regression"})

METRICS: dict[str, Metric] = {
    "roc_auc": Metric(_BINARY, rises=True),
    "average_precision": Metric(_BINARY, rises=True),
    "accuracy": Metric(_BINARY | _MULTICLASS, rises=True),
    "balanced_accuracy": Metric(_BINARY | _MULTICLASS, rises=True),
    "precision": Metric(_BINARY, rises=True),
    "recall": Metric(_BINARY, rises=True),
    "f1": Metric(_BINARY, rises=True),
    "macro_f1": Metric(_MULTICLASS, rises=True),
    "log_loss": Metric(_BINARY | _MULTICLASS, rises=False),
    "brier": Metric(_BINARY, rises=False),
    "calibration_gap": Metric(_BINARY | _REGRESSION, rises=False),
    "mae": Metric(_REGRESSION, rises=False),
    "rmse": Metric(_REGRESSION, rises=False),
}


def metrics_of(task: str) -> tuple[str, ...]:
    """Names known for a task, sorted; empty for a task that has none yet."""
    return tuple(sorted(name for name, metric in METRICS.items() if task in metric.tasks))
