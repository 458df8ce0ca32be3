"""incidents, incident: what is wrong, and what people do about it. All of it works while Airflow is down."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.arguments import AnyModel
from steward.cli.output import Json, Reason, print_json, print_table
from steward.types import JsonObject, to_json

if TYPE_CHECKING:
    from steward.monitoring.windows import Incident

COLUMNS = ("incident", "model", "cause", "severity", "state", "since", "windows", "messages")
SHOWN = 12  # characters of an id: enough to name it

Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the first characters of it.")]

incident = typer.Typer(help="One incident: show it, take it on, say that it is over.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.command()(incidents)
    incident.command()(show)
    incident.command()(acknowledge)
    incident.command()(resolve)
    app.add_typer(incident, name="incident")


def incidents(
    model: AnyModel = None,
    every: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    as_json: Json = False,
) -> None:
    """What is wrong now, of one model or all, and which messages about it are still on their way.

    Example: steward incidents flight_delays --all
    """
    from steward import wiring
    from steward.actions.incidents.messaging import waiting_messages

    with wiring.database().begin() as tx:
        if model:
            found = tx.incidents.all(model)
        else:  # every id begins with nothing
            everywhere = tx.incidents.find("") if every else tx.incidents.unresolved_everywhere()
            found = sorted(everywhere, key=lambda each: each.model)
    if model and not found:
        wiring.specs().module_path(model)  # a name nobody knows is an error, not an empty list
    waiting = waiting_messages(wiring.database())
    rows = [_row(each, waiting) for each in found if every or each.unresolved]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(COLUMNS, (_cells(row) for row in rows))
    else:
        typer.echo("no incident is open")


def _row(each: Incident, waiting: list[JsonObject]) -> JsonObject:
    theirs = [message for message in waiting if str(message["id"]).startswith(f"{each.id}:")]
    row: JsonObject = to_json({**vars(each), "first_bad": each.first_bad.to_json(), "messages": theirs})
    return row


def _cells(row: JsonObject) -> tuple[object, ...]:
    state = f"{row['state']} by {row['acknowledged_by']}" if row["state"] == "acknowledged" else row["state"]
    named = f"{row['model']}@{row['version']}" if row["version"] else row["model"]
    since = str(row["first_bad"]["start"])[:10]
    told = "; ".join(_waits(message) for message in row["messages"])
    return row["id"][:SHOWN], named, row["cause"], row["severity"], state, since, row["windows"], told


def _waits(message: JsonObject) -> str:
    channel = message["channel"] or "its channels"
    if message["error"]:
        return f"{channel} did not take it: {message['error']}, {message['attempts']} tries"
    if message["not_before"]:
        return f"{channel} hears of it {message['not_before'][:16]}"
    return f"on the way to {channel}"


def show(id: Id, as_json: Json = False) -> None:
    """All of one incident: since when, how bad, what belongs to it, and everything that happened to it.

    Example: steward incident show 9f3ac1
    """
    from steward import wiring
    from steward.actions.incidents.changing import incident_by_id
    from steward.actions.incidents.messaging import waiting_messages
    from steward.monitoring.messages import INCIDENT_EVENTS

    with wiring.database().begin() as tx:
        known = incident_by_id(tx, id)
        events = [e for e in tx.events.read(model=known.model, types=INCIDENT_EVENTS) if e.body["incident"] == known.id]
    row = _row(known, waiting_messages(wiring.database()))
    row["events"] = [{"seq": e.seq, "at": e.at, "event": e.type, "actor": e.actor, "reason": e.reason} for e in events]
    if as_json:
        print_json(row)
        return
    print_table(("", ""), _facts(row))
    happened = ((e.seq, f"{e.at:%Y-%m-%d %H:%M}", e.type.removeprefix("incident."), e.actor, e.reason) for e in events)
    print_table(("#", "at", "event", "actor", "reason"), happened)


def _facts(row: JsonObject) -> list[tuple[str, object]]:
    cells = dict(zip(COLUMNS, _cells(row), strict=True))
    first_bad = row["first_bad"]
    told: list[tuple[str, object]] = [
        ("incident", row["id"]),
        *((name, cells[name]) for name in ("model", "cause", "severity", "state")),
        ("first bad window", f"{first_bad['start'][:10]} to {first_bad['end'][:10]}"),
        ("windows", f"{row['windows']} failed; the last {row['passed']} in a row passed"),
        ("to do", _to_do(row)),
        ("evidence", row["evidence"]),
        ("report", row["report"]),
        *((link["kind"], f"{link['ref']}, {link['at'][:16]}") for link in row["links"] if link["kind"] != "evidence"),
        ("messages", cells["messages"]),
    ]
    return [(name, value) for name, value in told if value not in (None, "")]


def _to_do(row: JsonObject) -> str | None:
    """An audit's incident says it itself; of a window's the whole model is explained."""
    from steward.ledger import ALL_MODELS

    if row["state"] == "resolved":
        return None
    said = (row["detail"] or {}).get("what_to_do")
    return said or (f"steward why {row['model']}" if row["model"] != ALL_MODELS else None)


def acknowledge(
    id: Id,
    note: Annotated[str, typer.Option("--note", help="What you know or will do; it is kept in the ledger.")] = "",
    as_json: Json = False,
) -> None:
    """Take an incident on: others see that you look at it. It still ends by itself when the windows pass.

    Exit code 4 when somebody else has it, or it is over.

    Example: steward incident acknowledge 9f3ac1 --note "the airport renamed its gates; I ask them"
    """
    from steward import wiring
    from steward.actions.incidents.attending import acknowledge_incident

    done = acknowledge_incident(wiring.services(), incident=id, by=getpass.getuser(), note=note)
    _tell(done, "is yours", as_json)


def resolve(id: Id, reason: Reason, as_json: Json = False) -> None:
    """Say that it is over, and why. A window that fails later opens a new one.

    Exit code 3 for a review that is due, which `steward review` ends; 4 when it is over already.

    Example: steward incident resolve 9f3ac1 --reason "the airport renamed its gates; the source is mended"
    """
    from steward import wiring
    from steward.actions.incidents.attending import resolve_by_hand

    done = resolve_by_hand(wiring.services(), incident=id, by=getpass.getuser(), reason=reason)
    _tell(done, "is over", as_json)


def _tell(done: JsonObject, said: str, as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        typer.echo(f"incident {done['incident'][:SHOWN]} ({done['cause']} of {done['model']}) {said}")
