"""waiver, break-glass, review: what named persons sign. Each goes through Airflow, as the user of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli import completion
from steward.cli.arguments import AnyModel, Model, ModelOrVersion, OneVersion
from steward.cli.door import decide
from steward.cli.output import Json, Reason, print_json, print_table
from steward.types import VersionRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steward.ledger import Waiver

waiver = typer.Typer(help="A gate's no, set aside for a time by somebody who signs for it.", no_args_is_help=True)

WAIVER_COLUMNS = ("waiver", "of", "gate", "slice", "until", "signed by", "reason")


def add_to(app: typer.Typer) -> None:
    waiver.command()(grant)
    waiver.command()(revoke)
    waiver.command("list")(list_waivers)
    app.add_typer(waiver, name="waiver")
    app.command()(break_glass)
    app.command()(review)


def grant(
    target: ModelOrVersion,
    gate: Annotated[
        str,
        typer.Option(
            "--gate", help="As the verdict names it, for example metric.roc_auc.", autocompletion=completion.gates
        ),
    ],
    until: Annotated[str, typer.Option("--until", metavar="DATE", help="When it ends: 2026-12-31, or an instant.")],
    reason: Reason,
    slice_: Annotated[str | None, typer.Option("--slice", help="Of this slice only; without it, of all.")] = None,
    as_json: Json = False,
) -> None:
    """Sign a waiver. The verdict stays as it is; for a time it does not stop a release.

    Example: steward waiver grant flight_delays@3 --gate metric.roc_auc --until 2026-12-31 --reason "new airport"
    """
    model, version = _parse(target)
    answer = decide(model, "waivers", gate=gate, slice=slice_, version=version, until=until, reason=reason)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{target}: {gate} is waived until {answer['expires_at']} (waiver {answer['waiver']})")


def revoke(
    waiver_id: Annotated[str, typer.Argument(metavar="WAIVER", help="As `steward waiver list` shows it.")],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """End a waiver before its date.

    Example: steward waiver revoke 4f1c0de2 --reason "the new airport has data now"
    """
    found = _granted(waiver_id)
    answer = decide(found.model, "waivers/revoke", waiver=found.id, reason=reason)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{_of(found)}: {found.gate} is no longer waived")


def list_waivers(
    model: AnyModel = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    as_json: Json = False,
) -> None:
    """The waivers that hold today, of one model or all.

    Example: steward waiver list flight_delays --json
    """
    from steward import wiring

    shown = list(_waivers(model, everything))
    if model and not shown:
        wiring.specs().module_path(model)  # a name nobody knows is an error, not an empty list
    if as_json:
        print_json([each.to_json() for each in shown])
        return
    rows = (
        (w.id, _of(w), w.gate, w.slice, f"{w.expires_at:%Y-%m-%d %H:%M}", f"{w.by} ({w.role})", w.reason) for w in shown
    )
    print_table(WAIVER_COLUMNS, rows)


def break_glass(version: OneVersion, reason: Reason, as_json: Json = False) -> None:
    """Allow a version to be released without the approvals it needs, in an emergency. Others must review it soon.

    Example: steward break-glass flight_delays@3 --reason "the champion refuses every flight from the new airport"
    """
    ref = VersionRef.parse(version)
    answer = decide(ref.model, "break-glass", version=ref.number, reason=reason)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{version} may be released; somebody else must review it by {answer['review_by']}")


def review(model: Model, reason: Reason, as_json: Json = False) -> None:
    """Say that you looked at a model as a whole, and that it may go on.

    Example: steward review flight_delays --reason "numbers, complaints and use looked at: still what we want"
    """
    answer = decide(model, "reviews", reason=reason)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{model} was reviewed; the next review is due by {answer['next_review_at']}")


def _parse(target: str) -> tuple[str, int | None]:
    if "@" not in target:
        return target, None
    ref = VersionRef.parse(target)
    return ref.model, ref.number


def _waivers(model: str | None, everything: bool) -> Iterator[Waiver]:
    from steward import wiring
    from steward.ledger import EventType, Waiver, live_waivers
    from steward.ledger.governance import WAIVER_EVENTS

    with wiring.database().begin() as tx:
        events = tx.events.read(model=model, types=WAIVER_EVENTS)
    if not everything:
        yield from live_waivers(events, wiring.clock().now())
        return
    yield from (Waiver.of(event) for event in events if event.type is EventType.WAIVER_GRANTED)


def _granted(waiver_id: str) -> Waiver:
    """The waiver that begins so, with its model. Raises NotFoundError; ConflictError for several."""
    from steward.errors import ConflictError, NotFoundError

    found = [each for each in _waivers(None, everything=True) if each.id.startswith(waiver_id)]
    if not found:
        raise NotFoundError(f"there is no waiver {waiver_id!r}", hint="`steward waiver list` shows them")
    if len(found) > 1:
        raise ConflictError(f"several waivers begin with {waiver_id!r}", hint="write more of the id")
    return found[0]


def _of(found: Waiver) -> str:
    return f"{found.model}@{found.version}" if found.version else found.model
