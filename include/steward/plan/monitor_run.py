"""The steps of a monitor run: one counts and judges the window, the others act where that calls for it."""

from __future__ import annotations

from datetime import timedelta

from steward.plan.arguments import answer_of, field_of_run
from steward.plan.steps import Step, StepKind, TriggerRule
from steward.spec.model import ModelSpec

_EVIDENCE = {"evidence": answer_of("judge_window", "evidence")}


def monitor_steps(spec: ModelSpec, asset: str) -> tuple[Step, ...]:
    healing = (_heal(spec),) if _may_go_back(spec) else ()
    return (_judge(spec, healing), _incident(spec), *healing, _report(spec), _retraining(spec, asset))


def _may_go_back(spec: ModelSpec) -> bool:
    """Whether policy lets a failed window send a version back; a batch target has no version that stands by."""
    return bool(spec.monitoring.roll_back_on) and spec.deployment.target != "batch"


def _judge(spec: ModelSpec, healing: tuple[Step, ...]) -> Step:
    return Step(
        "judge_window",
        "judge_window",
        "Counts the days that are new, adds up the window and runs every check; missed windows come first.",
        spec.model,
        {"as_of": field_of_run("as_of")},
        kind=StepKind.GATE,
        decides="version",
        skips=("open_incident", *(step.name for step in healing), "write_report", "request_retraining"),
        timeout=timedelta(minutes=30),
    )


def _incident(spec: ModelSpec) -> Step:
    return Step(
        "open_incident",
        "open_incident",
        "Opens, updates or resolves incidents as the verdict demands.",
        spec.model,
        _EVIDENCE,
        after=("judge_window",),
        idle_without=("incidents", "passing", "resolved"),
    )


def _heal(spec: ModelSpec) -> Step:
    return Step(
        "heal_window",
        "heal_window",
        "Sends a version that failed back to the one before, where policy says so and that one stands by.",
        spec.model,
        _EVIDENCE,
        after=("open_incident",),
        idle_without=("rolled_back", "left"),
    )


def _report(spec: ModelSpec) -> Step:
    return Step(
        "write_report",
        "write_report",
        "Draws the window beside the reference for people: when trouble begins, when asked to, and weekly.",
        spec.model,
        {**_EVIDENCE, "asked": field_of_run("report")},
        after=("open_incident",),
        trigger=TriggerRule.NONE_FAILED,
        idle_without=("report",),
        timeout=timedelta(minutes=30),
    )


def _retraining(spec: ModelSpec, asset: str) -> Step:
    return Step(
        "request_retraining",
        "decide_retraining",
        "Decides on retraining and records the decision; only a yes starts the training.",
        spec.model,
        _EVIDENCE,
        after=("judge_window",),
        kind=StepKind.RETRAINING,
        asset=asset,
    )
