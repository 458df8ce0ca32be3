"""How long a rollout takes at the declared traffic, before it starts: what it waits for, and what it may miss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from steward.gates.alarms import ALPHA, BETA, EVERYTHING, alpha_each, requests_needed
from steward.gates.betting import trials_to_prove
from steward.spec import Deployment, ModelSpec
from steward.spec.fields import format_duration
from steward.types import JsonObject

TENFOLD = 10
UNLIKELY = 0.05  # chance of giving up a sound version, from which on a plan is worth a warning
_EXACT = 20_000  # requests up to which a Poisson chance is summed up term by term


@dataclass(frozen=True)
class StepPlan:
    """One judged step of a sound version. What depends on the traffic is None where none is declared.

    `each_second`: requests that the version answers. `expected`: until its requests are in, at the earliest after
    `at_least`. `gives_up`: chance that too few come until `at_most` (Poisson traffic). `catches`: requests, and time,
    after which tenfold errors are proven 95 times in 100.
    """

    percent: int
    requests: int
    at_least: timedelta
    at_most: timedelta
    catches_after: int | None
    each_second: float | None
    expected: timedelta | None
    gives_up: float | None
    catches_in: timedelta | None

    def to_json(self) -> JsonObject:
        return {name: _plain(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class RolloutPlan:
    """`false_abort`: share of sound versions that it stops at the most, over all steps and looks. `labels_after`: when
    the outcomes that it is judged by are known, None when it is judged by none.
    """

    steps: tuple[StepPlan, ...]
    traffic: float | None
    labels_after: timedelta | None = None
    false_abort: float = ALPHA

    @property
    def at_least(self) -> timedelta:
        return sum((step.at_least for step in self.steps), timedelta())

    @property
    def at_most(self) -> timedelta:
        return sum((step.at_most for step in self.steps), timedelta())

    @property
    def expected(self) -> timedelta | None:
        known = [step.expected for step in self.steps if step.expected is not None]
        return sum(known, timedelta()) if self.traffic is not None else None

    @property
    def gives_up(self) -> float | None:
        if self.traffic is None:
            return None
        return 1 - math.prod(1 - (step.gives_up or 0.0) for step in self.steps)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(_warnings(self))

    def to_json(self) -> JsonObject:
        names = ("traffic", "false_abort", "at_least", "expected", "at_most", "gives_up", "warnings")
        return {name: _plain(getattr(self, name)) for name in names} | {"steps": [s.to_json() for s in self.steps]}


def plan_rollout(spec: ModelSpec) -> RolloutPlan:
    """Of every release but a model's first, whose version answers everything from its first step on."""
    deployment = spec.deployment
    steps = tuple(_plan(deployment, percent) for percent in deployment.judged_steps)
    judged = steps and deployment.guardrails.outcome is not None
    return RolloutPlan(steps, deployment.traffic, spec.data.label.arrives_after if judged else None)


def _plan(deployment: Deployment, percent: int) -> StepPlan:
    bake = deployment.bake
    needed, least = requests_needed(deployment), bake.at_least if bake else timedelta()
    most = bake.at_most if bake else timedelta()
    each_second = None if deployment.traffic is None else deployment.traffic * share_of_requests(percent)
    caught = _caught(deployment)
    return StepPlan(
        percent=percent,
        requests=needed,
        at_least=least,
        at_most=most,
        catches_after=caught,
        each_second=each_second,
        expected=None if each_second is None else max(least, timedelta(seconds=needed / each_second)),
        gives_up=None if each_second is None else fewer_than(needed, each_second * most.total_seconds()),
        catches_in=None if each_second is None or caught is None else timedelta(seconds=caught / each_second),
    )


def share_of_requests(percent: int) -> float:
    """A shadow is asked whatever the champion is asked."""
    return (percent or EVERYTHING) / 100


def _caught(deployment: Deployment) -> int | None:
    limit = deployment.guardrails.error_rate
    if limit is None:
        return None
    return trials_to_prove(min(1.0, TENFOLD * limit.max), limit.max, alpha_each(deployment), 1 - BETA)


def fewer_than(needed: int, expected: float) -> float:
    """Chance that fewer requests come than `needed` where `expected` are; beyond _EXACT by Wilson-Hilferty (1931)."""
    if expected <= 0:
        return 1.0
    if needed > _EXACT:
        root = (expected / needed) ** (1 / 3)
        return math.erfc((root - 1 + 1 / (9 * needed)) * 3 * math.sqrt(needed) / math.sqrt(2)) / 2
    logs = (count * math.log(expected) - expected - math.lgamma(count + 1) for count in range(needed))
    return min(1.0, math.fsum(map(math.exp, logs)))


def _warnings(plan: RolloutPlan) -> Iterator[str]:
    for step in plan.steps:
        if step.gives_up is not None and step.each_second is not None and step.gives_up > UNLIKELY:
            comes = step.each_second * step.at_most.total_seconds()
            yield (
                f"the step at {step.percent} % needs {step.requests} requests, and about {comes:.0f} come until it is "
                f"given up: {step.gives_up:.0%} of sound versions would be; raise bake.at_most or the share"
            )
    if plan.labels_after is not None:
        for step in plan.steps:
            if step.at_most <= plan.labels_after:
                after, most = format_duration(plan.labels_after), format_duration(step.at_most)
                yield (
                    f"labels come after {after} and the step at {step.percent} % is given up after {most}: no outcome "
                    "can be judged; raise bake.at_most, or leave guardrails.outcome out"
                )


def _plain(value: object) -> object:
    """Lengths as seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else value
