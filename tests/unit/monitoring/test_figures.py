from __future__ import annotations

import json

import numpy as np
import pytest
from tests.unit.monitoring.served_days import binary, days_of, multiclass, profile_on, reading_on, scored

from steward.monitoring.performance.figures import performance_figures
from steward.monitoring.profiles.profile import build_profile
from steward.spec import metrics_of
from steward.types import to_json


def test_every_metric_is_kept_with_its_error_and_its_estimate() -> None:
    profile = profile_on(binary(), scored)
    found = performance_figures(reading_on(binary(), profile, days_of(scored, 7)))
    assert set(found["metrics"]) == set(found["estimated"]) == set(metrics_of("binary_classification"))
    assert found["labelled"] == 1.0
    assert found["metrics"]["roc_auc"]["value"] == pytest.approx(found["estimated"]["roc_auc"], abs=0.03)
    assert sum(row["rows"] for row in found["reliability"]) == 5600
    json.dumps(to_json(found), allow_nan=False)


def test_without_outcomes_only_the_estimate_is_known() -> None:
    frames = [frame.assign(label=np.nan) for frame in days_of(scored, 7)]
    found = performance_figures(reading_on(binary(), profile_on(binary(), scored), frames))
    assert (found["metrics"], found["reliability"], found["labelled"]) == ({}, [], 0.0)
    assert found["estimated"]["accuracy"] > 0.5


def test_an_older_profile_has_neither_calibration_nor_estimate() -> None:
    profile = {**profile_on(binary(), scored), "calibration": None, "slices": None}
    found = performance_figures(reading_on(binary(), profile, days_of(scored, 7)))
    assert found["estimated"] == {}
    assert found["metrics"]["roc_auc"]["value"] is not None


def test_classes_without_probabilities_still_have_an_accuracy() -> None:
    from tests.unit.monitoring.served_days import classified

    spec, draw = multiclass(), np.random.default_rng(0)
    frame = classified(draw, 3000)
    profile = build_profile(spec, frame, np.stack(frame["probabilities"].to_list()), frame["label"])
    frames = [frame.drop(columns="probabilities") for frame in days_of(classified, 7)]
    found = performance_figures(reading_on(spec, profile, frames))
    assert found["metrics"]["accuracy"]["value"] is not None
    assert found["metrics"]["log_loss"]["problem"]
    assert found["reliability"] == []
