"""Score and value: the correlation with its interval, and everything that leaves it unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.unit.monitoring.checks.served import a_reading, a_tally, at_once, by_gate, watched

from steward.gates import Finding, Outcome
from steward.monitoring.checks.business import interval, judge_business
from steward.monitoring.tallies import CoMoments, Moments, OutcomeTally, Tally

DECLARED = {"business": {"correlation": {"min": 0.3}}}


def pairs(correlation: float, rows: int, seed: int = 0) -> CoMoments:
    draw = np.random.default_rng(seed)
    score, noise = draw.normal(size=rows), draw.normal(size=rows)
    return CoMoments.of(score, 50 + 20 * (correlation * score + np.sqrt(1 - correlation**2) * noise))


def judged(found: CoMoments, monitoring: Any = None) -> Finding:
    spec = watched(DECLARED if monitoring is None else monitoring)
    outcomes = OutcomeTally(1000, Moments(1000, 0.5), business=found)
    (finding,) = by_gate(judge_business, at_once(spec, a_tally(outcomes=outcomes))).values()
    return finding


@pytest.mark.parametrize(
    ("correlation", "rows", "expected"),
    [
        (0.6, 500, Outcome.PASSED),
        (0.32, 200, Outcome.INCONCLUSIVE),
        (0.0, 500, Outcome.FAILED),
        (-0.5, 100, Outcome.FAILED),
        (0.2, 40, Outcome.INCONCLUSIVE),
    ],
)
def test_the_whole_interval_decides(correlation: float, rows: int, expected: Outcome) -> None:
    finding = judged(pairs(correlation, rows))
    assert finding.outcome is expected
    assert finding.rows == rows


def test_the_number_is_pearsons_whole_or_in_parts() -> None:
    draw = np.random.default_rng(4)
    score, value = draw.random(900), draw.normal(1e6, 3, 900)
    value += score
    parts = CoMoments.of(score[:100], value[:100]) + CoMoments.of(score[100:], value[100:])
    assert judged(parts).value == pytest.approx(np.corrcoef(score, value)[0, 1], abs=1e-9)


def test_fishers_interval_against_its_published_form() -> None:
    low, high = interval(0.5, 103, 0.025)
    assert (low, high) == (pytest.approx(0.339, abs=5e-4), pytest.approx(0.632, abs=5e-4))
    assert interval(1.0, 50, 0.01) == (1.0, 1.0)


def test_it_covers_the_truth_as_often_as_it_says() -> None:
    missed = sum(not low <= 0.4 <= high for low, high in (interval(_of(n), 150, 0.025) for n in range(400)))
    assert 6 <= missed <= 36, "5 % of 400"


def _of(seed: int) -> float:
    found = pairs(0.4, 150, seed).correlation
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (CoMoments(), "no outcome came with a value"),
        (pairs(0.9, 29), "29 outcomes came with a value, 30 are needed"),
        (CoMoments.of(np.zeros(50), np.arange(50.0)), "every score is the same"),
        (CoMoments.of(np.arange(50.0), np.zeros(50)), "every value is the same"),
        (CoMoments(Moments(50, 0, 1.0), Moments(50, 0, np.inf), np.inf), "too large to be counted with"),
    ],
)
def test_what_cannot_be_known_is_never_a_pass(found: CoMoments, said: str) -> None:
    finding = judged(found)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert said in finding.reason


def test_it_is_asked_only_where_declared() -> None:
    assert judge_business(at_once(watched({}), a_tally())) == []


def test_days_that_differ_are_no_alarm() -> None:
    """What a score is worth moves from day to day about the limit; rows alone would call many a week a loss."""
    draw, spec, windows, alarms = np.random.default_rng(2), watched(DECLARED), 200, 0
    for _ in range(windows):
        days = [_day_of(draw, 0.33 + 0.2 * draw.normal()) for _ in range(28)]
        (finding,) = judge_business(a_reading(spec, days))
        alarms += finding.outcome is Outcome.FAILED
    assert alarms <= 0.05 * windows


def test_a_correlation_that_is_lost_is_found_though_days_differ() -> None:
    draw = np.random.default_rng(2)
    worth = [0.6] * 21 + [0.0] * 7
    days = [_day_of(draw, each + 0.1 * draw.normal()) for each in worth]
    (finding,) = judge_business(a_reading(watched(DECLARED), days))
    assert finding.outcome is Outcome.FAILED
    assert "by how days differ" in finding.reason


def _day_of(draw: np.random.Generator, worth: float) -> Tally:
    score = draw.normal(size=140)
    found = CoMoments.of(score, worth * score + draw.normal(size=140))
    return a_tally(outcomes=OutcomeTally(140, Moments(140, 0.5), business=found))
