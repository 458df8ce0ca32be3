"""The wealth of a bettor: right by an independent slow computation, fair under the null, quick to see a fault."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from steward.gates.betting import (
    bets,
    log_proof,
    log_proof_of_mean,
    log_wealth,
    log_wealth_of_mean,
    trials_to_prove,
)


def slow_proof(hits: list[int], trials: list[int], rate: Fraction) -> float:
    """The definition, in exact fractions: every bet, every block of beginning, block after block."""
    staked = [Fraction(bet) for bet in bets(float(rate))]
    shares = [Fraction(1, 2), *(Fraction(1, 2 * k * (k + 1)) for k in range(1, len(hits)))]
    highest = Fraction(1)
    for end in range(1, len(hits) + 1):
        wealth = Fraction(0)
        for bet in staked:
            for start in range(end):
                grown = shares[start] / len(staked)
                for hit, trial in zip(hits[start:end], trials[start:end], strict=True):
                    grown *= (1 + bet * (1 - rate) / rate) ** hit * (1 - bet) ** (trial - hit)
                wealth += grown
        highest = max(highest, wealth)
    return math.log(highest)


@pytest.mark.parametrize(
    ("hits", "trials", "rate"),
    [
        ([0], [1], Fraction(1, 100)),
        ([1], [1], Fraction(1, 100)),
        ([5], [40], Fraction(1, 100)),
        ([0, 0, 3], [30, 30, 20], Fraction(1, 50)),
        ([4, 0, 0, 0], [20, 20, 20, 20], Fraction(1, 20)),
        ([9, 11, 8], [20, 20, 20], Fraction(1, 2)),
    ],
)
def test_the_proof_is_the_slow_exact_one(hits: list[int], trials: list[int], rate: Fraction) -> None:
    assert log_proof(hits, trials, float(rate)) == pytest.approx(slow_proof(hits, trials, rate), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("hits", "trials", "rate", "golden"),
    [(5, 40, 0.01, 6.6441385), (0, 100, 0.01, -1.7915360), (1, 1, 0.05, 1.7660219), (300, 600, 0.5, -1.6119061)],
)
def test_golden_wealth(hits: int, trials: int, rate: float, golden: float) -> None:
    """Figures from exact fractions; a change of the bets shows here."""
    assert log_wealth(hits, trials, rate) == pytest.approx(golden, abs=5e-7)


def test_wealth_does_not_grow_in_expectation_under_the_null() -> None:
    """E[e] = 1 at the boundary rate, by exact enumeration."""
    trials, rate = 30, 0.1
    expectation = sum(
        math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) * math.exp(log_wealth(k, trials, rate))
        for k in range(trials + 1)
    )
    assert expectation == pytest.approx(1.0, abs=1e-9)


def test_wealth_on_a_mean_does_not_grow_in_expectation_under_the_null() -> None:
    """Ten values of -1, 0 or 1 with mean 0, every sequence that matters by its counts."""
    expectation = 0.0
    for up in range(11):
        for down in range(11 - up):
            ways = math.factorial(10) // (math.factorial(up) * math.factorial(down) * math.factorial(10 - up - down))
            chance = ways * 0.25 ** (up + down) * 0.5 ** (10 - up - down)
            values = [1.0] * up + [-1.0] * down + [0.0] * (10 - up - down)
            expectation += chance * math.exp(log_wealth_of_mean(values, 0.0))
    assert expectation == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(
    ("hits", "trials", "rate", "expected"),
    [
        (0, 0, 0.01, 0.0),
        (0, 10_000_000, 0.0, 0.0),
        (1, 10_000_000, 0.0, math.inf),
        (1, 1, -0.5, math.inf),
        (50, 50, 1.0, 0.0),
    ],
    ids=["nothing", "none allowed, none seen", "none allowed, one seen", "less than none", "all allowed"],
)
def test_rates_at_the_ends(hits: int, trials: int, rate: float, expected: float) -> None:
    assert log_wealth(hits, trials, rate) == expected
    assert log_proof([hits], [trials], rate) == expected


@pytest.mark.parametrize("rate", [1e-9, 1e-4, 0.01, 0.5, 0.999])
@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (1, 1), (0, 10**7), (10**7, 10**7), (10**5, 10**7)])
def test_huge_counts_and_rare_rates_stay_finite(rate: float, hits: int, trials: int) -> None:
    assert math.isfinite(log_wealth(hits, trials, rate))
    assert math.isfinite(log_proof([hits] * 3, [trials] * 3, rate))


def test_empty_blocks_and_no_blocks_say_nothing() -> None:
    assert log_proof([], [], 0.01) == 0.0
    assert log_proof([0, 0], [0, 0], 0.01) == 0.0
    assert log_proof([0, 4, 0], [0, 20, 0], 0.01) == log_proof([4], [20], 0.01)
    assert log_proof_of_mean([], 0.0) == log_wealth_of_mean([], 0.0) == 0.0


def test_a_late_fault_is_proven_after_as_many_requests_as_an_early_one_and_a_few_more() -> None:
    early = next(n for n in range(1, 100) if log_proof([n], [5 * n], 0.01) > math.log(1000))
    late = next(n for n in range(1, 100) if log_proof([0] * 1000 + [n], [50] * 1000 + [5 * n], 0.01) > math.log(1000))
    assert early < late <= 4 * early


@pytest.mark.parametrize(
    ("actual", "limit", "expected"),
    [(0.1, 0.01, 148), (0.05, 0.01, 488), (0.02, 0.01, 4742), (1.0, 0.01, 3), (0.2, 0.0, 14)],
)
def test_trials_to_prove(actual: float, limit: float, expected: int) -> None:
    assert trials_to_prove(actual, limit, 0.01 / 12) == expected


@pytest.mark.parametrize("actual", [0.005, 0.01, 0.0101])
def test_what_is_no_fault_or_hardly_one_is_never_proven(actual: float) -> None:
    assert trials_to_prove(actual, 0.01, 0.001) is None


def test_trials_to_prove_are_right_by_simulation() -> None:
    draw, target = np.random.default_rng(5), math.log(2 / 0.001)
    needed = trials_to_prove(0.1, 0.01, 0.001)
    assert needed is not None
    proven = 0
    for _ in range(2000):
        hits = np.cumsum(draw.random(needed) < 0.1)
        at = np.flatnonzero(np.diff(hits, prepend=0))
        proven += any(log_wealth(int(hits[place]), int(place) + 1, 0.01) >= target for place in at)
    assert proven / 2000 == pytest.approx(0.95, abs=0.015)
