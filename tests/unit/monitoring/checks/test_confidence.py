from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.served_days import (
    binary,
    classified,
    days_of,
    multiclass,
    predicted,
    profile_on,
    reading_on,
    regression,
    scored,
)

from steward.gates import Finding, Outcome
from steward.monitoring.checks.confidence import judge_confidence
from steward.types import JsonObject


@pytest.fixture(scope="module")
def profile() -> JsonObject:
    return profile_on(binary(), scored)


def judged(profile: JsonObject, frames: Sequence[pd.DataFrame], **drift: Any) -> dict[str, Finding]:
    reading = reading_on(binary(drift={"confidence": {"max": 0.05}, **drift}), profile, frames)
    return {finding.gate: finding for finding in judge_confidence(reading)}


def unsure(draw: np.random.Generator, rows: int) -> pd.DataFrame:
    return scored(draw, rows, level=0.0, knows=0.5)


def test_a_steady_version_is_as_sure_as_it_was(profile: JsonObject) -> None:
    found = judged(profile, days_of(scored, 14))
    assert {finding.outcome for finding in found.values()} == {Outcome.PASSED}
    assert set(found) == {"drift.confidence", "drift.trend_confidence"}


@pytest.mark.parametrize("moved", [unsure, lambda d, n: scored(d, n, level=-4.0)])
def test_less_sure_and_more_sure_are_both_found(profile: JsonObject, moved: Any) -> None:
    found = judged(profile, days_of(moved, 7))["drift.confidence"]
    assert found.outcome is Outcome.FAILED
    assert (found.value or 0) > 0.05
    assert "either way is allowed" in found.reason


def test_it_is_the_probability_of_what_was_decided(profile: JsonObject) -> None:
    frames = days_of(scored, 7)
    score = pd.concat(frames)["score"]
    said = f"mean confidence is {np.maximum(score, 1 - score).mean():.3f} over 5600 answers"
    assert judged(profile, frames)["drift.confidence"].reason.startswith(said)


def test_chance_is_not_called_a_change(profile: JsonObject) -> None:
    found = judged(profile, days_of(scored, 7, rows=5), confidence={"max": 0.005})["drift.confidence"]
    assert found.outcome is Outcome.INCONCLUSIVE


def test_alarms_are_rare_while_days_differ() -> None:
    def moody(draw: np.random.Generator, rows: int) -> pd.DataFrame:
        return scored(draw, rows, level=float(draw.normal(-1, 0.8)))

    failed = 0
    for seed in range(20):
        spec = binary(drift={"confidence": {"max": 0.02}})
        profile = profile_on(spec, moody, rows=100, seed=seed)
        reading = reading_on(spec, profile, days_of(moody, 14, rows=100, seed=500 + seed))
        failed += any(finding.outcome is Outcome.FAILED for finding in judge_confidence(reading))
    assert failed <= 1


def test_a_trend_is_told_before_the_level_is_reached(profile: JsonObject) -> None:
    draw = np.random.default_rng(0)
    frames = [scored(draw, 800, level=-1.0 + 0.03 * day) for day in range(28)]
    found = judged(profile, frames, confidence={"max": 0.08})
    assert found["drift.confidence"].outcome is Outcome.PASSED
    trend = found["drift.trend_confidence"]
    assert trend.outcome is Outcome.FAILED
    assert "mean confidence fell by" in trend.reason
    assert "within 28 days, 0.08 is allowed" in trend.reason


def test_coming_back_is_no_trend_away(profile: JsonObject) -> None:
    draw = np.random.default_rng(0)
    frames = [scored(draw, 800, level=-0.5 - 0.015 * day) for day in range(28)]
    assert judged(profile, frames)["drift.trend_confidence"].outcome is Outcome.PASSED


def test_classes_have_a_confidence_and_a_regression_has_none() -> None:
    spec = multiclass()
    (level, *_) = judge_confidence(reading_on(spec, profile_on(spec, classified), days_of(classified, 7)))
    assert level.outcome is Outcome.PASSED
    spec = regression()
    assert judge_confidence(reading_on(spec, profile_on(spec, predicted), days_of(predicted, 7))) == []


def test_an_older_version_without_it_is_not_passed_in_silence(profile: JsonObject) -> None:
    found = judged({**profile, "confidence": []}, days_of(scored, 7))
    assert {gate: finding.outcome for gate, finding in found.items()} == {"drift.confidence": Outcome.INCONCLUSIVE}
    assert "registered without the confidence" in found["drift.confidence"].reason


def test_answers_that_say_nothing_are_inconclusive(profile: JsonObject) -> None:
    silent = [frame.assign(score=np.nan) for frame in days_of(scored, 7)]
    found = judged(profile, silent)
    assert set(found) == {"drift.confidence"}
    assert found["drift.confidence"].outcome is Outcome.INCONCLUSIVE
