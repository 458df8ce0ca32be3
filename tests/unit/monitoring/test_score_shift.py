"""PSI between two versions' scores: a figure, what chance makes of it, and what would prove a shift."""

from __future__ import annotations

import math

import numpy as np
import pytest

from steward.monitoring.profiles.bins import Bins
from steward.monitoring.statistics.psi import psi
from steward.monitoring.statistics.score_shift import Shift, shift_of, shift_of_classes

LIMIT, ALPHA = 0.25, 0.001


def shift(current: object, reference: object, since: int = 100, limit: float = LIMIT) -> Shift:
    return shift_of(np.asarray(current, float), np.asarray(reference, float), limit, ALPHA, since)


def normal(rows: int, moved: float = 0.0, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(moved, 1, rows)


def test_with_rows_enough_it_is_the_pinned_psi_over_deciles() -> None:
    reference, current = normal(2000), normal(1000, 0.4, 2)
    bins = Bins.of(reference)
    expected = psi(np.array(bins.counts) / 2000, bins.count(current) / 1000)
    assert shift(current, reference).psi == pytest.approx(expected)


@pytest.mark.parametrize(
    ("current", "reference"), [([], []), ([], [1.0] * 50), ([1.0] * 50, []), ([0.1] * 5, [0.2] * 50)]
)
def test_too_few_rows_say_nothing(current: list[float], reference: list[float]) -> None:
    assert shift(current, reference).psi is None


def test_few_rows_fall_into_fewer_bins() -> None:
    """Forty answers in ten bins leave some empty, and PSI takes an empty bin for a shift."""
    values = [shift(normal(40, seed=seed), normal(40, seed=seed + 500)).psi or 0.0 for seed in range(200)]
    assert np.quantile(values, 0.99) < 0.8
    deciles = [
        psi(np.array(b.counts) / 40, b.count(normal(40, seed=s)) / 40)
        for s in range(200)
        for b in [Bins.of(normal(40, seed=s + 500))]
    ]
    assert np.quantile(deciles, 0.99) > 1.5


def test_other_leaves_of_a_tree_are_no_shift() -> None:
    """Two trees with scores 0.10, 0.20, … and 0.11, 0.21, …: no value in common, hardly a difference."""
    draw = np.random.default_rng(3)
    leaves = draw.integers(1, 9, (2, 2000)) / 10
    found = shift(leaves[0] + 0.01, leaves[1])
    assert found.psi is not None
    assert found.psi < 0.05


@pytest.mark.parametrize("other", [0.9, 0.1, 0.30001])
def test_two_constants_differ_or_do_not(other: float) -> None:
    assert shift([0.3] * 100, [0.3] * 100).psi == pytest.approx(0.0)
    apart = shift([other] * 100, [0.3] * 100)
    assert apart.psi is not None
    assert apart.psi > apart.proof


def test_scores_above_the_highest_of_two_are_seen() -> None:
    mixed = [0.3] * 100 + [0.7] * 100
    assert (shift([0.3] * 50 + [0.95] * 50, mixed).psi or 0.0) > 1.0
    assert (shift([0.31] * 50 + [0.71] * 50, mixed).psi or 0.0) < 0.1


def test_proof_is_harder_than_chance_and_comes_near_the_limit_with_rows() -> None:
    few, many = (shift(normal(rows, 0.3, 5), normal(rows, seed=6)) for rows in (200, 200_000))
    assert few.by_chance < LIMIT < few.proof
    assert LIMIT < many.proof < LIMIT * 1.15
    assert math.isfinite(few.proof)


def test_a_limit_of_nothing_still_asks_for_more_than_chance() -> None:
    found = shift(normal(500, seed=7), normal(500, seed=8), limit=0.0)
    assert found.psi is not None
    assert found.psi < found.proof


def classes(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts), dtype=float), counts)


def test_each_class_is_a_bin() -> None:
    """The shares of the oracle: 0.5 0.3 0.2 beside 0.4 0.35 0.25."""
    found = shift_of_classes(classes(400, 350, 250), classes(500, 300, 200), 3, 0.25, 0.01, 1000)
    assert found.psi == pytest.approx(0.0411791, abs=1e-7)


def test_classes_that_trade_places_are_a_shift_although_their_mean_stays() -> None:
    found = shift_of_classes(classes(0, 900, 100), classes(0, 100, 900), 3, 0.25, 0.01, 1000)
    assert found.psi is not None
    assert found.psi > found.proof > 0.25


def test_the_rarest_classes_are_joined_first() -> None:
    """Two rows of a class say nothing by themselves, wherever it stands in the list."""
    apart = shift_of_classes(classes(2, 500, 0, 498), classes(0, 500, 2, 498), 4, 0.25, 0.01, 1000)
    assert apart.psi == pytest.approx(0.0, abs=1e-9)


def test_of_no_answers_nothing_is_known() -> None:
    assert shift_of_classes(classes(), classes(10, 10), 2, 0.25, 0.01, 10) == Shift.unknown()
