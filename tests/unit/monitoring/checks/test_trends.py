"""A figure that creeps is found before its level; days that merely differ are not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from scipy.stats import linregress
from tests.unit.monitoring.readings import bare_profile, bins_of, counted, with_days
from tests.unit.specs import a_data_section, a_spec

from steward.gates import Finding, Outcome
from steward.monitoring.checks.trends import judge_trends, may_be_missing
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import alpha_each
from steward.monitoring.statistics.trend import FEWEST_DAYS, DayFigure, trend_of
from steward.monitoring.tallies import ColumnTally, Tally
from steward.spec import ModelSpec


def figures(values: np.ndarray, error: float) -> list[DayFigure]:
    return [DayFigure(day, float(value), error) for day, value in enumerate(values)]


def test_where_days_differ_more_than_their_rows_it_is_ordinary_least_squares() -> None:
    values = np.random.default_rng(1).normal(0.3, 0.05, 28) + 0.004 * np.arange(28)
    found, expected = trend_of(figures(values, 1e-4)), linregress(np.arange(28), values)
    assert found is not None
    assert (found.slope, found.p) == pytest.approx((expected.slope, expected.pvalue), rel=1e-3)
    assert found.change == pytest.approx(27 * expected.slope, rel=1e-6)
    assert found.after(10) == pytest.approx(expected.intercept + 37 * expected.slope, rel=1e-3)
    assert found.p_rising == pytest.approx(expected.pvalue / 2, rel=1e-3)
    assert found.p_rising + found.p_falling == 1


def test_days_on_a_line_are_no_surer_than_their_rows() -> None:
    """A perfect fit of seven noisy days is luck."""
    found = trend_of(figures(0.1 + 0.001 * np.arange(7), 0.05))
    assert found is not None
    assert found.p > 0.5


def test_without_a_trend_p_is_uniform_whatever_the_days_are_like() -> None:
    draw = np.random.default_rng(2)
    for between, rows, days in [(0.0, 100, 28), (0.05, 1000, 28), (0.02, 50, 7), (0.0, 2000, 10)]:
        ps = []
        for _ in range(1500):
            shares = np.clip(draw.normal(0.2, between, days), 0, 1)
            values = draw.binomial(rows, shares) / rows
            found = trend_of(figures(values, (0.2 * 0.8 / rows) ** 0.5))
            assert found is not None
            ps.append(found.p)
        assert np.mean(np.array(ps) < 0.05) < 0.068  # 0.05 and three standard errors
        assert np.mean(np.array(ps) < 0.005) < 0.011


def test_below_a_week_there_is_no_trend() -> None:
    assert trend_of(figures(np.arange(FEWEST_DAYS - 1.0), 0.1)) is None


# --- missing shares -------------------------------------------------------------------------------

FEATURES: dict[str, dict[str, Any]] = {
    "temp": {"type": "number", "max_missing": 0.3},
    "wind": {"type": "number", "max_missing": 0.3},
    "seats": {"type": "integer"},
}


def the_spec() -> ModelSpec:
    return a_spec(data=a_data_section(FEATURES), monitoring={"min_rows": 200})


def a_month(shares: np.ndarray, rows: int = 960, seed: int = 3, gone: tuple[int, ...] = ()) -> Reading:
    """`temp` is missing by these shares a day, `wind` in a twentieth of rows; days of `gone` had no rows."""
    draw = np.random.default_rng(seed)
    tallies = []
    for day, share in enumerate(shares):
        n = 0 if day in gone else rows
        temp, wind = (int(draw.binomial(n, p)) for p in (share, 0.05))
        columns = {"temp": ColumnTally(n, temp), "wind": ColumnTally(n, wind), "seats": ColumnTally(n)}
        tallies.append(Tally("digest", columns))
    profile = bare_profile({name: bins_of([5000, 5000], missing=0.05) for name in FEATURES}, [1, 1])
    return with_days(counted(the_spec(), profile, {"temp": ColumnTally(rows)}), tallies)


def judged(reading: Reading) -> dict[str, Finding]:
    return {finding.gate: finding for finding in judge_trends(reading)}


def test_a_creeping_loss_is_told_before_the_level_is_lost() -> None:
    found = judged(a_month(0.05 + 0.003 * np.arange(28)))
    temp = found["drift.trend_missing:temp"]
    assert temp.outcome is Outcome.FAILED
    assert "rose by" in temp.reason
    assert "passes 15.0% within" in temp.reason
    assert found["drift.trend_missing:wind"].outcome is Outcome.PASSED
    assert "drift.trend_missing:seats" not in found


@pytest.mark.parametrize("gone", [(), (2, 3, 9, 10, 16, 17)])
def test_a_rise_that_stays_within_the_limit_passes(gone: tuple[int, ...]) -> None:
    found = judged(a_month(0.05 + 0.001 * np.arange(28), rows=20_000, gone=gone))["drift.trend_missing:temp"]
    assert found.outcome is Outcome.PASSED
    assert "stays below 15.0%" in found.reason


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        (np.full(28, 0.05), ""),
        (0.14 - 0.003 * np.arange(28), "nothing is lost"),
        (np.where(np.arange(28) % 7 >= 5, 0.14, 0.03), "by chance"),  # weekends
        (np.where(np.arange(28) == 26, 0.9, 0.05), "by chance"),  # one lost day is for the level to find
    ],
)
def test_what_only_differs_passes(shares: np.ndarray, said: str) -> None:
    found = judged(a_month(shares))["drift.trend_missing:temp"]
    assert found.outcome is Outcome.PASSED
    assert said in found.reason


@pytest.mark.parametrize("days", [0, 1, 6])
def test_a_young_version_has_no_trend(days: int) -> None:
    assert judged(a_month(np.full(days, 0.05))) == {}
    assert judged(a_month(np.full(28, 0.05), gone=tuple(range(days, 28)))) == {}


def test_months_without_a_trend_alarm_as_rarely_as_declared() -> None:
    """Days differ by half as much again as their rows would: twenty months are not enough for one alarm."""
    draw, alarms = np.random.default_rng(5), 0
    for seed in range(300):
        reading = a_month(np.clip(draw.normal(0.12, 0.01, 28), 0, 1), seed=seed)
        alarms += any(finding.outcome is Outcome.FAILED for finding in judge_trends(reading))
    expected = 300 * alpha_each(reading, 1)
    assert alarms <= expected + 3 * expected**0.5


def test_a_trend_reaches_as_far_as_the_spec_looks_back() -> None:
    assert the_spec().monitoring.drift.trend == timedelta(days=28)
    assert may_be_missing(the_spec()) == ["temp", "wind"]
