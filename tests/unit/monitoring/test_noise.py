"""What PSI reaches without drift: against draws, where χ² is right and where it is far off."""

from __future__ import annotations

import numpy as np
import pytest

from steward.monitoring.statistics.noise import psi_without_drift
from steward.monitoring.statistics.psi import FLOOR, psi_by_chance

DRAWS = 40_000


def psis(reference: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """One per row of `windows`."""
    before = np.maximum(reference / reference.sum(), FLOOR)
    now = np.maximum(windows / windows.sum(axis=1, keepdims=True), FLOOR)
    return ((now - before) * np.log(now / before)).sum(axis=1)


def shares_of(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum()


SHAPES = {
    "deciles": np.full(10, 0.1),
    "flag": np.array([0.95, 0.05]),
    "rare levels": shares_of(np.array([600, 300, 50, 30, 10, 5, 4, 1])),
    "zipf of 20": shares_of(1 / np.arange(1, 21) ** 1.5),
    "100 levels": np.full(100, 0.01),
}


@pytest.mark.parametrize("rows", [100, 200, 1000])
@pytest.mark.parametrize("reference_rows", [2000, 1_000_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_undrifted_windows_exceed_it_as_rarely_as_it_says(shape: str, reference_rows: int, rows: int) -> None:
    """At one in a thousand, over fresh references: never more than twice as often, beyond what these draws allow."""
    draw, alpha, exceeded = np.random.default_rng(7), 0.001, 0
    for _ in range(4):
        reference = draw.multinomial(reference_rows, SHAPES[shape])
        windows = draw.multinomial(rows, SHAPES[shape], size=DRAWS // 4)
        exceeded += int((psis(reference, windows) > psi_without_drift(reference.tolist(), rows, alpha)).sum())
    assert exceeded <= 2 * alpha * DRAWS + 3 * np.sqrt(2 * alpha * DRAWS)


def test_the_quantile_of_chi_squared_is_exceeded_far_more_often() -> None:
    """What the computed tail is for."""
    draw = np.random.default_rng(7)
    windows = draw.multinomial(200, SHAPES["100 levels"], size=2000)
    reference = np.full(100, 10_000)
    assert (psis(reference, windows) > psi_by_chance(100, 1_000_000, 200, 1, 0.001)).mean() > 0.5
    assert (psis(reference, windows) > psi_without_drift(reference.tolist(), 200, 0.001)).mean() < 0.01


@pytest.mark.parametrize("rows", [50, 200, 1000, 100_000])
@pytest.mark.parametrize("reference", [[1000] * 10, [1, 2, 3, 0], [5, 0], [100_000, 0], [900, *[1] * 100, 0]])
@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-5])
def test_it_is_never_weaker_than_the_pinned_rule(reference: list[int], rows: int, alpha: float) -> None:
    used = sum(count > 0 for count in reference)
    assert psi_without_drift(reference, rows, alpha, levels=True) >= psi_by_chance(used, sum(reference), rows, 1, alpha)


def test_with_many_rows_in_every_bin_it_is_the_pinned_rule() -> None:
    assert psi_without_drift([100_000] * 10, 5000, 0.001) == psi_by_chance(10, 1_000_000, 5000, 1, 0.001)


def test_rarer_chances_ask_for_more_and_more_rows_for_less() -> None:
    asked = [psi_without_drift([200] * 10, 200, alpha) for alpha in (0.05, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)]
    assert asked == sorted(asked)
    by_rows = [psi_without_drift([2000] * 10, rows, 1e-4) for rows in (50, 100, 200, 500, 2000)]
    assert by_rows == sorted(by_rows, reverse=True)


def test_hundreds_of_levels_come_to_few_kinds_of_bin() -> None:
    """Rounded counts give nearly the quantile of the counts themselves."""
    levels = (100_000 / np.arange(1, 501)).astype(int)
    draw = np.random.default_rng(3)
    windows = draw.multinomial(10_000, shares_of(levels.astype(float)), size=4000)
    quantile = psi_without_drift(levels.tolist(), 10_000, 0.01)
    assert 0.001 < (psis(levels, windows) > quantile).mean() < 0.02
