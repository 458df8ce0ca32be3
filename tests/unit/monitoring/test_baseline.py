from __future__ import annotations

import json

import numpy as np
import pytest
from tests.unit.monitoring.served_days import (
    DAY,
    FIRST,
    binary,
    classified,
    multiclass,
    predicted,
    profile_on,
    regression,
    scored,
)

from steward.errors import DataError
from steward.gates.measurement import measure
from steward.monitoring.profiles.baseline import baseline
from steward.monitoring.profiles.profile import build_profile
from steward.spec import metrics_of

SLICED = {"evaluation": {"slices": ["hub", "x > 0"]}, "performance": {"roc_auc": {"max_drop": 0.05}}}


def test_performance_is_that_of_the_evaluation_to_the_digit() -> None:
    frame = scored(np.random.default_rng(0), 4000)
    profile = build_profile(binary(), frame, frame["score"], frame["label"])
    assert set(profile["performance"]) == set(metrics_of("binary_classification"))
    for name, found in profile["performance"].items():
        assert found == measure(name, frame["label"].to_numpy(), frame["score"].to_numpy()).to_json()


def test_days_of_the_holdout_widen_the_error_and_say_how_many() -> None:
    def moody(draw: np.random.Generator, rows: int) -> object:
        chances = scored(draw, rows)
        return chances.assign(label=(draw.random(rows) < np.clip(chances["score"] + draw.normal(0, 0.2), 0, 1)) * 1.0)

    found = profile_on(binary(), moody)["performance"]["brier"]  # type: ignore[arg-type]
    assert found["days"] == 14
    steady = profile_on(binary(), scored)["performance"]["brier"]
    assert found["error"] > 3 * steady["error"]


def test_slices_have_a_baseline_where_they_have_rows() -> None:
    profile = profile_on(binary(**SLICED), scored)
    assert set(profile["slices"]) == {"hub = EWR", "hub = JFK", "x > 0"}
    assert profile["slices"]["x > 0"]["roc_auc"]["rows"] == pytest.approx(5600, rel=0.05)
    assert profile["slices"]["hub = EWR"]["roc_auc"]["value"] == pytest.approx(
        profile["performance"]["roc_auc"]["value"], abs=0.03
    )
    strict = {**SLICED, "evaluation": {"slices": ["hub"], "slice_min_rows": 50_000}}
    assert profile_on(binary(**strict), scored)["slices"] == {}


def test_a_row_with_an_unknown_outcome_says_nothing() -> None:
    draw = np.random.default_rng(0)
    frame = scored(draw, 2000)
    some = frame["label"].where(draw.random(2000) < 0.5)
    found = baseline(binary(), frame["score"].to_numpy(), some.to_numpy(), 0.5)
    assert found["performance"]["roc_auc"]["rows"] == int(some.notna().sum())
    assert sum(found["calibration"]["rows"]) == int(some.notna().sum())


def test_without_outcomes_there_is_a_profile_and_it_says_so() -> None:
    frame = scored(np.random.default_rng(0), 500)
    found = baseline(binary(), frame["score"].to_numpy(), np.full(500, np.nan), 0.5)
    assert found["performance"]["roc_auc"]["value"] is None
    assert found["calibration"]["estimate"] is None
    assert found["calibration"]["estimated"] == {}


@pytest.mark.parametrize("one", [0.0, 1.0])
def test_one_class_alone_teaches_no_estimate(one: float) -> None:
    frame = scored(np.random.default_rng(0), 500)
    assert baseline(binary(), frame["score"].to_numpy(), np.full(500, one), 0.5)["calibration"]["estimate"] is None


def test_every_task_has_its_calibration_and_it_is_small() -> None:
    kinds = {
        "scores": (binary(), scored),
        "confidence": (multiclass(), classified),
        "predictions": (regression(), predicted),
    }
    for kind, (spec, served) in kinds.items():
        found = profile_on(spec, served)["calibration"]
        assert found["estimate"]["kind"] == kind
        assert len(found["rows"]) == len(found["edges"]) + 1 == 10
        assert sum(found["rows"]) == 11_200
        assert len(json.dumps(found, allow_nan=False)) < 20_000


def test_a_regression_that_says_few_numbers_has_fewer_bins() -> None:
    draw = np.random.default_rng(0)
    found = baseline(regression(), draw.integers(0, 3, 900) * 1.0, draw.normal(size=900), 0.5)["calibration"]
    assert len(found["edges"]) <= 3
    assert sum(found["rows"]) == 900


def test_rows_that_do_not_align_are_refused() -> None:
    frame = scored(np.random.default_rng(0), 100)
    with pytest.raises(DataError, match="100 scores and 99 rows of the hold-out do not align"):
        baseline(binary(), frame["score"].to_numpy(), frame["label"].to_numpy(), 0.5, frame.iloc[:99])


def test_a_time_that_cannot_be_read_is_a_day_of_its_own() -> None:
    frame = scored(np.random.default_rng(0), 700)
    times = [FIRST + day * DAY for day in range(7)] * 99 + [None] * 7
    found = baseline(binary(), frame["score"].to_numpy(), frame["label"].to_numpy(), 0.5, frame.assign(departure=times))
    assert sum(found["calibration"]["rows"]) == 700
