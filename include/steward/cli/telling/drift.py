"""drift: what the monitor found in a model's last window, or would find now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.arguments import Model, instant_of
from steward.cli.output import Json, print_json, print_table
from steward.types import JsonObject, VersionRef, Window

if TYPE_CHECKING:
    from datetime import datetime

    from steward.actions.state import Transaction
    from steward.gates import Finding
    from steward.monitoring.windows import JudgedWindow

_LOOKED_THROUGH = 1000  # judged windows in which a day is looked for


def add_to(app: typer.Typer) -> None:
    app.command()(drift)


def drift(
    model: Model,
    as_of: Annotated[str | None, typer.Option("--as-of", help="The newest window that ends before this day.")] = None,
    now: Annotated[bool, typer.Option("--now", help="Judge afresh, and record nothing of it.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Print the checks that passed too.")] = False,
    as_json: Json = False,
) -> None:
    """What failed in the last judged window and why, cause by cause; what could not be decided, and for want of what.

    Exit code 1 when a check failed, 0 otherwise.

    Example: steward drift flight_delays --now
    """
    moment = instant_of(as_of) if as_of else None
    found = _rehearsed(model, as_of) if now else _on_record(model, moment)
    if found is None:
        typer.echo("null" if as_json else f"no window of {model} has been judged yet")
        return
    if as_json:
        print_json(found)
    else:
        _print(model, found, everything)
    if found["verdict"]["outcome"] == "FAILED":
        raise typer.Exit(1)


def _rehearsed(model: str, as_of: str | None) -> JsonObject:
    from steward import wiring
    from steward.actions.windows.watching import judge_now

    return judge_now(wiring.services(), wiring.specs().get(model), as_of).evidence.body


def _on_record(model: str, moment: datetime | None) -> JsonObject | None:
    from steward import wiring

    with wiring.database().begin() as tx:
        judged = _judged(tx, model, moment)
        if judged is not None:
            return {**tx.evidence.get(judged.evidence).body, "evidence": judged.evidence, "judged_at": judged.judged_at}
    wiring.specs().module_path(model)  # a name nobody knows is an error, not an empty answer
    return None


def _judged(tx: Transaction, model: str, moment: datetime | None) -> JudgedWindow | None:
    windows = tx.windows.recent(model, 1 if moment is None else _LOOKED_THROUGH)
    return next((each for each in reversed(windows) if moment is None or each.window.end <= moment), None)


def _print(model: str, found: JsonObject, everything: bool) -> None:
    from steward.gates import Outcome, Verdict

    verdict = Verdict.from_json(found["verdict"])
    window, outcome = Window.from_json(found["window"]), verdict.outcome.value
    who = VersionRef(model, found["version"]) if found["version"] else f"{model}, which no version serves"
    rows = f", {found['rows']} rows" if "rows" in found else ""
    typer.echo(f"{who}: {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}{rows}: {outcome}")
    if sentence := (found.get("summary") or {}).get("sentence"):
        typer.echo(sentence)
    shown = [each for each in verdict.findings if everything or each.outcome is not Outcome.PASSED]
    if shown:
        print_table(("check", "outcome", "why"), _cells(shown))
    if held := sum(each.outcome is Outcome.PASSED for each in verdict.findings):
        typer.echo(f"{held} of {len(verdict.findings)} checks passed")


def _cells(findings: list[Finding]) -> Iterator[tuple[str, ...]]:
    """What failed first; within an outcome in the order of judging."""
    from steward.gates import OVERALL, Outcome

    for outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.PASSED):
        for each in findings:
            if each.outcome is outcome:
                where = "" if each.slice == OVERALL else f" [{each.slice}]"
                yield f"{each.gate}{where}", each.outcome.value, each.reason
