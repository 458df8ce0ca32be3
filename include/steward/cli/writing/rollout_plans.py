"""How a rollout's plan prints: step by step, and what of it is chance."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from steward.cli.output import print_table

if TYPE_CHECKING:
    from steward.rollout.planning import RolloutPlan, StepPlan

_LAST = "tenfold errors caught, 95 in 100"
_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def print_rollout(plan: RolloutPlan) -> None:
    """Times where the spec declares its traffic, else requests alone."""
    if not plan.steps:
        typer.echo("Rollout: at once; nothing is judged")
        return
    if plan.traffic is None:
        headers: tuple[str, ...] = ("step", "requests", "at least", "at most", _LAST)
        print_table(headers, map(_requests, plan.steps), title="Rollout, a sound version")
        typer.echo("how long it takes depends on the traffic: declare deployment.traffic, in requests a second")
    else:
        headers = ("step", "requests", "a second", "at least", "expected", "at most", "too few come", _LAST)
        rows = [*map(_times, plan.steps), _total(plan)]
        print_table(headers, rows, title=f"Rollout, a sound version at {plan.traffic:g} requests a second")
    aborts = f"{plan.false_abort:.0%}"
    typer.echo(f"stops a sound version: at most {aborts} over all steps, guardrails and looks together")
    for warning in plan.warnings:
        typer.echo(f"warning: {warning}")


def _requests(step: StepPlan) -> tuple[str, ...]:
    return _named(step), str(step.requests), about(step.at_least), about(step.at_most), _caught(step)


def _times(step: StepPlan) -> tuple[str, ...]:
    return (
        _named(step),
        str(step.requests),
        f"{step.each_second or 0:.3g}",
        about(step.at_least),
        about(step.expected),
        about(step.at_most),
        _chance(step.gives_up),
        _caught(step),
    )


def _total(plan: RolloutPlan) -> tuple[str, ...]:
    times = (about(length) for length in (plan.at_least, plan.expected, plan.at_most))
    return "in all", "", "", *times, _chance(plan.gives_up), ""


def _named(step: StepPlan) -> str:
    return f"{step.percent} %" if step.percent else "shadow"


def _caught(step: StepPlan) -> str:
    if step.catches_after is None:
        return ""
    after = f"after {step.catches_after} requests"
    return after if step.catches_in is None else f"{about(step.catches_in)}, {after}"


def _chance(chance: float | None) -> str:
    if chance is None:
        return ""
    return f"{chance:.1%}" if chance >= 0.001 else "under 0.1%"


def about(length: timedelta | None) -> str:
    """The two largest units that matter: 5m 49s, 7d 2h."""
    if length is None:
        return ""
    left, said = round(length.total_seconds()), list[str]()
    for unit, seconds in _UNITS:
        if (count := left // seconds) or (said and left):
            said.append(f"{count}{unit}")
        left %= seconds
    return " ".join(said[:2]) or "0s"
