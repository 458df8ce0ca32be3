"""What a verdict on a candidate means for its risk tier. Imports light."""

from __future__ import annotations

from typing import Literal

from steward.gates import Outcome, Verdict
from steward.gates.fairness import SMALL_GROUP
from steward.types import RiskTier

Decision = Literal["stop", "ask", "go"]
SMALL_SLICE = "slice.rows"  # gate of a slice with too few rows to judge
_TOO_SMALL = {SMALL_SLICE, SMALL_GROUP}


def decision(verdict: Verdict, tier: RiskTier) -> Decision:
    """FAILED stops. INCONCLUSIVE stops a low or high tier and asks the medium tier's approver, reasons shown.

    Slices and groups too small to judge never stop: at the low tier they are named in the evidence, above it a person
    is asked.
    """
    if verdict.outcome is Outcome.FAILED or not verdict.findings:
        return "stop"
    unsettled = {f.gate for f in verdict.findings if f.outcome is Outcome.INCONCLUSIVE}
    if unsettled - _TOO_SMALL:
        return "ask" if tier is RiskTier.MEDIUM else "stop"
    return "ask" if unsettled and tier is not RiskTier.LOW else "go"
