"""train: a candidate made and judged on this machine, by the same actions as Airflow's.

It ends where people and traffic begin. The version is on record under the name of who typed, gates and all; to be
released, a candidate is trained by the pipeline (`steward retrain`).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steward.cli.arguments import Model, instant_of, reason_of
from steward.cli.output import Json, Reason, print_json, print_table
from steward.cli.progress import working
from steward.types import JsonObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steward.plan.steps import Step
    from steward.spec import ModelSpec

CANDIDATE = ("admit", "snapshot", "validate_data", "train", "evaluate", "register")
REFUSED = 1


def add_to(app: typer.Typer) -> None:
    app.command()(train)


def train(
    model: Model,
    reason: Reason,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="The training window ends here; without it, now.")
    ] = None,
    days: Annotated[int | None, typer.Option("--days", min=1, help="Its length; without it, the spec's.")] = None,
    params: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=JSON", help="Tried in place of the spec's. Repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train and judge a candidate on this machine: snapshot, validation, training, evaluation, registration.

    On record under your name, as its author: you may not approve it. Nothing is asked of people and nothing goes live.
    Exit code 1 when a gate said no.

    Example: steward train flight_delays --reason "fewer leaves" --param max_depth=3
    """
    from steward import wiring

    spec, said = wiring.specs().get(model), reason_of(reason)
    if as_of is not None:
        instant_of(as_of)
    form = {"as_of": as_of, "window_days": days, "params": _params(params or []), "reason": said}
    told = _candidate(spec, form)
    if as_json:
        print_json(told)
    else:
        _print(told)
    if not told["passed"]:
        raise typer.Exit(REFUSED)


def _params(given: list[str]) -> JsonObject:
    from steward.cli.candidates.steps import _value

    found: JsonObject = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} has no value: write NAME=VALUE", param_hint="--param")
        found[name] = _value(value)
    return found


def _candidate(spec: ModelSpec, form: JsonObject) -> JsonObject:
    """Step by step until a gate says no. However it ends, the run is closed: none is left for others to find stuck."""
    from steward.cli.candidates.steps import ShellRun, checked_field, defaults
    from steward.plan import compile_plan

    dag = compile_plan(spec).train
    wanted = {name: checked_field(dag, name, value) for name, value in form.items() if value is not None}
    run = ShellRun(f"cli-{uuid.uuid4().hex[:12]}", {**defaults(dag), **wanted})
    by_name = {each.id: each for each in dag.steps}
    steps = [by_name[name] for name in CANDIDATE]
    try:
        stopped_at = _walked(spec, steps, run)
    finally:
        closed = _closed(spec, run)
    return _told(spec, run, stopped_at, closed)


def _walked(spec: ModelSpec, steps: list[Step], run: Any) -> Step | None:
    """The gate that said no, or None."""
    from steward.cli.candidates.steps import take_step, told_of

    with working(f"training {spec.model}", len(steps)) as tell:
        for each in steps:
            tell(each.name.replace("_", " "))
            if not told_of(each, run.id, take_step(spec, each, run))["goes_on"]:
                return each
    return None


def _closed(spec: ModelSpec, run: Any) -> JsonObject | None:
    from steward import actions, wiring
    from steward.cli.arguments import caller

    if not run.answers:
        return None  # it never began: nothing is on record that would have to end
    return actions.close_run(wiring.services(), spec, run=run.id, actor=caller())


def _told(spec: ModelSpec, run: Any, stopped_at: Step | None, closed: JsonObject | None) -> JsonObject:
    answers = run.answers
    last = answers[stopped_at.id] if stopped_at else answers[CANDIDATE[-1]]
    return {
        "model": spec.model,
        "run": run.id,
        "version": answers.get("register", {}).get("version"),
        "passed": stopped_at is None,
        "stopped_at": stopped_at.id if stopped_at else None,
        "reasons": last.get("reasons", []),
        "summary": closed["summary"] if closed else None,
        "findings": _findings(answers.get("evaluate")),
        "answers": answers,
    }


def _findings(evaluated: JsonObject | None) -> list[JsonObject]:
    """The gates of the candidate, from the evidence on record."""
    from steward import wiring

    if evaluated is None:
        return []
    with wiring.database().begin() as tx:
        body = tx.evidence.get(evaluated["evaluation"]).body
    return list(body.get("verdict", {}).get("findings", []))


def _print(told: JsonObject) -> None:
    name = f"{told['model']}@{told['version']}" if told["version"] else told["model"]
    if told["passed"]:
        typer.echo(f"{name} passed its gates and is a challenger (run {told['run']})")
        typer.echo(f"→ to release a candidate, have the pipeline train it: steward retrain {told['model']} --reason …")
    else:
        typer.echo(f"{name} was stopped at {told['stopped_at']} (run {told['run']})")
        for reason in told["reasons"]:
            typer.echo(f"→ {reason}")
    if told["findings"]:
        print_table(("gate", "slice", "outcome", "why"), _cells(told["findings"]))


def _cells(findings: list[JsonObject]) -> Iterator[tuple[object, ...]]:
    """What failed first."""
    order = {"FAILED": 0, "INCONCLUSIVE": 1}
    for each in sorted(findings, key=lambda one: order.get(one["outcome"], 2)):
        yield each["gate"], each.get("slice", "overall"), each["outcome"], each["reason"]
