from __future__ import annotations

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
from steward.monitoring.checks.calibration import (
    beyond_chance,
    bins_of,
    calibration_error,
    judge_calibration,
    reliability,
)
from steward.spec import Task
from steward.types import JsonObject

LIMIT = {"calibration": {"max": 0.05}}


@pytest.fixture(scope="module")
def profile() -> JsonObject:
    return profile_on(binary(), scored)


def judged(profile: JsonObject, served: Any, days: int = 14, rows: int = 800, **limits: Any) -> Finding:
    spec = binary(**{**LIMIT, **limits})
    (found,) = judge_calibration(reading_on(spec, profile, days_of(served, days, rows)))
    return found


def too_sure(draw: np.random.Generator, rows: int) -> pd.DataFrame:
    """The mean is right; what is said near 0 and 1 is not."""
    frame = scored(draw, rows, level=0.0)
    odds = np.log(frame["score"] / (1 - frame["score"]))
    return frame.assign(score=1 / (1 + np.exp(-2.5 * odds)))


def test_a_calibrated_model_passes_though_every_bin_has_a_gap(profile: JsonObject) -> None:
    found = judged(profile, scored)
    assert (found.gate, found.outcome, found.limit) == ("performance.calibration", Outcome.PASSED, 0.05)
    assert (found.value or 1) < 0.02


def test_saying_too_much_is_found_where_the_mean_is_right(profile: JsonObject) -> None:
    found = judged(profile, too_sure)
    assert found.outcome is Outcome.FAILED
    frame = too_sure(np.random.default_rng(0), 50_000)
    assert abs(frame["score"].mean() - frame["label"].mean()) < 0.01
    assert "was said and" in found.reason


def test_the_value_is_the_expected_calibration_error_less_chance(profile: JsonObject) -> None:
    """By hand from the rows, on the profile's edges."""
    frames = days_of(too_sure, 7)
    rows = pd.concat(frames)
    place = np.searchsorted(profile["calibration"]["edges"], rows["score"], side="right")
    by_bin = rows.groupby(place)
    gaps = (by_bin["score"].mean() - by_bin["label"].mean()).abs()
    expected = (by_bin.size() * gaps).sum() / len(rows)
    reading = reading_on(binary(**LIMIT), profile, frames)
    (found,) = judge_calibration(reading)
    assert f"({expected:.3g} as counted" in found.reason
    assert found.value == pytest.approx(expected, abs=0.005)
    table = reliability(reading)
    assert [row["rows"] for row in table] == by_bin.size().tolist()
    assert [row["seen"] for row in table] == pytest.approx(by_bin["label"].mean().tolist())


@pytest.mark.parametrize("rows", [30, 400])
def test_what_chance_adds_is_taken_off(profile: JsonObject, rows: int) -> None:
    """Of a calibrated model the naive error is far from nought at small sizes, the corrected one nearer."""
    readings = [
        reading_on(binary(**LIMIT), profile, days_of(scored, 1, rows=rows, seed=seed)).tally for seed in range(20)
    ]
    tables = [bins_of(Task.BINARY, tally.overall) for tally in readings]
    naive, corrected = (np.mean([error(table) for table in tables]) for error in (calibration_error, beyond_chance))
    assert corrected < 0.6 * naive


def test_alarms_are_rare_on_small_windows_of_a_calibrated_model(profile: JsonObject) -> None:
    found = [
        judge_calibration(reading_on(binary(**LIMIT), profile, days_of(scored, 7, rows=40, seed=seed)))[0].outcome
        for seed in range(60)
    ]
    assert found.count(Outcome.FAILED) <= 2


def test_the_error_of_a_bin_is_that_of_its_scores() -> None:
    draw = np.random.default_rng(0)
    scores = draw.uniform(0.2, 0.6, 500)
    seen = [(draw.random(500) < scores).mean() for _ in range(800)]
    reading = reading_on(binary(), profile_on(binary(), scored, days=2), [scored(draw, 500).assign(score=scores)])
    table = bins_of(Task.BINARY, reading.tally.overall)
    whole = np.sqrt(sum((each.rows * each.error) ** 2 for each in table)) / 500
    assert whole == pytest.approx(np.std(seen), rel=0.1)


def test_whole_days_that_differ_are_no_miscalibration() -> None:
    """The same mean, days up or down together."""

    def moody(draw: np.random.Generator, rows: int) -> pd.DataFrame:
        odds = float(draw.normal(scale=0.8))
        frame = scored(draw, rows, level=0.0)
        chances = 1 / (1 + np.exp(odds + np.log(1 / frame["score"] - 1)))
        return frame.assign(label=(draw.random(rows) < chances).astype(float))

    profile = profile_on(binary(), moody)
    found = [
        judge_calibration(reading_on(binary(**LIMIT), profile, days_of(moody, 21, 400, seed=s)))[0] for s in range(15)
    ]
    assert sum(finding.outcome is Outcome.FAILED for finding in found) <= 1
    assert any("by how days differ" in finding.reason for finding in found)


def test_of_several_classes_confidence_is_held_against_being_right() -> None:
    spec = multiclass(**LIMIT)
    profile = profile_on(spec, classified)
    (sound,) = judge_calibration(reading_on(spec, profile, days_of(classified, 7)))
    assert sound.outcome is Outcome.PASSED
    boasting = days_of(lambda d, n: classified(d, n, sure=3.0), 7)
    (found,) = judge_calibration(reading_on(spec, profile, boasting))
    assert found.outcome is Outcome.FAILED


def test_of_a_regression_the_gap_is_in_its_units() -> None:
    spec = regression(calibration={"max": 2.0})
    profile = profile_on(spec, predicted)
    (sound,) = judge_calibration(reading_on(spec, profile, days_of(predicted, 7)))
    assert sound.outcome is Outcome.PASSED
    (found,) = judge_calibration(reading_on(spec, profile, days_of(lambda d, n: predicted(d, n, bias=4.0), 7)))
    assert found.outcome is Outcome.FAILED
    assert found.value == pytest.approx(4.0, abs=0.5)


def test_it_waits_and_says_what_for(profile: JsonObject) -> None:
    found = judged(profile, lambda d, n: scored(d, n).assign(label=np.nan))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "calibration waits for outcomes" in found.reason
    few = judged(profile, scored, days=7, rows=3)
    assert few.outcome is Outcome.INCONCLUSIVE
    assert "21 rows say how sure they were, 30 are needed" in few.reason


def test_what_is_not_declared_is_not_judged(profile: JsonObject) -> None:
    assert judge_calibration(reading_on(binary(), profile, days_of(scored, 7))) == []
