"""Has a distribution moved? PSI against the profile's bins, judged with what chance alone would give."""

from __future__ import annotations

from steward.gates import Finding, Outcome
from steward.monitoring.bins import Bins, Vector
from steward.monitoring.psi import psi, psi_by_chance


def judge_shift(gate: str, what: str, bins: Bins, known: Vector, *, limit: float, checks: int) -> Finding:
    """FAILED only above both the limit and the chance quantile with `checks` looked at together.

    INCONCLUSIVE without values on either side, and when so few rows came that chance alone may pass the
    limit.
    """
    rows = len(known)
    if not rows or not bins.rows:
        side = "window" if bins.rows else "reference"
        return Finding(gate, Outcome.INCONCLUSIVE, f"{what} has no values in the {side}", None, limit, rows=rows)
    counts = bins.count(known)
    value = psi([n / bins.rows for n in bins.counts], counts / rows)
    used = sum(1 for before, now in zip(bins.counts, counts, strict=True) if before or now)
    chance = psi_by_chance(used, bins.rows, rows, checks)
    said = f"PSI {value:.3g}, limit {limit:g}, chance gives up to {chance:.2g} at {rows} rows"
    if value > max(limit, chance):
        return Finding(gate, Outcome.FAILED, f"{what} moved: {said}", value, limit, rows=rows)
    if chance > limit:
        reason = f"{what} cannot be told from chance: {said}"
        return Finding(gate, Outcome.INCONCLUSIVE, reason, value, limit, rows=rows)
    return Finding(gate, Outcome.PASSED, f"{what} is steady: {said}", value, limit, rows=rows)
