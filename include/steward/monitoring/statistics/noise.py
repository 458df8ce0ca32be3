"""What PSI reaches without any drift, at these counts.

`χ²(B−1) · (1/N + 1/M)` is right where every bin expects dozens of rows. Below that the true tail is far heavier: an
empty bin is raised to 1e-4 and its logarithm weighs more than a square would. At 200 rows over 100 levels the χ²
quantile of one in ten thousand is passed by two windows of three. So the tail is computed from what may happen in each
bin: given y of N reference rows, the window's M rows put a negative binomial number there (a Poisson rate known from y
only), PSI is the sum of what each bin then adds, and the saddlepoint of that sum gives its tail (Daniels 1954; Bahadur
and Rao 1960). Bins are taken as independent, which leaves out that shares sum up to 1: a little too careful with two
or three bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from steward.monitoring.statistics.psi import FLOOR, psi_by_chance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_PLENTY = 100  # rows expected in the emptiest bin from which χ² is right
_CELLS = 128  # numbers of rows looked at per bin
_ALIKE = 25.0  # reference counts within 1/25 of each other are taken as one
_NEGLIGIBLE = 0.01  # of alpha, all bins together
_UNSEEN = 0.5  # reference rows that a bin is given in which there were none
_DOUBLINGS, _HALVINGS = 40, 12


def psi_without_drift(reference: Sequence[int], rows: int, alpha: float, *, levels: bool = False) -> float:
    """What PSI of `rows` rows exceeds with chance `alpha` while nothing moved; never below the χ² quantile.

    `reference` are counts per bin. With `levels` the last bin holds levels never seen: as many rows of it are expected
    as there were levels seen just once (Good 1953).
    """
    counts = np.asarray(reference, np.int64)
    total = int(counts.sum())
    used = int((counts > 0).sum()) + int(counts[-1] == 0)
    by_chance = psi_by_chance(used, total, rows, 1, alpha)
    if counts.min() * min(rows / total, 1.0) >= _PLENTY:
        return by_chance
    bins = _bins(counts, rows, levels, alpha * _NEGLIGIBLE / len(counts))
    return max(by_chance, _quantile(bins, min(total, rows), alpha))


@dataclass(frozen=True)
class _Bins:
    """`chances` (log) and `parts` of PSI by bin and by number of rows in it; `times`: bins that are alike."""

    times: Floats
    chances: Floats
    parts: Floats


def _bins(counts: NDArray[np.int64], rows: int, levels: bool, negligible: float) -> _Bins:
    """Numbers of rows so rare that all of them together hardly add to the tail are left out: an empty bin where fifty
    rows are expected has a huge part in PSI and would bend the saddlepoint to an event that never happens."""
    from scipy.special import gammaln

    total = int(counts.sum())
    seen, times = np.unique(_rounded(counts), return_counts=True)
    once = int((counts == 1).sum()) if levels else 0
    shape = np.where(seen > 0, seen, max(once, _UNSEEN))[:, None]
    mean, wide = shape * rows / total, 1 + rows / total
    spread = np.sqrt(mean * wide)
    low = np.maximum(0, np.floor(mean - 10 * spread))
    high = np.minimum(np.ceil(mean + 10 * spread + 30 * wide), rows)
    came = low + np.maximum(1, np.ceil((high - low) / _CELLS)) * np.arange(_CELLS + 1)
    chances = gammaln(came + shape) - gammaln(came + 1) + came * math.log(rows / (total + rows))
    chances = np.where(came <= rows, chances, -np.inf)
    chances -= np.logaddexp.reduce(chances, axis=1)[:, None]
    below, above = np.exp(chances).cumsum(axis=1), np.exp(chances)[:, ::-1].cumsum(axis=1)[:, ::-1]
    chances = np.where((below > negligible) & (above > negligible), chances, -np.inf)
    before, now = np.maximum(seen / total, FLOOR)[:, None], np.maximum(came / rows, FLOOR)
    return _Bins(times.astype(np.float64), chances, (now - before) * np.log(now / before))


def _rounded(counts: NDArray[np.int64]) -> Floats:
    """Large counts to steps of a few percent, so that hundreds of levels come to a few dozen kinds of bin."""
    steps = np.exp(np.round(np.log(np.maximum(counts, 1)) * _ALIKE) / _ALIKE)
    return np.where(counts > _ALIKE, steps, counts)


def _quantile(bins: _Bins, scale: float, alpha: float) -> float:
    """By halving the interval that holds the saddlepoint; the tail falls as the tilt grows."""
    low = high = 0.05 * scale
    for _ in range(_DOUBLINGS):
        if _tail(bins, high)[0] <= alpha:
            break
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _tail(bins, middle)[0] > alpha else (low, middle)
    return _tail(bins, high)[1]


def _tail(bins: _Bins, tilt: float) -> tuple[float, float]:
    """Chance that PSI exceeds a value, and the value: at the saddlepoint `tilt`. Chernoff's bound, and the sharper one
    of Bahadur and Rao where the sum is spread out enough to be taken as continuous."""
    powers = bins.chances + tilt * bins.parts
    top = powers.max(axis=1)
    weights = np.exp(powers - top[:, None])
    sums = weights.sum(axis=1)
    weights /= sums[:, None]
    means = (weights * bins.parts).sum(axis=1)
    spreads = (weights * bins.parts**2).sum(axis=1) - means**2
    value, variance = float(bins.times @ means), max(float(bins.times @ spreads), 0.0)
    bound = float(bins.times @ (np.log(sums) + top)) - tilt * value
    return math.exp(bound) / max(1.0, tilt * math.sqrt(2 * math.pi * variance)), value
