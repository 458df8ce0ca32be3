"""retire, retirement: a model's way out, begun and followed from a shell. Airflow does the waiting."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.arguments import Model
from steward.cli.door import airflow, decide
from steward.cli.output import Json, Reason, print_json, print_table
from steward.cli.progress import working
from steward.types import JsonObject, to_json

if TYPE_CHECKING:
    from steward.data import Traffic
    from steward.inventory.retirement import Retirement

DAG = "steward__retire"

retirement = typer.Typer(help="How far a model's retirement has come.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.command()(retire)
    retirement.command()(status)
    retirement.command()(confirm)
    retirement.command("call-off")(call_off)
    retirement.command()(verify)
    app.add_typer(retirement, name="retirement")


def retire(
    model: Model,
    reason: Reason,
    replacement: Annotated[str | None, typer.Option("--replacement", help="The model to ask instead.")] = None,
    quiet: Annotated[str | None, typer.Option("--quiet", help="Longer than the spec asks for: 14d.")] = None,
    accept_missing: Annotated[
        bool, typer.Option("--accept-missing", help="Archive even if an artefact or rows are gone or altered.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Begin to retire a model, or go on where an earlier run stopped: starts `steward__retire` in Airflow.

    Example: steward retire flight_delays --reason "superseded" --replacement flight_delays_2
    """
    from steward import wiring

    wiring.specs().module_path(model)
    form = {"model": model, "reason": reason, "replacement": replacement, "quiet": quiet}
    client = airflow()
    run = client.trigger(DAG, {**form, "accept_missing": accept_missing})
    where = f"{client.url}/dags/{DAG}/runs/{run}"
    if as_json:
        print_json({"model": model, "run": run, "url": where})
    else:
        typer.echo(f"{model}: the retirement runs in Airflow\n  {where}\n  steward retirement status {model}")


def status(model: Model, as_json: Json = False) -> None:
    """What is done, and what it waits for: consumers, quiet, archive.

    Example: steward retirement status flight_delays
    """
    from steward import wiring
    from steward.actions.retirement.draining import retirement_in, traffic_of

    with wiring.database().begin() as tx:
        known = retirement_in(tx, model)
    if known is None:
        wiring.specs().module_path(model)
        typer.echo("null" if as_json else f"{model} is not being retired")
        return
    spec = wiring.spec_to_go_back(model)
    traffic = None if known.closed_at else traffic_of(wiring.services(), spec, known)
    if as_json:
        print_json(_plain(known, traffic))
    else:
        print_table(("step", "state", ""), _steps(known, traffic), title=f"{model}: {known.reason}")


def _plain(known: Retirement, traffic: Traffic | None) -> JsonObject:
    from steward.inventory.retirement import waiting_for_quiet

    waiting = waiting_for_quiet(known, traffic) if traffic else []
    return {**known.to_json(), "unconfirmed": known.unconfirmed, "waiting_for_quiet": waiting}


def _steps(known: Retirement, traffic: Traffic | None) -> list[tuple[str, str, str]]:
    from steward.inventory.retirement import waiting_for_quiet
    from steward.spec import format_duration

    rows = [("started", _day(known.started_at), f"by {known.by}; replacement: {known.replacement or 'none'}")]
    for name, contact in known.consumers.items():
        said = known.confirmations.get(name)
        instead = f"by {said.by}" + (f", asks {said.replacement}" if said.replacement else "") if said else contact
        rows.append((f"consumer {name}", _day(said.at) if said else "waiting", instead))
    waiting = waiting_for_quiet(known, traffic) if traffic else []
    agreed = f"{format_duration(known.quiet)} without a request"
    rows.append(("quiet", "waiting" if waiting else "yes", "; ".join(waiting) or agreed))
    rows.append(("endpoint closed", _day(known.closed_at) if known.closed_at else "waiting", ""))
    kept = known.archived
    until = f"kept until {_day(kept.keep_until)} at {kept.address}" if kept else ""
    rows.append(("archived", _day(kept.at) if kept else "waiting", until))
    rows.append(("retired", _day(known.retired_at) if known.retired_at else "waiting", ""))
    return rows


def confirm(
    model: Model,
    consumer: Annotated[str, typer.Option("--consumer", help="As the model's spec names it.")],
    replacement: Annotated[str | None, typer.Option("--replacement", help="What it asks from now on.")] = None,
    as_json: Json = False,
) -> None:
    """Say, for a consumer, that it no longer needs the model. Goes through Airflow, as the user of the settings.

    Example: steward retirement confirm flight_delays --consumer rebooking-desk --replacement flight_delays_2
    """
    answer = decide(model, "consumers/confirm", consumer=consumer, replacement=replacement)
    if as_json:
        print_json(answer)
        return
    others = ", ".join(answer["waiting_for"])
    typer.echo(f"{consumer} no longer needs {model}; " + (f"still waiting for {others}" if others else "all confirmed"))


def call_off(model: Model, reason: Reason, as_json: Json = False) -> None:
    """The model stays. Possible until its endpoint is closed.

    Example: steward retirement call-off flight_delays --reason "the successor fails on charter flights"
    """
    answer = decide(model, "retirement/call-off", reason=reason)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{model} stays; its consumers are told")


def verify(model: Model, as_json: Json = False) -> None:
    """Read every file of a retired model's archive again. Exit code 1 names the first that was altered.

    Example: steward retirement verify flight_delays
    """
    from steward import actions, wiring

    with working(f"reading the archive of {model}"):
        found = actions.verify_archive(wiring.services(), model)
    if as_json:
        print_json(found)
        return
    missing = f"; never kept: {', '.join(found['missing'])}" if found["missing"] else ""
    typer.echo(f"{found['files']} files are as recorded, to be kept until {found['keep_until'][:10]}{missing}")


def _day(instant: datetime) -> str:
    return str(to_json(instant))[:10]
