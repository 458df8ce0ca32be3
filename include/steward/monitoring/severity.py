"""How urgent a trouble is: from what the model may do to people, and how large the trouble is."""

from __future__ import annotations

from steward.monitoring.windows import Cause
from steward.types import RiskTier

SEVERITIES = ("low", "medium", "high")
_TIERS = {RiskTier.LOW: 0, RiskTier.MEDIUM: 1, RiskTier.HIGH: 2}


def severity(tier: RiskTier, cause: Cause, effect: str | None) -> str:
    """Of a medium effect, that of the tier; one step less or more for a small or a large one.

    Drift alone is for watching: one step less again. Where the effect is not known, drift is low, and a loss or a
    broken input weighs as much as the model does.
    """
    if effect is None:
        return "low" if cause is Cause.DRIFT else SEVERITIES[_TIERS[tier]]
    step = _TIERS[tier] + SEVERITIES.index(effect) - 1 - (cause is Cause.DRIFT)
    return SEVERITIES[min(max(step, 0), 2)]


def worst(one: str, other: str) -> str:
    return max(one, other, key=SEVERITIES.index)


def at_least(given: str, floor: str) -> bool:
    return SEVERITIES.index(given) >= SEVERITIES.index(floor)
