"""Has a distribution moved? PSI against the profile's bins, judged with what chance alone would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steward.gates import Finding, Outcome
from steward.monitoring.statistics.noise import psi_without_drift
from steward.monitoring.statistics.psi import psi, psi_by_chance

if TYPE_CHECKING:
    from steward.types import JsonObject

FEWEST_IN_BIN = 20  # rows expected; levels and values with fewer are looked at together as well


@dataclass(frozen=True)
class _Look:
    """PSI over some bins, and what chance exceeds while nothing moved."""

    value: float
    chance: float

    def moved(self, limit: float) -> bool:
        return self.value > max(limit, self.chance)

    def blind(self, limit: float) -> bool:
        return self.chance > limit


def judge_shift(
    gate: str, what: str, about: JsonObject, counts: Sequence[int], *, limit: float, alpha: float
) -> Finding:
    """FAILED only above both the limit and what chance exceeds with `alpha` while nothing moved.

    INCONCLUSIVE without values on either side, and when so few rows came that chance alone may pass the limit.
    `about` is what the profile says of it; `counts` of the window align with its bins.

    Where chance over all bins passes the limit, rare levels are looked at together too, and the two looks share
    `alpha`: joining bins never raises PSI, so what has moved joined has moved, and far fewer rows show it.
    """
    bins = about["bins"]
    reference, rows = bins["counts"], sum(counts)
    if not rows or not sum(reference):
        side = "window" if sum(reference) else "reference"
        return Finding(gate, Outcome.INCONCLUSIVE, f"{what} has no values in the {side}", None, limit, rows=rows)
    fine, rough = _looks(bins, counts, limit, alpha)
    said = f"PSI {fine.value:.3g}, limit {limit:g}, chance gives up to {fine.chance:.2g} at {rows} rows"
    if rough is not None:
        said += f"; rare ones together {rough.value:.2g}, chance {rough.chance:.2g}"
    if fine.moved(limit) or (rough is not None and rough.moved(limit)):
        return Finding(gate, Outcome.FAILED, f"{what} moved: {said}{_usual(about)}", fine.value, limit, rows=rows)
    if fine.blind(limit) and (rough is None or rough.blind(limit)):
        reason = f"{what} cannot be told from chance: {said}"
        return Finding(gate, Outcome.INCONCLUSIVE, reason, fine.value, limit, rows=rows)
    return Finding(gate, Outcome.PASSED, f"{what} is steady: {said}", fine.value, limit, rows=rows)


def _looks(bins: JsonObject, counts: Sequence[int], limit: float, alpha: float) -> tuple[_Look, _Look | None]:
    """Over all bins; and with rare ones together, where that tells more. What decides on the second look is known from
    the reference and the number of rows alone, or it would be a look that chance had chosen."""
    reference, levels = bins["counts"], bins["kind"] == "levels"
    fine = _look(reference, counts, alpha, levels=levels)
    before, now = joined(reference, counts) if bins["kind"] != "edges" else (reference, counts)
    if not fine.blind(limit) or not 2 <= len(before) < len(reference):
        return fine, None
    fine, rough = _look(reference, counts, alpha / 2, levels=levels), _look(before, now, alpha / 2)
    used = sum(1 for old, new in zip(reference, counts, strict=True) if old or new)
    pinned = psi_by_chance(used, sum(reference), sum(counts), 1, alpha)
    return fine, rough if fine.value > pinned else _Look(min(rough.value, limit), rough.chance)


def _look(reference: Sequence[int], counts: Sequence[int], alpha: float, *, levels: bool = False) -> _Look:
    chance = psi_without_drift(reference, sum(counts), alpha, levels=levels)
    return _Look(psi_of_counts(reference, counts), chance)


def joined(reference: Sequence[int], counts: Sequence[int]) -> tuple[list[int], list[int]]:
    """Bins that expect fewer than FEWEST_IN_BIN rows of such a window come last, as one."""
    fewest = FEWEST_IN_BIN * sum(reference) / sum(counts)
    pairs = list(zip(reference, counts, strict=True))
    common = [pair for pair in pairs if pair[0] >= fewest]
    rare = [pair for pair in pairs if pair[0] < fewest]
    together = [(sum(old for old, _ in rare), sum(new for _, new in rare))] if rare else []
    return [old for old, _ in (*common, *together)], [new for _, new in (*common, *together)]


def _usual(about: JsonObject) -> str:
    highest = (about.get("swing") or {}).get("highest")
    return "" if highest is None else f"; windows of the reference themselves reach {highest:.2g}"


def psi_of_counts(reference: Sequence[int], counts: Sequence[int]) -> float:
    """Of two counts over the same bins, neither of them empty."""
    before, now = sum(reference), sum(counts)
    return psi([count / before for count in reference], [count / now for count in counts])
