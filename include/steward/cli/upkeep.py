"""maintain, outcomes, forget, heal: the upkeep of the prediction log and of all that runs, by hand."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from steward.cli.arguments import Model, instant_of
from steward.cli.output import Json, Reason, print_json, print_table
from steward.types import JsonObject

outcomes = typer.Typer(help="What became of decisions.", no_args_is_help=True)

COLUMNS = ("model", "folded", "expired", "merged files", "outcomes", "of unknown decisions")


def add_to(app: typer.Typer) -> None:
    app.command()(maintain)
    outcomes.command()(load)
    app.add_typer(outcomes, name="outcomes")
    app.command()(forget)
    app.command()(heal)


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
    model: Model,
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
    model: Model,
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


def heal(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is wrong; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Look after champions, servers, training runs and monitors, as Airflow does every ten minutes. Again is harmless.

    What is an incident already is shown by a dry run, and not told again. Exit code 1 when a part of it could not be
    looked at; the rest was done.

    Example: steward heal --dry-run
    """
    from steward import actions, wiring

    done = actions.heal(wiring.services(), actor=_caller(), dry_run=dry_run)
    if as_json:
        print_json(done)
    elif done["found"]:
        rows = ((each["kind"], each["model"], each["said"], _healed(each)) for each in done["found"] if "said" in each)
        print_table(("kind", "model", "what", "incident"), rows)
    elif not done["faults"]:
        typer.echo("nothing to heal")
    for fault in done["faults"]:
        typer.echo(f"could not look at {fault}", err=True)
    if done["faults"]:
        raise typer.Exit(1)


def _healed(found: JsonObject) -> str:
    return str(found.get("incident") or "")[:12]


def _caller() -> str:
    return f"cli:{getpass.getuser()}"
