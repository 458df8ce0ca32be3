"""PSI against numbers computed elsewhere and in closed form; beside Evidently in `adapters/`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from steward.monitoring.profiles.bins import Bins
from steward.monitoring.statistics.psi import psi, psi_by_chance

ROWS = 10_000
Draw = np.random.Generator


def psi_of(reference: np.ndarray, current: np.ndarray) -> float:
    bins = Bins.of(reference)
    return psi([n / bins.rows for n in bins.counts], bins.count(current) / len(current))


@pytest.mark.parametrize(
    ("reference", "current", "expected"),
    [
        (lambda d: d.normal(0, 1, ROWS), lambda d: d.normal(0, 1, ROWS), 0.0012327),
        (lambda d: d.normal(0, 1, ROWS), lambda d: d.normal(0.25, 1, ROWS), 0.0605003),
        (lambda d: d.normal(0, 1, ROWS), lambda d: d.normal(0.5, 1, ROWS), 0.2390695),
        (lambda d: d.lognormal(0, 1, ROWS), lambda d: d.lognormal(0.3, 1, ROWS), 0.0867197),
        (lambda d: d.uniform(0, 0.5, ROWS), lambda d: d.uniform(0.5, 1, ROWS), 8.2830893),
    ],
    ids=["same", "quarter", "half", "lognormal", "disjoint"],
)
def test_golden_samples(
    reference: Callable[[Draw], np.ndarray], current: Callable[[Draw], np.ndarray], expected: float
) -> None:
    # The recorded seventh digits are up to 2e-7 off: see the closed form of the disjoint case below.
    draw = np.random.default_rng(0)
    before = reference(draw)
    assert psi_of(before, current(draw)) == pytest.approx(expected, abs=3e-7)


def test_closed_forms() -> None:
    assert psi([0.1] * 10, [0.05] * 2 + [0.1] * 6 + [0.15] * 2) == pytest.approx(0.1 * math.log(3), abs=1e-12)
    assert psi([0.5, 0.3, 0.2], [0.4, 0.35, 0.25]) == pytest.approx(0.0411791, abs=5e-8)
    disjoint = 9 * (0.1 - 1e-4) * math.log(0.1 / 1e-4) + 0.9 * math.log(10)
    assert psi([0.1] * 10, [0] * 9 + [1]) == pytest.approx(disjoint, abs=1e-12)


shares = st.lists(st.integers(0, 1000), min_size=2, max_size=12).filter(any)


@given(shares, st.randoms())
def test_psi_is_never_negative_symmetric_and_zero_for_equal_shares(counts: list[int], random) -> None:
    other = counts.copy()
    random.shuffle(other)
    r, c = (np.array(x) / sum(x) for x in (counts, other))
    assert psi(r, r) == 0
    assert psi(r, c) == pytest.approx(psi(c, r))
    assert psi(r, c) >= 0


def test_chance_is_the_chi_squared_quantile() -> None:
    expected = chi2.ppf(1 - 0.05 / 50, 9) * (1 / 10_000 + 1 / 200)
    assert psi_by_chance(10, 10_000, 200, checks=50) == pytest.approx(expected, rel=1e-9)


def test_chance_holds_what_it_promises_on_undrifted_samples() -> None:
    draw = np.random.default_rng(1)
    seen = [psi_of(draw.normal(size=1000), draw.normal(size=200)) for _ in range(1000)]
    above = np.mean(np.array(seen) > psi_by_chance(10, 1000, 200, checks=1))
    assert 0.03 < above < 0.08


# --- bins -----------------------------------------------------------------------------------------


def test_many_values_take_deciles_and_equal_edges_merge() -> None:
    assert len(Bins.of(np.arange(1000.0)).counts) == 10
    rain = np.r_[np.zeros(950), np.arange(1.0, 51)]
    assert Bins.of(rain).counts == (0, 1000)  # all nine edges are 0: the trap of a zero-inflated column


def test_few_values_take_a_bin_each_and_one_for_the_unseen() -> None:
    bins = Bins.of(np.repeat(np.arange(20.0), 3))
    assert bins.counts == (*([3] * 20), 0)
    assert list(bins.count(np.array([0.0, 19.0, 7.5, -1.0, 99.0]))) == [1, *([0] * 18), 1, 3]


def test_levels_take_a_bin_each_and_one_for_the_unseen() -> None:
    bins = Bins.of(np.array(["a", "b", "a"], dtype=object))
    assert (bins.cuts, bins.counts) == (("a", "b"), (2, 1, 0))
    assert list(bins.count(np.array(["b", "z", "z"], dtype=object))) == [0, 1, 2]


def test_too_many_levels_share_the_last_bin_which_then_is_not_unseen() -> None:
    bins = Bins.of(np.array([f"t{i % 600}" for i in range(1300)], dtype=object))
    assert (len(bins.cuts), bins.complete, bins.rows) == (500, False, 1300)
    assert bins.counts[-1] > 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.lists(st.floats(-1e9, 1e9), max_size=50))
def test_every_known_value_falls_into_exactly_one_bin_also_after_json(
    reference: list[float], current: list[float]
) -> None:
    bins = Bins.of(np.array(reference))
    assert bins.rows == len(reference)
    again = Bins.from_json(bins.to_json())
    assert again == bins
    assert again.count(np.array(current, dtype=float)).sum() == len(current)
