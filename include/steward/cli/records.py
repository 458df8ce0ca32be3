"""status, history: what the record says. Nothing here changes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.arguments import AnyModel, Model, instant_of
from steward.cli.output import Json, print_json, print_table
from steward.types import JsonObject, format_instant

if TYPE_CHECKING:
    from steward.ledger import AuditEvent, Serving

STATUS_COLUMNS = ("model", "stage", "serves", "waits for approval", "incidents", "governance", "last window")


def add_to(app: typer.Typer) -> None:
    app.command()(status)
    app.command()(history)


def status(model: AnyModel = None, as_json: Json = False) -> None:
    """What serves, what waits for people, what is wrong, for one model or all."""
    from steward import wiring
    from steward.actions.telling.standing import standing

    folder, now = wiring.specs(), wiring.clock().now()
    models = [model] if model else folder.ids()
    with wiring.database().begin() as tx:
        rows = [standing(tx, each, now, wiring.review_after(each)) for each in models]
    if model and rows[0]["last_event"] is None:
        folder.module_path(model)  # a name nobody knows is an error, not an empty row
    if as_json:
        print_json(rows)
        return
    print_table(STATUS_COLUMNS, (_status_cells(row) for row in rows))


def _status_cells(row: JsonObject) -> tuple[str, ...]:
    window, stage = row["last_window"], row["stage"]
    return (
        row["model"],
        f"{stage['stage']} since {stage['since']:%Y-%m-%d}" if stage else "none",
        _serves(row),
        ", ".join(f"@{each['version']} until {_day_and_time(each['expires_at'])}" for each in row["waiting"]),
        ", ".join(f"{each['cause']} since {each['since']:%Y-%m-%d}" for each in row["incidents"]),
        "; ".join(_governed(row)),
        f"{window['end']:%Y-%m-%d} {window['outcome']}" if window else "none judged",
    )


def _serves(row: JsonObject) -> str:
    by = " by ONNX" if row["runtime"] == "onnx" else ""
    said = [f"@{row['champion']}{by}" if row["champion"] else "none"]
    said += [f"canary @{row['canary']} ({row['percent']} %)"] if row["canary"] else []
    said += [f"shadow @{row['shadow']}"] if row["shadow"] else []
    said += [f"@{row['standby']} stands by"] if row["standby"] else []
    return ", ".join(said)


def _governed(row: JsonObject) -> Iterator[str]:
    """What an owner should know at a glance; nothing where all is well and nothing is filed."""
    if stone := row["retired"]:
        yield f"retired {stone['at'][:10]}"
    for waiver in row["waivers"]:
        place = f" {waiver['slice']}" if waiver["slice"] else ""
        yield f"{waiver['gate']}{place} waived until {waiver['expires_at'][:10]}"
    if row["review"]["next"]:
        yield f"review {'OVERDUE since' if row['review']['overdue'] else 'by'} {row['review']['next']:%Y-%m-%d}"
    if count := len(row["documents"]):
        yield f"{count} document{'s' if count > 1 else ''}"


def history(
    model: Model,
    at: Annotated[
        str | None, typer.Option("--at", help="What served then: 2013-06-01, or an ISO instant (UTC).")
    ] = None,
    as_json: Json = False,
) -> None:
    """With --at: which version served, on which evidence and whose approval. Without: all that happened.

    Example: steward history flight_delays --at 2013-06-01
    """
    from steward import wiring
    from steward.ledger import SERVING_EVENTS, serving_at, timeline

    moment = instant_of(at) if at else None
    with wiring.database().begin() as tx:
        events = tx.events.read(model=model, types=SERVING_EVENTS if moment else ())
    _require_events(model, events)
    if moment is None:
        rows = timeline(events)
        if as_json:
            print_json([row.to_json() for row in rows])
        else:
            cells = ((r.seq, _day_and_time(r.at), r.event, r.version, r.actor, r.reason) for r in rows)
            print_table(("#", "at", "event", "version", "actor", "reason"), cells)
        return
    served = serving_at(events, moment)
    if as_json:
        print_json({"model": model, "at": moment, "serving": served.to_json() if served else None})
    elif served is None:
        typer.echo(f"no version of {model} served at {format_instant(moment)}")
    else:
        _print_serving(served, moment)


def _print_serving(served: Serving, at: datetime) -> None:
    until = _day_and_time(served.until) if served.until else "today"
    how = "came back by a rollback" if served.rolled_back_to else "was promoted"
    made = served.provenance
    lines = [
        ("at", _day_and_time(at)),
        ("served", f"{served.model}@{served.version}, from {_day_and_time(served.since)} until {until}"),
        ("how", f"{how} by {served.put_in_service_by}: {served.reason}"),
        *(
            ("approved" if a.approved else "rejected", f"by {a.by} {_day_and_time(a.at)}: {a.reason}")
            for a in served.answers
        ),
        (
            "trained",
            f"by {made.trained_by}, {_day_and_time(made.trained_at)}" if made.trained_at else "not recorded",
        ),
        ("code", made.code_commit or "not recorded"),
        *((f"evidence {kind}", digest) for kind, digest in made.evidence.items()),
    ]
    print_table(("", ""), lines)


def _require_events(model: str, events: list[AuditEvent]) -> None:
    """A retired model has events but no folder; a misspelt one has neither."""
    from steward import wiring

    if not events:
        wiring.specs().module_path(model)


def _day_and_time(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"
