"""retrain: a training begun by a person, and permission for retraining to go on. Both through Airflow, as the user."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from steward.cli import door
from steward.cli.arguments import Model, reason_of
from steward.cli.output import Json, Reason, print_json

AsOf = Annotated[str | None, typer.Option("--as-of", help="The training window ends here; without it, now.")]


class StartByDefault(TyperGroup):
    """`steward retrain MODEL` is `steward retrain start MODEL`; a model called like a command needs the long form."""

    default = "start"

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = args and args[0] in self.commands
        return super().resolve_command(ctx, args if known or not args else [self.default, *args])


retrain = typer.Typer(
    cls=StartByDefault,
    help="Begin a training by hand, or let retraining go on after candidates were refused. "
    "`steward retrain MODEL --reason …` begins one.",
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    retrain.command()(start)
    retrain.command()(allow)
    app.add_typer(retrain, name="retrain")


def start(model: Model, reason: Reason, as_of: AsOf = None, as_json: Json = False) -> None:
    """Begin a training now. What speaks against it (cooldown, budget, …) is put on record beside your reason.

    Example: steward retrain flight_delays --reason "the new airport has a month of data"
    """
    from steward import wiring

    said = reason_of(reason)
    wiring.specs().get(model)  # a name nobody knows, or a spec with faults, before Airflow is asked
    dag = f"{model}__train"
    form = {"reason": said, **({"as_of": as_of} if as_of else {})}
    run = door.airflow().trigger(dag, form)
    if as_json:
        print_json({"model": model, "dag": dag, "run": run})
    else:
        typer.echo(f"{dag} was asked to begin (run {run}); `steward why {model}` tells whether it was let in")


def allow(model: Model, reason: Reason, as_json: Json = False) -> None:
    """Let retraining go on by itself after as many candidates were refused as the spec allows.

    Example: steward retrain allow flight_delays --reason "labels were late in May; they are complete now"
    """
    answer = door.decide(model, "retraining/allow", reason=reason_of(reason))
    if as_json:
        print_json(answer)
    else:
        refused = ", ".join(f"@{version}" for version in answer["refused"])
        typer.echo(f"{model}: retraining goes on after {refused}")
