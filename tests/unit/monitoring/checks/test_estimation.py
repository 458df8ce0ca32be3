from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.served_days import (
    binary,
    days_of,
    predicted,
    profile_on,
    reading_on,
    regression,
    scored,
)

from steward.gates import Finding, Outcome
from steward.gates.metrics import metric_named
from steward.monitoring.checks.estimation import BackTest, back_test, judge_estimates
from steward.monitoring.performance.estimating import estimator
from steward.types import JsonObject

RULE = {"estimated": {"accuracy": {"max_drop": 0.05}}}


@pytest.fixture(scope="module")
def profile() -> JsonObject:
    return profile_on(binary(), scored)


def unlabelled(frames: list[pd.DataFrame]) -> list[pd.DataFrame]:
    return [frame.assign(label=np.nan) for frame in frames]


def judged(profile: JsonObject, frames: list[pd.DataFrame], **rules: Any) -> list[Finding]:
    return judge_estimates(reading_on(binary(**(rules or RULE)), profile, frames))


def harder(draw: np.random.Generator, rows: int) -> pd.DataFrame:
    """Covariates where the model knows less: its scores are in the middle, and mean what they say."""
    return scored(draw, rows, level=0.0, knows=0.3)


def test_without_outcomes_a_fall_is_foreseen_and_said_to_be_a_hint(profile: JsonObject) -> None:
    (found,) = judged(profile, unlabelled(days_of(harder, 28)))
    assert (found.gate, found.outcome) == ("drift.estimated:accuracy", Outcome.FAILED)
    assert "never tested: 0 earlier days have outcomes, 5 are needed" in found.reason
    assert found.reason.endswith("it sees covariate shift, not concept shift")
    truth = pd.concat(days_of(harder, 28))
    fall = profile["performance"]["accuracy"]["value"] - ((truth["score"] >= 0.5) == truth["label"]).mean()
    assert found.value == pytest.approx(fall, abs=0.03)


def test_a_version_that_is_as_it_was_passes(profile: JsonObject) -> None:
    rules = {"estimated": {"accuracy": {"max_drop": 0.05}, "roc_auc": {"max_drop": 0.05}, "brier": {"max": 0.25}}}
    found = judged(profile, days_of(scored, 28), **rules)
    assert {finding.outcome for finding in found} == {Outcome.PASSED}
    assert "on 28 days with outcomes it was off by" in found[0].reason


def test_alarms_are_rare_while_nothing_moved() -> None:
    rules = {"estimated": {"accuracy": {"max_drop": 0.005}, "roc_auc": {"max_drop": 0.005}}}
    failed = 0
    for seed in range(20):
        spec = binary(**rules)
        profile = profile_on(spec, scored, days=7, rows=200, seed=seed)
        reading = reading_on(spec, profile, unlabelled(days_of(scored, 7, rows=60, seed=500 + seed)))
        failed += any(finding.outcome is Outcome.FAILED for finding in judge_estimates(reading))
    assert failed <= 1


def test_an_estimate_that_was_wrong_on_past_days_decides_nothing(profile: JsonObject) -> None:
    """What a score means has changed: the estimate goes on as if it had not, and its back-test shows it."""

    def turned(draw: np.random.Generator, rows: int) -> pd.DataFrame:
        return scored(draw, rows).assign(label=lambda f: 1 - f["label"])

    (found,) = judged(profile, days_of(turned, 28))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "more than the 0.05 it is asked about" in found.reason


def test_the_back_test_compares_each_day_with_its_own_outcomes(profile: JsonObject) -> None:
    spec, frames = binary(**RULE), days_of(scored, 14)
    reading, made = reading_on(spec, profile, frames), estimator(profile["calibration"])
    assert made is not None
    past = back_test(reading, made, metric_named("accuracy", "binary_classification"))
    truth = [((frame["score"] >= 0.5) == frame["label"]).mean() for frame in frames]
    said = [float(made.values("accuracy", made.read(day.tally.answers)[None])[0]) for day in reading.days]
    assert past.off == pytest.approx(np.array(said) - truth)
    assert past.days == 14
    assert past.covered >= 11  # of a good estimate 95 % of days


def test_what_lasts_does_not_cancel_out_over_days() -> None:
    lasting, passing = BackTest((0.1,) * 8, (0.01,) * 8), BackTest((0.1, -0.1) * 4, (0.1,) * 8)
    assert lasting.over(7) == pytest.approx(0.1)
    assert passing.over(7) == pytest.approx(0.1 / np.sqrt(7))
    assert (lasting.mean_absolute, passing.mean_absolute) == pytest.approx((0.1, 0.1))
    assert (lasting.covered, passing.covered) == (0, 8)


def test_an_absolute_limit_is_one_of_the_estimate(profile: JsonObject) -> None:
    (low,) = judged(profile, unlabelled(days_of(scored, 14)), estimated={"accuracy": {"min": 0.95}})
    assert low.outcome is Outcome.FAILED
    assert low.value == pytest.approx(profile["performance"]["accuracy"]["value"], abs=0.02)
    assert "at least 0.95 is allowed" in low.reason
    (high,) = judged(profile, unlabelled(days_of(scored, 14)), estimated={"accuracy": {"min": 0.5}})
    assert high.outcome is Outcome.PASSED


def test_a_regression_has_the_error_its_tenths_had() -> None:
    def uneven(draw: np.random.Generator, rows: int, centre: float = 100.0) -> pd.DataFrame:
        score = draw.normal(centre, 30, rows)
        noise = draw.normal(size=rows) * np.where(score > 130, 25.0, 5.0)
        return predicted(draw, rows).assign(score=score, label=score + noise)

    spec = regression(estimated={"mae": {"max_rise": 1.0}})
    profile = profile_on(spec, uneven)
    (steady,) = judge_estimates(reading_on(spec, profile, days_of(uneven, 14)))
    assert steady.outcome is Outcome.PASSED
    (moved,) = judge_estimates(reading_on(spec, profile, days_of(lambda d, n: uneven(d, n, 125.0), 14)))
    assert moved.outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p: {**p, "calibration": None}, "or the version is older than estimates are"),
        (lambda p: {**p, "calibration": {**p["calibration"], "estimate": None}}, "too few outcomes to learn from"),
        (lambda p: {**p, "calibration": {**p["calibration"], "estimated": {}}}, "no scores to read it from"),
    ],
)
def test_what_cannot_be_estimated_says_why(profile: JsonObject, spoil: Any, said: str) -> None:
    (found,) = judged(spoil(profile), days_of(scored, 7))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert said in found.reason


def test_a_regression_foresees_no_gap_of_means() -> None:
    spec = regression(estimated={"calibration_gap": {"max": 1.0}})
    (found,) = judge_estimates(reading_on(spec, profile_on(spec, predicted), days_of(predicted, 7)))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "of a regression model mae, rmse can" in found.reason


def test_what_is_not_declared_is_not_estimated(profile: JsonObject) -> None:
    assert judge_estimates(reading_on(binary(), profile, days_of(scored, 7))) == []
