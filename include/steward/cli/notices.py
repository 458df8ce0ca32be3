"""notices: what people are told, by which channel, what waits and why."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from steward.cli.arguments import Model
from steward.cli.output import Json, print_json, print_table
from steward.types import JsonObject

notices = typer.Typer(help="Messages to people: rules, previews, and what waits.", no_args_is_help=True)

Days = Annotated[int, typer.Option(min=1, help="How far back.")]

Channel = Annotated[str, typer.Argument(metavar="CHANNEL", help="One that `steward notices check` names.")]

Windows = Annotated[
    bool,
    typer.Option("--windows", help="Tell the incidents anew from the judged windows, by the spec as it is now."),
]


def add_to(app: typer.Typer) -> None:
    notices.command()(check)
    notices.command()(preview)
    notices.command("test")(try_one)
    notices.command()(waiting)
    app.add_typer(notices, name="notices")


def check(as_json: Json = False) -> None:
    """Read notifications.yaml and say what is wrong with it, line by line. Exit code 2 when something is.

    Example: steward notices check
    """
    from steward import wiring

    rules = wiring.notifications()
    if as_json:
        print_json(rules.model_dump(mode="json"))
        return
    where = wiring.settings().notifications_path
    routes = f"{len(rules.routes)} routes" if rules.routes else "every message to every channel"
    hours = rules.quiet
    quiet = f"quiet from {hours.begins} to {hours.ends} {hours.zone}" if hours else "no quiet hours"
    channels = ", ".join(["notices", *rules.channels])
    typer.echo(f"{where if where.exists() else f'no {where}'}: channels {channels}; {routes}; {quiet}")


def preview(model: Model, days: Days = 30, windows: Windows = False, as_json: Json = False) -> None:
    """What the present rules would have told whom of the last days' incidents, and when. Tells nobody.

    Example: steward notices preview flight_delays --days 90
    """
    from steward import wiring
    from steward.actions.incidents.notifying import preview_messages

    rows = preview_messages(wiring.services(), model, days, anew=windows)
    if as_json:
        print_json(rows)
        return
    columns = ("told at", "channel", "to", "message")
    cells = ((r["tells_at"][:16], r["channel"], ", ".join(r["to"]), r["title"]) for r in rows)
    print_table(columns, cells)
    channels = {row["channel"] for row in rows}
    later = sum(row["waits"] for row in rows)
    typer.echo(f"{len(rows)} messages on {len(channels)} channels in {days} days; {later} wait for quiet hours to end")


def try_one(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="One that `notices check` names.")],
    as_json: Json = False,
) -> None:
    """Send a trial to one channel. Exit code 75 when it does not take it.

    Example: steward notices test pager
    """
    from steward import wiring
    from steward.actions.incidents.notifying import try_channel

    done = try_channel(wiring.services(), channel, getpass.getuser())
    if as_json:
        print_json(done)
    elif done["sent"]:
        typer.echo(f"{channel} took it")
    else:
        typer.echo(f"{channel} is reached by Airflow's tasks: the next run of steward__maintain sends it")


def waiting(as_json: Json = False) -> None:
    """Messages that are not delivered: since when, how often it was tried, and what the channel said.

    Example: steward notices waiting
    """
    from steward import wiring
    from steward.actions.incidents.messaging import waiting_messages

    rows = waiting_messages(wiring.database())
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo("nothing waits")
        return
    columns = ("since", "channel", "message", "tries", "said", "not before")
    print_table(columns, (_waits(row) for row in rows))


def _waits(row: JsonObject) -> tuple[object, ...]:
    since, not_before = row["at"] or "", row["retry_at"] or row["not_before"] or ""
    return since[:16], row["channel"], row["title"], row["attempts"], row["error"], not_before[:16]
