from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import norm, t
from tests.unit.monitoring.served_days import DAY, FIRST

from steward.monitoring.performance.measuring import error_of_mean
from steward.monitoring.statistics.day_errors import Error, block_days, blocks_of, day_error, larger
from steward.monitoring.tallies import Moments
from steward.types import Window


def days_of(means: list[float], rows: int = 100) -> list[Moments]:
    return [Moments(rows, mean, 1.0) for mean in means]


def an_error(blocks: list[list[Moments]], rows_now: int) -> Error | None:
    return day_error(blocks, error_of_mean, lambda day: day.n, rows_now)


def test_a_quantile_is_normal_for_rows_and_students_for_days() -> None:
    assert Error(2.0).quantile(0.01) == pytest.approx(2 * norm.ppf(0.99))
    assert Error(2.0, 6).quantile(0.01) == pytest.approx(2 * t.ppf(0.99, 6))
    assert Error(3.0, 6).beside(Error(4.0, 13)) == Error(5.0, 19)


def test_what_two_weeks_say_is_pooled_and_their_difference_left_out() -> None:
    """The second week is worse as a whole: that is what a check is to find, and no noise."""
    week = [0.1, 0.2, 0.1, 0.3, 0.2, 0.1, 0.4]
    worse = [each + 5 for each in week]
    alone, both = an_error([days_of(week)], 700), an_error([days_of(week), days_of(worse)], 700)
    assert alone is not None
    assert both is not None
    assert both.size == pytest.approx(alone.size)
    assert (alone.freedom, both.freedom) == (6, 12)
    assert alone.size == pytest.approx(np.std(week, ddof=1) / math.sqrt(7))


def test_an_error_is_scaled_to_the_rows_it_is_asked_for() -> None:
    blocks = [days_of([0.1, 0.5, 0.3, 0.2, 0.6, 0.1, 0.4])]
    whole, quarter = an_error(blocks, 700), an_error(blocks, 175)
    assert whole is not None
    assert quarter is not None
    assert quarter.size == pytest.approx(2 * whole.size)


def test_fewer_than_five_days_say_nothing() -> None:
    assert an_error([days_of([0.1, 0.2, 0.3, 0.4])], 400) is None
    assert an_error([[*days_of([0.1, 0.2, 0.3, 0.4]), Moments()]], 400) is None
    assert an_error([], 400) is None


def test_the_larger_of_both_counts() -> None:
    assert larger(0.1, None) == Error(0.1)
    assert larger(0.1, Error(0.05, 6)) == Error(0.1)
    assert larger(0.1, Error(0.3, 6)) == Error(0.3, 6)


def test_blocks_are_cut_from_the_newest_day_backwards() -> None:
    assert blocks_of(list(range(17)), 7) == [list(range(10, 17)), list(range(3, 10))]
    assert blocks_of([1, 2, 3], 7) == [[1, 2, 3]]
    assert blocks_of([], 7) == []
    assert block_days(Window(FIRST, FIRST + 14 * DAY)) == 14
    assert block_days(Window(FIRST, FIRST + timedelta(hours=12))) == 7
