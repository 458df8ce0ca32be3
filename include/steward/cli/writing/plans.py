"""plan show, plan diff: what a spec compiles to, and what a change of it gives up."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.arguments import Model
from steward.cli.output import Json, print_json, print_table
from steward.cli.writing.rollout_plans import print_rollout

if TYPE_CHECKING:
    from steward.approval.policy import Requirement
    from steward.plan import DagPlan
    from steward.spec import Change, ModelSpec

WEAKENED = 3
GIT_SECONDS = 30

plan = typer.Typer(help="What a spec compiles to, and what a change of it gives up.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    plan.command()(show)
    plan.command("diff")(compare)
    app.add_typer(plan, name="plan")


def show(model: Model, as_json: Json = False) -> None:
    """Steps, gates, schedules, the approval that applies, and how long a rollout takes.

    Example: steward plan show flight_delays
    """
    from steward import wiring
    from steward.approval.policy import requirement
    from steward.plan import compile_plan
    from steward.rollout.planning import plan_rollout

    spec = wiring.specs().get(model)
    compiled, needed = compile_plan(spec), requirement(wiring.policy(), spec)
    if as_json:
        rollout = plan_rollout(spec).to_json()
        print_json({**compiled.to_json(), "approval": needed.to_json(), "rollout": rollout})
        return
    typer.echo(f"{spec.model}: {spec.title}\nspec {spec.digest[:12]}, {spec.risk_tier} risk, {_approval(needed)}")
    for dag in compiled.dags:
        typer.echo()
        _print_dag(dag)
    typer.echo()
    print_table(("gate", "limit"), _limits(spec), title="Gates")
    typer.echo()
    print_rollout(plan_rollout(spec))


def compare(
    old: Annotated[str, typer.Argument(help="A spec file, a model's folder, or REV:PATH as git knows it.")],
    new: Annotated[str, typer.Argument(help="The same, for the spec after the change.")],
    reason: Annotated[str | None, typer.Option("--reason", help="Why weakening a control is right.")] = None,
    as_json: Json = False,
) -> None:
    """Every change between two specs; exit code 3 when a control is weakened and no reason is given.

    Example: steward plan diff HEAD~1:include/models/flight_delays include/models/flight_delays
    """
    from steward.spec import diff

    changes = diff(_spec(old), _spec(new))
    weakened = [change for change in changes if change.weakened]
    if as_json:
        print_json({"changes": changes_json(changes), "weakened": len(weakened), "reason": reason})
    else:
        _print_changes(changes, reason)
    if weakened and not (reason and reason.strip()):
        word = "control is" if len(weakened) == 1 else "controls are"
        typer.echo(f"{len(weakened)} {word} weakened\n→ say why with --reason, or keep them", err=True)
        raise typer.Exit(WEAKENED)


def changes_json(changes: list[Change]) -> list[dict[str, object]]:
    return [change.to_json() for change in changes]


def _print_changes(changes: list[Change], reason: str | None) -> None:
    if not changes:
        typer.echo("the two specs mean the same")
    for change in changes:
        typer.echo(str(change))
    if reason and any(change.weakened for change in changes):
        typer.echo(f"reason: {reason}")


def _print_dag(dag: DagPlan) -> None:
    when = [f"on {dag.schedule.cron}"] if dag.schedule.cron else []
    when += [f"on the event {dag.schedule.asset}"] if dag.schedule.asset else []
    title = f"{dag.id}: {' or '.join(when) or 'by hand'}"
    rows = ((step.id, step.kind, step.action, ", ".join(step.after)) for step in dag.steps)
    print_table(("step", "kind", "action", "after"), rows, title=title)


def _approval(needed: Requirement) -> str:
    from steward.spec import format_duration

    if needed.quorum == 0:
        return "nobody is asked"
    people = "approval" if needed.quorum == 1 else "approvals"
    roles, time = " and ".join(needed.roles), format_duration(needed.expires_after)
    return f"{needed.quorum} {people} by {roles} within {time}"


def _limits(spec: ModelSpec) -> list[tuple[str, str]]:
    """Every limit the spec sets, in its own words."""
    given = spec.model_dump(mode="json", exclude_none=True)
    limits = [(f"evaluation {name}", rule) for name, rule in given["evaluation"]["metrics"].items()]
    limits += [(f"canary {name}", rule) for name, rule in given["deployment"]["guardrails"].items()]
    limits += [(f"monitoring {name}", rule) for name, rule in given["monitoring"]["performance"].items()]
    watched = {"drift psi": given["monitoring"]["drift"]["psi"]}
    watched |= {
        name: given["monitoring"][name] for name in ("error_rate", "p99_latency") if name in given["monitoring"]
    }
    limits += [(f"monitoring {name}", rule) for name, rule in watched.items()]
    return [(name, ", ".join(f"{key} {value}" for key, value in rule.items())) for name, rule in limits]


def _spec(source: str) -> ModelSpec:
    from steward.spec import SPEC_FILE, load_spec, parse_spec

    path = Path(source)
    if path.is_dir():
        path /= SPEC_FILE
    if path.exists() or ":" not in source:
        return load_spec(path)
    return parse_spec(_from_git(source), source)


def _from_git(source: str) -> bytes:
    """The file at `REV:PATH`; a folder's model.yaml when PATH is a folder."""
    from steward.errors import NotFoundError
    from steward.spec import SPEC_FILE

    tried = [source] if source.endswith((".yaml", ".yml")) else [f"{source.rstrip('/')}/{SPEC_FILE}", source]
    said = ""
    for name in tried:
        found = _git_show(name)
        if found.returncode == 0:
            return found.stdout
        said = found.stderr.decode(errors="replace").strip().splitlines()[-1:][0] if found.stderr else "no answer"
    hint = "name a file, a folder, or a git revision and a path: HEAD~1:include/models/ID"
    raise NotFoundError(f"there is no such spec: {said}", where=source, hint=hint)


def _git_show(name: str) -> subprocess.CompletedProcess[bytes]:
    from steward.errors import NotFoundError

    try:
        # `--end-of-options`: a name that begins with a dash stays a name.
        command = ["git", "show", "--end-of-options", name]
        return subprocess.run(command, capture_output=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotFoundError(f"git cannot be asked: {error}", where=name, hint="install git, or name a file") from error
