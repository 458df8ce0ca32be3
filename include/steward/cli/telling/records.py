"""history: what happened, and what served at any moment. Nothing here changes it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.arguments import Model, instant_of
from steward.cli.output import Json, day_and_time, print_json, print_table
from steward.types import format_instant

if TYPE_CHECKING:
    from steward.ledger import AuditEvent, Serving


def add_to(app: typer.Typer) -> None:
    app.command()(history)


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
            cells = ((r.seq, day_and_time(r.at), r.event, r.version, r.actor, r.reason) for r in rows)
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
    until = day_and_time(served.until) if served.until else "today"
    how = "came back by a rollback" if served.rolled_back_to else "was promoted"
    made = served.provenance
    lines = [
        ("at", day_and_time(at)),
        ("served", f"{served.model}@{served.version}, from {day_and_time(served.since)} until {until}"),
        ("how", f"{how} by {served.put_in_service_by}: {served.reason}"),
        *(
            ("approved" if a.approved else "rejected", f"by {a.by} {day_and_time(a.at)}: {a.reason}")
            for a in served.answers
        ),
        (
            "trained",
            f"by {made.trained_by}, {day_and_time(made.trained_at)}" if made.trained_at else "not recorded",
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
