"""maintain, outcomes, forget: the upkeep of the prediction log, by hand."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from steward.cli.arguments import instant_of
from steward.cli.output import Json, Reason, print_json, print_table

outcomes = typer.Typer(help="What became of decisions.", no_args_is_help=True)

COLUMNS = ("model", "folded", "expired", "merged files", "outcomes", "of unknown decisions")


def add_to(app: typer.Typer) -> None:
    app.command()(maintain)
    outcomes.command()(load)
    app.add_typer(outcomes, name="outcomes")
    app.command()(forget)


def maintain(
    compact: Annotated[
        bool | None, typer.Option("--compact/--no-compact", help="Merge small files; without it, at night only.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fold, cut and merge the prediction log of every model, beside running servers. Again is harmless.

    Example: steward maintain --compact
    """
    from steward import actions, wiring

    done = actions.maintain_log(wiring.services(), actor=_caller(), compact=compact)
    if as_json:
        print_json(done)
    elif not done["models"]:
        typer.echo("nothing to do")
    else:
        keys = ("folded", "expired", "merged_files", "outcomes", "orphans")
        print_table(COLUMNS, ((model, *(each[key] for key in keys)) for model, each in done["models"].items()))


def load(
    model: str,
    since: Annotated[
        str | None, typer.Option("--from", help="Observed from this date or instant on, UTC; empty means a month.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Record the outcomes that the model's own table tells (`data.outcomes`). Again is harmless.

    Example: steward outcomes load flight_delays --from 2013-04-01
    """
    from steward import actions, wiring

    if since is not None:
        instant_of(since)
    done = actions.load_outcomes(wiring.services(), wiring.specs().get(model), actor=_caller(), since=since)
    if as_json:
        print_json(done)
    else:
        typer.echo(f"{model}: {done['recorded']} outcomes recorded")


def forget(
    model: str,
    subject: Annotated[str, typer.Option("--subject", help="The person, as requests name them.")],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Erase what was predicted about a person, and what became of it, for good. The ledger keeps a keyed hash.

    Example: steward forget credit --subject 4711 --reason "asked us to, ticket 90210"
    """
    from steward import actions, wiring

    spec, services = wiring.specs().get(model), wiring.services()
    done = actions.forget_subject(services, spec, run=None, actor=_caller(), subject=subject, reason=reason)
    if as_json:
        print_json(done)
        return
    typer.echo(f"{model}: {done['predictions']} predictions and {done['outcomes']} outcomes erased")
    if done["held"]:
        typer.echo(f"{done['held']} files are still held by a server: hidden from every read, erased by the next run")


def _caller() -> str:
    return f"cli:{getpass.getuser()}"
