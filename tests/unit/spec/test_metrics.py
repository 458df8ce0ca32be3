"""A spec may name exactly the metrics that are computed, and both sides agree which way is better."""

from __future__ import annotations

from steward.gates import measurement
from steward.gates import metrics as named
from steward.spec import METRICS, metrics_of


def test_named_and_computed_metrics_are_the_same() -> None:
    assert set(measurement._VALUES) == set(measurement._ERRORS) == set(METRICS)
    for name, metric in named.METRICS.items():
        assert METRICS[name].rises == (metric.better is named.Better.MORE), name
        assert METRICS[name].tasks == {str(task) for task in metric.tasks}, name


def test_metrics_of_a_task() -> None:
    assert metrics_of("regression") == ("calibration_gap", "mae", "rmse")
    assert metrics_of("llm_application") == ()
