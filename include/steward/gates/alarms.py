"""What a release may be stopped by, how the chance of stopping a sound one is shared out, and the requests it takes.

Imports nothing heavy: plans are made with it.
"""

from __future__ import annotations

from typing import NamedTuple

from steward.gates.betting import trials_to_prove
from steward.spec.deployment import Deployment

ALPHA = 0.01
"""Chance that a sound version is stopped, over all its steps, guardrails and looks together."""
BETA = 0.05
"""Chance of the other mistake, wherever a step ends by disproving a harm."""

ERROR_RATE = "canary.error_rate"
ERROR_SHARE = "canary.error_share"
LATENCY = "canary.p99_latency"
PREDICTIONS = "canary.prediction_psi"
DISAGREEMENT = "shadow.disagreement"
OUTCOME = "canary.outcome"

_OUT_OF_REACH = 10**12  # requests: an effect that no spec may declare, and that no step may pass on

SHADOW, EVERYTHING = 0, 100  # percent of a step


class Alarm(NamedTuple):
    """`gate` may stop a version at the step of `percent`."""

    percent: int
    gate: str


def alarms(deployment: Deployment) -> tuple[Alarm, ...]:
    return tuple(Alarm(percent, gate) for percent in deployment.judged_steps for gate in gates_at(deployment, percent))


def gates_at(deployment: Deployment, percent: int) -> list[str]:
    """At 100 % no champion answers beside the version: it is judged by its own errors and times. A shadow decides
    nothing, so it has no outcomes of its own; its errors of prediction are known all the same.
    """
    rails = deployment.guardrails
    beside = percent != EVERYTHING
    named = {
        ERROR_RATE: rails.error_rate is not None,
        ERROR_SHARE: rails.error_rate is not None and beside,
        LATENCY: rails.p99_latency is not None,
        PREDICTIONS: rails.prediction_psi is not None and beside,
        DISAGREEMENT: rails.disagreement is not None and percent == SHADOW,
        OUTCOME: rails.outcome is not None
        and beside
        and (percent != SHADOW or rails.outcome.measure != "mean_outcome"),
    }
    return [gate for gate, given in named.items() if given]


def alpha_each(deployment: Deployment) -> float:
    """The share of ALPHA that each alarm of each step has: together they cannot do more (Bonferroni)."""
    return ALPHA / max(1, len(alarms(deployment)))


def requests_needed(deployment: Deployment) -> int:
    """Answered requests that a step needs before it may pass: those declared, or those that find what is declared."""
    bake, limit = deployment.bake, deployment.guardrails.error_rate
    if bake is None:
        return 1
    if bake.requests is not None:
        return bake.requests
    found = trials_to_prove(bake.finds or 0.0, limit.max if limit else 0.0, alpha_each(deployment), 1 - BETA)
    return found or _OUT_OF_REACH
