"""The steps of a release, each judged before the next: what they are called, and what they do in words."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from steward.gates.alarms import requests_needed
from steward.plan.arguments import answer_of
from steward.plan.steps import Step, StepKind
from steward.spec.deployment import Bake, Strategy
from steward.spec.model import ModelSpec

ROLLOUT = "rollout"
_MINUTE = timedelta(minutes=1)


class JudgedStep(NamedTuple):
    """A step as people read it: the task that takes it, the one that judges it, and what each does."""

    percent: int
    taken: str
    judged: str
    takes: str
    judges: str


def judged_steps(spec: ModelSpec) -> list[JudgedStep]:
    return [_named(spec.deployment.strategy, percent) for percent in spec.deployment.judged_steps]


def _named(strategy: Strategy, percent: int) -> JudgedStep:
    if percent == 0:
        takes = "Sends the version copies of requests; nobody sees its answers. A first release answers everything."
        return JudgedStep(percent, "shadow", "analyse_shadow", takes, "Judges the shadow beside the champion")
    if strategy is Strategy.BLUE_GREEN:
        takes = "Sends every request to the new version; the old one stays loaded and answers what it cannot."
        return JudgedStep(percent, "switch", "analyse_switch", takes, "Judges the version on every request")
    if strategy is Strategy.AB_TEST:
        takes = "Gives each version half of the request keys. A first release answers everything."
        judges = "Judges both halves by what became of their decisions"
        return JudgedStep(percent, "ab_test", "analyse_ab_test", takes, judges)
    takes, judges = f"Sends {percent} % of request keys to the canary.", f"Judges the canary at {percent} %"
    return JudgedStep(percent, f"shift_{percent}", f"analyse_{percent}", takes, judges)


def rollout_steps(spec: ModelSpec) -> list[Step]:
    steps, bake = [_start(spec)], spec.deployment.bake
    if bake is not None:
        for step in judged_steps(spec):
            steps += [_take(spec, step), _analyse(spec, step, bake)]
    return [*steps, _complete(spec)]


def _start(spec: ModelSpec) -> Step:
    return Step(
        "start",
        "start_rollout",
        _starts(spec.deployment.strategy),
        spec.model,
        {"version": answer_of("register", "version")},
        group=ROLLOUT,
        kind=StepKind.GATE,
    )


def _starts(strategy: Strategy) -> str:
    if strategy is Strategy.BLUE_GREEN:
        return "Tries the version on the smoke rows and keeps it loaded beside the champion, where testers reach it."
    return "Loads the version beside the champion and tries it on the smoke rows."


def _take(spec: ModelSpec, step: JudgedStep) -> Step:
    return Step(
        step.taken,
        "shift_traffic",
        step.takes,
        spec.model,
        {"rollout": answer_of(f"{ROLLOUT}.start", "rollout"), "percent": step.percent},
        group=ROLLOUT,
    )


def _analyse(spec: ModelSpec, step: JudgedStep, bake: Bake) -> Step:
    """The action gives up after `at_most`; the sensor waits twice as long, in case it never says so."""
    wait = 2 * bake.at_most + 5 * _MINUTE
    return Step(
        step.judged,
        "analyse_canary",
        f"{step.judges}, once {requests_needed(spec.deployment)} requests are in.",
        spec.model,
        {"rollout": answer_of(f"{ROLLOUT}.start", "rollout")},
        group=ROLLOUT,
        kind=StepKind.SENSOR,
        poll=poll_interval(bake),
        wait=wait,
        timeout=wait + 10 * _MINUTE,
    )


def poll_interval(bake: Bake) -> timedelta:
    """A short bake is looked at often, by a task that stays; a long one by a task that comes back."""
    if bake.at_most <= 15 * _MINUTE:
        return max(timedelta(seconds=2), bake.at_most / 100)
    return max(_MINUTE / 2, min(_MINUTE, bake.at_most / 60))


def _complete(spec: ModelSpec) -> Step:
    return Step(
        "complete",
        "complete_rollout",
        "Makes the version the champion and sends it all traffic.",
        spec.model,
        {"rollout": answer_of(f"{ROLLOUT}.start", "rollout")},
        group=ROLLOUT,
    )
