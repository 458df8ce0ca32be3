"""The steps of a training run, from its admission and a snapshot of the data to a released champion.

The first gate lets the run in. A gate that says no skips everything up to `settle`; `close` then ends the run green.
`settle` runs whatever happened and rolls back a rollout that did not complete; `close` runs unless something failed,
so that a fault ends the run red.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from steward.plan.arguments import answer_of, door_of, field_of_run, reasons_of
from steward.plan.rollout_steps import ROLLOUT, rollout_steps
from steward.plan.steps import Step, StepKind, TriggerRule
from steward.spec.model import ModelSpec, Task

APPROVAL_WAIT = timedelta(days=7)  # the request's own expiry, set by policy, ends the wait earlier
_MINUTE = timedelta(minutes=1)


def training_steps(spec: ModelSpec, *, with_approval: bool) -> tuple[Step, ...]:
    approval = _approval(spec) if with_approval else []
    line = [*_candidate(spec), *approval, *rollout_steps(spec)]
    return (*_refusals(_chained(line)), *_ending(line))


def time_allowed(spec: ModelSpec) -> timedelta:
    """What all steps of a run may take together, every try counted. Waits for people are not in it."""
    allowed = timedelta()
    for step in training_steps(spec, with_approval=False):
        tries = 1 if step.kind is StepKind.SENSOR else 1 + step.retries
        allowed += tries * (step.timeout + step.retry_delay)
    return allowed


def _chained(line: list[Step]) -> list[Step]:
    befores = [(), *((step.id,) for step in line)]
    return [replace(step, after=before) for step, before in zip(line, befores, strict=False)]


def _refusals(line: list[Step]) -> list[Step]:
    """Gates skip all that follows in the line."""
    gates = {StepKind.GATE, StepKind.APPROVAL, StepKind.SENSOR}
    return [
        replace(step, skips=tuple(later.id for later in line[place + 1 :])) if step.kind in gates else step
        for place, step in enumerate(line)
    ]


def _candidate(spec: ModelSpec) -> list[Step]:
    model = spec.model
    snapshot, training = answer_of("snapshot", "snapshot"), answer_of("train", "training")
    return [
        Step(
            "admit",
            "admit_training",
            "Lets the run in: on a request of the controller, on the clock if it agrees, or because a person wants it.",
            model,
            {"began": field_of_run("began")},
            kind=StepKind.GATE,
            decides="admitted",
        ),
        Step(
            "snapshot",
            "take_snapshot",
            "Freezes the rows of the training window; everything later works on exactly these.",
            model,
            {name: field_of_run(name) for name in ("as_of", "window_days", "reason")},
            timeout=30 * _MINUTE,
        ),
        Step(
            "validate_data",
            "validate_data",
            "Judges the snapshot against the data contract.",
            model,
            {"snapshot": snapshot},
            kind=StepKind.GATE,
            timeout=30 * _MINUTE,
        ),
        Step(
            "train",
            "train",
            "Fits a candidate on the snapshot and tracks it.",
            model,
            {"snapshot": snapshot, **{name: field_of_run(name) for name in _tried(spec)}},
            timeout=spec.training.time_limit + 10 * _MINUTE,
        ),
        Step(
            "evaluate",
            "evaluate",
            "Measures the candidate on the hold-out, by slice and beside the champion.",
            model,
            {"training": training},
            timeout=60 * _MINUTE,
        ),
        Step(
            "register",
            "register",
            "Registers the candidate: a challenger when its gates passed, else rejected.",
            model,
            {
                "validation": answer_of("validate_data", "validation"),
                "training": training,
                "evaluation": answer_of("evaluate", "evaluation"),
            },
            kind=StepKind.GATE,
        ),
    ]


def _tried(spec: ModelSpec) -> tuple[str, ...]:
    """What a person may try in one run in place of the spec's own."""
    return ("params", "threshold") if spec.task is Task.BINARY else ("params",)


def _approval(spec: ModelSpec) -> list[Step]:
    return [
        Step(
            "request_approval",
            "request_approval",
            "Asks people, on the evidence they are shown.",
            spec.model,
            {"version": answer_of("register", "version"), "door": door_of("await_approval")},
        ),
        Step(
            "await_approval",
            "answer_approval",
            "Waits under Required Actions, without a worker, until people answered or the request expired.",
            spec.model,
            {"request": answer_of("request_approval", "request")},
            kind=StepKind.APPROVAL,
            wait=spec.approval.expires_after or APPROVAL_WAIT,
        ),
    ]


def _ending(line: list[Step]) -> list[Step]:
    gates = [step.id for step in line if step.group == ROLLOUT and step.kind is not StepKind.ACTION]
    last = line[-1]
    return [
        Step(
            "settle",
            "settle_rollout",
            "Rolls back a rollout that did not complete; skipped when there is none.",
            last.model,
            {"reason": reasons_of(gates)},
            after=(last.id,),
            trigger=TriggerRule.ALL_DONE,
            retries=5,
            idle_without=("rolled_back",),
        ),
        Step(
            "publish",
            "write_governance_reports",
            "Writes the new champion's model card, and the report of every framework its spec names.",
            last.model,
            after=(last.id,),
        ),
        Step(
            "close",
            "close_run",
            "Sums the run up.",
            last.model,
            after=(last.id, "settle", "publish"),
            trigger=TriggerRule.NONE_FAILED,
        ),
    ]
