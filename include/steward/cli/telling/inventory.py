"""inventory, audit inventory: every model there is, and what of it does not fit together. Nothing here changes it."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steward.cli.arguments import AnyModel, instant_of
from steward.cli.output import Json, print_json, print_table
from steward.cli.telling.audits import audit
from steward.types import JsonObject, canonical

if TYPE_CHECKING:
    from steward.inventory.record import InventoryRecord

COLUMNS = ("model", "standing", "tier", "owner", "stage", "champion", "versions", "last window", "next review", "notes")
FOUND = 1


def add_to(app: typer.Typer) -> None:
    app.command()(inventory)
    audit.command("inventory")(findings)


def inventory(
    model: AnyModel = None,
    at: Annotated[
        str | None, typer.Option("--at", help="As the ledger knew it then: 2026-06-01, or an ISO instant (UTC).")
    ] = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, every field a column.")] = False,
) -> None:
    """Every model: declared here, registered elsewhere, retired, with a broken spec, or known to the ledger alone.

    Example: steward inventory --at 2026-06-01 --csv > inventory.csv
    """
    from steward import wiring
    from steward.actions.governance.surveying import inventory as taken

    records = taken(wiring.services(), wiring.places(), instant_of(at) if at else None)
    if model:
        records = [_named(model, records)]
    if as_json:
        print_json(records[0] if model else records)
    elif as_csv:
        typer.echo(_csv([record.to_json() for record in records]), nl=False)
    elif model:
        print_table(("", ""), _lines(records[0].to_json()))
    else:
        print_table(COLUMNS, (_cells(record) for record in records))


def findings(
    as_json: Json = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when something was found.")] = False,
) -> None:
    """Compare specs, ledger, registry, servers, callers and people, now. Exit code 0, whatever is found.

    Nothing is written; the audit of every night opens incidents and tells owners. Data sources are read by it alone.

    Example: steward audit inventory --strict
    """
    from steward import wiring
    from steward.actions.governance.surveying import survey

    found = survey(wiring.services(), probe=False)
    if as_json:
        print_json(found)
    elif not found.findings:
        typer.echo(f"{found.models} models, nothing found")
    else:
        rows = ((f.severity, f.name, f.rule, f.reason, f.what_to_do) for f in found.findings)
        title = f"{found.models} models, {len(found.findings)} findings"
        print_table(("severity", "model", "rule", "why", "what to do"), rows, title=title)
    raise typer.Exit(FOUND if strict and found.findings else 0)


def _named(model: str, records: list[InventoryRecord]) -> InventoryRecord:
    from steward.errors import NotFoundError
    from steward.spec.faults import nearest

    for record in records:
        if record.model == model:
            return record
    close = nearest(model, [record.model for record in records])
    hint = f"did you mean `{close}`?" if close else "`steward inventory` lists what there is"
    raise NotFoundError(f"the inventory has no model {model!r}", hint=hint)


def _cells(record: InventoryRecord) -> tuple[Any, ...]:
    owner, window = record.owner, record.last_window
    return (
        record.model,
        record.standing,
        record.risk_tier,
        f"{owner['name']} ({owner['team']})" if owner else "nobody",
        f"{record.stage} since {record.stage_at:%Y-%m-%d}" if record.stage_at else "",
        f"@{record.champion}" if record.champion else "",
        ", ".join(f"{count} {state}" for state, count in sorted(record.versions.items())),
        f"{window['window']['end'][:10]} {window['outcome']}" if window else "",
        f"{record.next_review_at:%Y-%m-%d}" if record.next_review_at else "",
        _notes(record),
    )


def _notes(record: InventoryRecord) -> str:
    incidents = [incident["cause"] for incident in record.incidents]
    notes = [
        f"retired {record.retired['at'][:10]}" if record.retired else "",
        f"runs on {record.environment}" if record.standing == "registered elsewhere" else "",
        f"waivers: {len(record.waivers)}" if record.waivers else "",
        f"incidents: {', '.join(incidents)}" if incidents else "",
        record.fault or "",
    ]
    return "; ".join(filter(None, notes))


def _lines(record: JsonObject) -> list[tuple[str, str]]:
    """Field by field, what is empty left out."""
    return [(name.replace("_", " "), _text(value)) for name, value in record.items() if value not in (None, [], {})]


def _csv(records: list[JsonObject]) -> str:
    text = io.StringIO()
    names = list(records[0]) if records else ["model"]
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows({name: _safe(_text(value)) for name, value in record.items()} for record in records)
    return text.getvalue()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical(value).decode()


def _safe(text: str) -> str:
    """A spreadsheet takes a cell that begins like this for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
