"""How far the scores of two versions lie apart, and how much of it may be chance, however often one looks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]

FEWEST_IN_BIN = 5  # expected of either side: fewer, and an empty bin looks like a shift
_CLEARLY = 0.1  # of a standard deviation
_LARGE = 1000.0  # from here on a noncentral χ² is as good as normal


@dataclass(frozen=True)
class Shift:
    """`by_chance`: what PSI reaches without any shift at these counts, once in a hundred looks. `proof`: what it must
    exceed to prove a shift beyond the limit, at whatever look."""

    psi: float | None
    by_chance: float
    proof: float

    @classmethod
    def unknown(cls) -> Self:
        return cls(None, 0.0, math.inf)


def shift_of(current: Floats, reference: Floats, limit: float, alpha: float, since: int) -> Shift:
    """PSI over the deciles of the reference. Where rows are few, bins are joined until each expects a handful on either
    side. `since`: rows of `current` from which it is looked at.

    Edges, whatever the values: two trees with different leaves are not two different distributions.
    """

    if not len(current) or not len(reference):
        return Shift.unknown()
    edges = _edges(reference)
    return _shift(_counts(edges, reference), _counts(edges, current), limit, alpha, since)


def shift_of_classes(current: Floats, reference: Floats, classes: int, limit: float, alpha: float, since: int) -> Shift:
    """As `shift_of`, of numbers of classes: each is a bin; the rarest are joined first."""
    import numpy as np

    if not len(current) or not len(reference):
        return Shift.unknown()
    theirs, ours = (np.bincount(each.astype(np.intp), minlength=classes) for each in (reference, current))
    by_rows = np.argsort(theirs + ours, kind="stable")
    return _shift(theirs[by_rows], ours[by_rows], limit, alpha, since)


def _shift(theirs: Counts, ours: Counts, limit: float, alpha: float, since: int) -> Shift:
    from steward.monitoring.statistics.psi import psi, psi_by_chance

    reference, current = int(theirs.sum()), int(ours.sum())
    theirs, ours = _joined(theirs, ours)
    if len(ours) < 2:
        return Shift.unknown() if min(current, reference) < 2 * FEWEST_IN_BIN else Shift(0.0, 0.0, math.inf)
    value = psi(theirs / reference, ours / current)
    noise = psi_by_chance(len(ours), reference, current, checks=1, alpha=0.01)
    return Shift(value, noise, _proof(theirs, ours, limit, alpha, since))


def _edges(reference: Floats) -> Floats:
    """Deciles. Where a tenth and more have the highest score, what lies clearly above it is a bin of its own."""
    import numpy as np

    edges = np.unique(np.quantile(reference, np.linspace(0.1, 0.9, 9)))
    top = float(reference.max())
    if edges[-1] < top:
        return edges
    return np.append(edges, max(top + _CLEARLY * float(reference.std()), np.nextafter(top, math.inf)))


def _counts(edges: Floats, values: Floats) -> Counts:
    import numpy as np

    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)


def _joined(theirs: Counts, ours: Counts) -> tuple[Counts, Counts]:
    """Neighbouring bins together until the smaller side expects FEWEST_IN_BIN in each."""
    import numpy as np

    share = min(theirs.sum(), ours.sum()) / (theirs.sum() + ours.sum())
    expected = (theirs + ours) * share
    starts, held = [0], 0.0
    for place, count in enumerate(expected):
        if held >= FEWEST_IN_BIN and expected[place:].sum() >= FEWEST_IN_BIN:
            starts.append(place)
            held = 0.0
        held += float(count)
    return np.add.reduceat(theirs, starts), np.add.reduceat(ours, starts)


def _proof(theirs: Counts, ours: Counts, limit: float, alpha: float, since: int) -> float:
    """The larger of two bounds on PSI at a true shift of `limit`: about s·χ²(B-1, limit/s), s = 1/N + 1/M, and a normal
    one with the spread that these counts show, which is wider where a bin is nearly empty.

    Looked at again and again: within each doubling of the rows the bound is that of its beginning (means over ever more
    rows come back to the truth, so what exceeds it later exceeded it there, or with half the chance again), and the
    chance is shared out over the doublings, 1/((k+1)(k+2)) each.
    """
    from scipy.special import ndtri

    reference_rows, current_rows, bins = int(theirs.sum()), int(ours.sum()), len(ours)
    doubling = max(0, int(math.log2(max(current_rows / max(since, 1), 1))))
    earlier = current_rows / min(current_rows, max(since, 1) * 2**doubling)
    spread = (1 / reference_rows + 1 / current_rows) * earlier
    chance = alpha / ((doubling + 1) * (doubling + 2)) / 2
    deviation = math.sqrt(_variance(theirs, ours) * earlier)
    normal = max(limit, 0.0) + (bins - 1) * spread + float(-ndtri(chance)) * deviation
    return max(normal, spread * _noncentral_quantile(bins - 1, max(limit, 0.0) / spread, chance))


def _variance(theirs: Counts, ours: Counts) -> float:
    """Of PSI, by the delta method; half a row is added to every bin: an empty one is rare, not impossible."""
    import numpy as np

    r, c = ((counts + 0.5) / (counts.sum() + len(counts) / 2) for counts in (theirs, ours))
    by_ours, by_theirs = np.log(c / r) + 1 - r / c, np.log(r / c) + 1 - c / r
    of_ours = (c * by_ours**2).sum() - (c * by_ours).sum() ** 2
    of_theirs = (r * by_theirs**2).sum() - (r * by_theirs).sum() ** 2
    return float(of_ours / ours.sum() + of_theirs / theirs.sum())


def _noncentral_quantile(freedom: int, centre: float, chance: float) -> float:
    from scipy.special import chndtrix, ndtri

    if centre < _LARGE:
        exact = float(chndtrix(1 - chance, freedom, centre))
        if math.isfinite(exact):
            return exact
    return freedom + centre + float(-ndtri(chance)) * math.sqrt(2 * (freedom + 2 * centre))
