"""status, history, why, audit: what the record says. Nothing here changes it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.output import Json, print_json, print_table
from steward.types import JsonObject, format_instant

if TYPE_CHECKING:
    from steward.actions.state import Transaction
    from steward.ledger import AuditEvent, Serving

audit = typer.Typer(help="The chain of events: whole, and as it was.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.command()(status)
    app.command()(history)
    app.command()(why)
    audit.command()(verify)
    audit.command()(checkpoint)
    app.add_typer(audit, name="audit")


def status(model: Annotated[str | None, typer.Argument()] = None, as_json: Json = False) -> None:
    """What serves, what waits for people, what is wrong, for one model or all."""
    from steward import wiring

    folder = wiring.specs()
    models = [model] if model else folder.ids()
    if model:
        folder.module_path(model)  # a name nobody knows is an error, not an empty row
    with wiring.database().begin() as tx:
        rows = [status_of(tx, each) for each in models]
    if as_json:
        print_json(rows)
        return
    columns = ("model", "champion", "canary", "waits for approval", "incidents", "last window", "last event")
    print_table(columns, (_status_cells(row) for row in rows))


def status_of(tx: Transaction, model: str) -> JsonObject:
    from steward.approval import RequestState

    champion, route = tx.versions.champion(model), tx.routes.get(model)
    judged, last = tx.windows.recent(model, 1), tx.events.read(model=model, limit=1)
    waiting = tx.approvals.find(model, None, RequestState.OPEN)
    return {
        "model": model,
        "champion": champion.number if champion else None,
        "canary": route.canary if route else None,
        "percent": route.percent if route and route.canary else 0,
        "waiting": [{"version": r.version, "request": r.id, "expires_at": r.expires_at} for r in waiting],
        "incidents": [{"id": i.id, "cause": i.cause, "since": i.opened_at} for i in tx.incidents.unresolved(model)],
        "last_window": {"end": judged[-1].window.end, "outcome": judged[-1].outcome} if judged else None,
        "last_event": {"type": last[-1].type, "at": last[-1].at, "reason": last[-1].reason} if last else None,
    }


def _status_cells(row: JsonObject) -> tuple[str, ...]:
    window, event = row["last_window"], row["last_event"]
    return (
        row["model"],
        f"@{row['champion']}" if row["champion"] else "none",
        f"@{row['canary']} ({row['percent']} %)" if row["canary"] else "",
        ", ".join(f"@{each['version']} until {_day_and_time(each['expires_at'])}" for each in row["waiting"]),
        ", ".join(f"{each['cause']} since {each['since']:%Y-%m-%d}" for each in row["incidents"]),
        f"{window['end']:%Y-%m-%d} {window['outcome']}" if window else "none judged",
        f"{_day_and_time(event['at'])} {event['type']}" if event else "none",
    )


def history(
    model: str,
    at: Annotated[
        str | None, typer.Option("--at", help="What served then: 2013-06-01, or an ISO instant (UTC).")
    ] = None,
    as_json: Json = False,
) -> None:
    """With --at: which version served, on which evidence and whose approval. Without: all that happened."""
    from steward import wiring
    from steward.ledger import serving_at, timeline

    moment = _instant(at) if at else None
    with wiring.database().begin() as tx:
        events = tx.events.read(model=model)
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


def why(model: str, as_json: Json = False) -> None:
    """The last decision on retraining, yes or no, with its reason."""
    from steward import wiring
    from steward.ledger import EventType

    kinds = [EventType.RETRAINING_REQUESTED, EventType.RETRAINING_DECLINED]
    with wiring.database().begin() as tx:
        found = tx.events.read(model=model, types=kinds, limit=1)
    if not found:
        wiring.specs().module_path(model)
        typer.echo("null" if as_json else f"no decision on retraining {model} has been taken yet")
        return
    event = found[-1]
    if as_json:
        print_json(_decision(event))
        return
    word = "retraining was requested" if event.type is EventType.RETRAINING_REQUESTED else "no retraining"
    typer.echo(f"{_day_and_time(event.at)} {word}: {event.reason}")
    for key, value in (event.body.get("detail") or {}).items():
        typer.echo(f"  {key}: {value}")


def verify(
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="Checkpoints exported earlier; they show a cut-off end."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read the whole chain and check every link. Exit code 1 names the first event that cannot be trusted."""
    from steward import wiring
    from steward.ledger import parse_checkpoints

    marks = parse_checkpoints(_text_of(checkpoint), str(checkpoint)) if checkpoint else []
    with wiring.database().begin() as tx:
        verification = tx.events.verify(marks)
    if as_json:
        print_json(verification.to_json())
    elif verification.intact:
        seen = f", {verification.checkpoints} checkpoints hold" if marks else ""
        typer.echo(f"{verification.events} events, every link holds{seen} (head {verification.head_hash[:12]})")
    if as_json and not verification.intact:
        raise typer.Exit(1)
    verification.require()


def checkpoint(
    out: Annotated[Path, typer.Option("--out", help="Appended to, one line each; keep it elsewhere.")],
) -> None:
    """Export the signed head of the chain, to show later that nothing was cut off."""
    from steward import wiring
    from steward.errors import StewardError
    from steward.ledger import export_checkpoint

    with wiring.database().begin() as tx:
        mark = tx.events.checkpoint()
    try:
        with out.open("a", encoding="utf-8") as file:
            file.write(export_checkpoint(mark))
    except OSError as error:
        raise StewardError(f"the checkpoint cannot be written: {error.strerror}", where=str(out)) from error
    typer.echo(f"event {mark.seq} noted in {out}; keep a copy where the database's administrators cannot write")


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


def _decision(event: AuditEvent) -> JsonObject:
    return {
        "model": event.model,
        "at": event.at,
        "decision": event.type,
        "reason": event.reason,
        "version": event.version,
        "evidence": event.evidence,
        "detail": event.body.get("detail"),
    }


def _require_events(model: str, events: list[AuditEvent]) -> None:
    """A retired model has events but no folder; a misspelt one has neither."""
    from steward import wiring

    if not events:
        wiring.specs().module_path(model)


def _instant(text: str) -> datetime:
    from steward.errors import RequestError
    from steward.types import parse_instant

    try:
        return parse_instant(text)
    except ValueError as error:
        raise RequestError(f"{text!r} is no date", hint="write 2013-06-01 or 2013-06-01T12:00:00Z") from error


def _text_of(path: Path) -> str:
    from steward.errors import NotFoundError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"the checkpoints cannot be read: {error}", where=str(path)) from error


def _day_and_time(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"
