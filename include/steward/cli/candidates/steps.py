"""step: one step of a plan, as a task of Airflow takes it: in a pod, in another scheduler, or by hand on a laptop.

The action is the same one and the ledger sees the same event; what an earlier step answered comes from a file instead
of Airflow's. Nothing here decides: every gate is judged inside the actions, against the ledger.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steward.cli import completion
from steward.cli.arguments import Model, caller, reason_of
from steward.cli.output import Reason, print_json
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.plan import DagPlan
    from steward.plan.steps import Step
    from steward.spec import ModelSpec

WAYS_BACK = ("settle_rollout", "roll_back", "prove_rollback", "rehearse_rollback")
FORM = "form"  # beside the answers in the file: what the run was begun with

Run = Annotated[str, typer.Option("--run", metavar="ID", help="The run's name, the same for all its steps.")]
Answers = Annotated[
    Path, typer.Option("--answers", metavar="FILE", help="What the steps of the run answered; this one is added to it.")
]


@dataclass
class ShellRun:
    """The run behind a reference, as `steward.plan.resolve` wants to see it: a form, and what steps answered."""

    id: str
    form: JsonObject
    answers: JsonObject = field(default_factory=dict)

    def answer(self, step: str) -> JsonObject | None:
        return self.answers.get(step)

    def field(self, name: str) -> Any:
        reason = str(self.form.get("reason") or "")
        if name == "began":
            return {"trigger": "manual", "reason": reason}
        return (reason or "manual run") if name == "reason" else self.form.get(name)

    def door(self, step: str) -> None:
        """No screen of Airflow shows this run: people answer by `steward approve`, through Steward's own door."""


def add_to(app: typer.Typer) -> None:
    app.command()(step)


def step(
    model: Model,
    name: Annotated[
        str,
        typer.Argument(metavar="STEP", help="As `steward plan show` names it.", autocompletion=completion.steps),
    ],
    run: Run,
    answers: Answers,
    reason: Reason,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=JSON", help="A field of the run's form: as_of, params, … Repeatable."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Of a step that waits: look until its answer is final.")] = False,
) -> None:
    """Take one step of a model's plan and print its answer as JSON. Again with the same run is harmless.

    A gate that says no is an answer, not a failure: exit code 0, and `goes_on` is false. Exit code 3 for what a shell
    may not stand in for: people's approval, the start of another run, the release of what was trained from a shell.

    Example: steward step flight_delays snapshot --run try-1 --answers answers.json --reason "a pod of my own"
    """
    from steward import wiring

    spec, said = wiring.specs().get(model), reason_of(reason)
    dag, wanted = find_step(spec, name)
    known = read_answers(answers)
    form = {**defaults(dag), **known.get(FORM, {}), **_fields(dag, given or []), "reason": said}
    shell = ShellRun(run, form, {each: answer for each, answer in known.items() if each != FORM})
    answer = take_step(spec, wanted, shell, wait=wait)
    write_answers(answers, {**shell.answers, FORM: form})
    print_json(told_of(wanted, run, answer))


def take_step(spec: ModelSpec, wanted: Step, run: ShellRun, *, wait: bool = False) -> JsonObject:
    """Call the step's action with its references resolved, and keep its answer in the run."""
    refuse_what_is_no_step(wanted)
    answer = _called(spec, wanted, run)
    while wait and answer.get("final") is False:
        assert wanted.poll is not None
        time.sleep(wanted.poll.total_seconds())
        answer = _called(spec, wanted, run)
    run.answers[wanted.id] = answer
    return answer


def _called(spec: ModelSpec, wanted: Step, run: ShellRun) -> JsonObject:
    from steward import actions, wiring
    from steward.plan import resolve

    given = {each: resolve(value, run) for each, value in wanted.arguments.items()}
    known = wiring.spec_to_go_back(spec.model) if wanted.action in WAYS_BACK else spec
    answer: JsonObject = getattr(actions, wanted.action)(wiring.services(), known, run=run.id, actor=caller(), **given)
    return answer


def refuse_what_is_no_step(wanted: Step) -> None:
    """Raises PolicyError for what a shell may not stand in for: a person's answer, and Airflow's event."""
    from steward.errors import PolicyError
    from steward.plan.steps import StepKind

    if wanted.kind is StepKind.APPROVAL:
        hint = "named persons answer: `steward approve` or `steward reject`; the rollout reads the ledger"
        raise PolicyError("people's approval is no step of a shell", where=wanted.id, hint=hint)
    if wanted.kind is StepKind.RETRAINING:
        hint = "let the model's monitor run in Airflow, or begin a training: `steward retrain`"
        raise PolicyError("only Airflow starts a training from this decision", where=wanted.id, hint=hint)


def find_step(spec: ModelSpec, name: str) -> tuple[DagPlan, Step]:
    """Raises NotFoundError with the nearest name."""
    from steward.errors import NotFoundError
    from steward.plan import compile_plan
    from steward.spec.faults import nearest

    steps = {each.id: (dag, each) for dag in compile_plan(spec).dags for each in dag.steps}
    if name in steps:
        return steps[name]
    close = nearest(name, steps)
    hint = f"did you mean `{close}`?" if close else f"`steward plan show {spec.model}` lists them"
    raise NotFoundError(f"the plan of {spec.model} has no step {name!r}", hint=hint)


def defaults(dag: DagPlan) -> JsonObject:
    return {name: schema.get("default") for name, schema in dag.params.items()}


def told_of(wanted: Step, run: str, answer: JsonObject) -> JsonObject:
    from steward.plan import proceeds
    from steward.plan.steps import StepKind

    is_gate = wanted.kind in (StepKind.GATE, StepKind.SENSOR, StepKind.CHECK)
    goes_on = proceeds(answer, wanted.decides) if is_gate else True
    told: JsonObject = {"step": wanted.id, "action": wanted.action, "run": run, "goes_on": goes_on, "answer": answer}
    return told if goes_on else {**told, "skips": list(wanted.skips)}


def _fields(dag: DagPlan, given: list[str]) -> JsonObject:
    """As the form in Airflow checks them. Raises RequestError."""
    found: JsonObject = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} has no value: write FIELD=JSON", param_hint="--set")
        found[name] = checked_field(dag, name, _value(value))
    return found


def _value(text: str) -> Any:
    """JSON, or the words as they are: `as_of=2013-06-01` needs no quotes."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def checked_field(dag: DagPlan, name: str, value: Any) -> Any:
    """Raises RequestError for a field the form has not, or a value it would refuse."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    from steward.errors import RequestError

    if name not in dag.params:
        raise RequestError(f"the form of {dag.id} has no field {name!r}", hint=f"it has {', '.join(dag.params)}")
    for fault in Draft202012Validator(dag.params[name]).iter_errors(value):
        raise RequestError(f"{name}: {fault.message}", where=dag.id, hint=dag.params[name].get("description"))
    return value


def read_answers(path: Path) -> JsonObject:
    from steward.errors import RequestError

    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"the answers cannot be read: {error}", where=str(path)) from error
    if not isinstance(found, dict):
        raise RequestError("the answers are not one JSON object", where=str(path), hint="begin with a new file")
    return found


def write_answers(path: Path, answers: JsonObject) -> None:
    """In one step: whoever reads it meanwhile sees the old file or the new one."""
    from steward.errors import StewardError
    from steward.types import to_json

    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(json.dumps(to_json(answers), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        hint = "the step was taken; take it again with a file that can be written: its answer stays the same"
        raise StewardError(f"the answers cannot be written: {error.strerror}", where=str(path), hint=hint) from error
