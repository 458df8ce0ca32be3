"""Has a distribution moved? PSI against the profile's bins, judged with what chance alone would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steward.gates import Finding, Outcome
from steward.monitoring.noise import psi_without_drift
from steward.monitoring.psi import psi

if TYPE_CHECKING:
    from steward.types import JsonObject


def judge_shift(
    gate: str, what: str, about: JsonObject, counts: Sequence[int], *, limit: float, alpha: float
) -> Finding:
    """FAILED only above both the limit and what chance exceeds with `alpha` while nothing moved.

    INCONCLUSIVE without values on either side, and when so few rows came that chance alone may pass the limit.
    `about` is what the profile says of it; `counts` of the window align with its bins.
    """
    bins = about["bins"]
    reference, rows = bins["counts"], sum(counts)
    if not rows or not sum(reference):
        side = "window" if sum(reference) else "reference"
        return Finding(gate, Outcome.INCONCLUSIVE, f"{what} has no values in the {side}", None, limit, rows=rows)
    value = psi_of_counts(reference, counts)
    chance = psi_without_drift(reference, rows, alpha, levels=bins["kind"] == "levels")
    said = f"PSI {value:.3g}, limit {limit:g}, chance gives up to {chance:.2g} at {rows} rows"
    if value > max(limit, chance):
        return Finding(gate, Outcome.FAILED, f"{what} moved: {said}{_usual(about)}", value, limit, rows=rows)
    if chance > limit:
        reason = f"{what} cannot be told from chance: {said}"
        return Finding(gate, Outcome.INCONCLUSIVE, reason, value, limit, rows=rows)
    return Finding(gate, Outcome.PASSED, f"{what} is steady: {said}", value, limit, rows=rows)


def _usual(about: JsonObject) -> str:
    highest = (about.get("swing") or {}).get("highest")
    return "" if highest is None else f"; windows of the reference themselves reach {highest:.2g}"


def psi_of_counts(reference: Sequence[int], counts: Sequence[int]) -> float:
    """Of two counts over the same bins, neither of them empty."""
    before, now = sum(reference), sum(counts)
    return psi([count / before for count in reference], [count / now for count in counts])
