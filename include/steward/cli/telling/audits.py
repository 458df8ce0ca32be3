"""audit: whether the record is whole, and a part of it for somebody outside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.arguments import Model, instant_of
from steward.cli.output import Json, print_json
from steward.cli.progress import working
from steward.cli.telling.export_files import read_export, write_export

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steward.ledger import Checkpoint, Weakness

audit = typer.Typer(help="The chain of events: whole, and as it was.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    audit.command()(verify)
    audit.command()(checkpoint)
    audit.command()(export)
    audit.command()(check)
    app.add_typer(audit, name="audit")


def verify(
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="Checkpoints exported earlier; they show a cut-off end."),
    ] = None,
    evidence: Annotated[bool, typer.Option("--evidence", help="Also the content of all evidence.")] = False,
    state: Annotated[
        bool, typer.Option("--state", help="Also versions, routes, rollouts and approvals against the events.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read the whole chain and check every link. Exit code 1 names the first event that cannot be trusted.

    Also reports when the database no longer refuses changes of the record.

    Example: steward audit verify --evidence --state
    """
    from steward import wiring
    from steward.actions.governance.verifying import altered_evidence, differences

    marks = _marks(checkpoint) if checkpoint else []
    with working("reading the whole chain"), wiring.database().begin() as tx:
        verification, weaknesses = tx.events.verify(marks), tx.events.weaknesses()
        # Of a chain that is broken nothing further can be told.
        altered = altered_evidence(tx) if evidence and verification.intact else None
        differs = next(iter(differences(tx)), None) if state and verification.intact else None
    if as_json:
        also = {"evidence": altered, "state": differs, "weaknesses": weaknesses}
        print_json({**verification.to_json(), **also})
    elif verification.intact:
        seen = f", {verification.checkpoints} checkpoints hold" if marks else ""
        typer.echo(f"{verification.events} events, every link holds{seen} (head {verification.head_hash[:12]})")
        _say_what_else_holds(evidence and not altered, state and not differs)
    _warn(weaknesses)
    broken = [each for each in (verification.broken, altered, differs) if each is not None]
    if broken and not as_json:
        broken[0].refuse()
    if broken or any(weakness.removed for weakness in weaknesses):
        raise typer.Exit(1)


def _say_what_else_holds(evidence: bool, state: bool) -> None:
    if evidence:
        typer.echo("all evidence has the content it was named for")
    if state:
        typer.echo("versions, routes, rollouts, approvals and incidents are what the events say")


def _warn(weaknesses: Sequence[Weakness]) -> None:
    for weakness in weaknesses:
        level = "guard removed" if weakness.removed else "warning"
        typer.echo(f"{level}: {weakness.what}\n→ {weakness.remedy}", err=True)


def checkpoint(
    out: Annotated[Path, typer.Option("--out", help="Appended to, one line each; keep it elsewhere.")],
) -> None:
    """Export the signed head of the chain, to show later that nothing was cut off.

    Example: steward audit checkpoint --out /mnt/safe/checkpoints.jsonl
    """
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


def export(
    model: Model,
    out: Annotated[Path, typer.Option("--out", help="A new file if it ends in .zip, else a new folder.")],
    since: Annotated[str | None, typer.Option("--from", help="Events at or after this date or instant (UTC).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Events before this date or instant (UTC).")] = None,
) -> None:
    """Hand out a model's record for a period: its events, their evidence, and the chain around them.

    Of other models it holds hashes only. `steward audit check` verifies it without the database.

    Example: steward audit export loan_approval --from 2026-01-01 --to 2026-07-01 --out record.zip
    """
    from steward import wiring
    from steward.actions.governance.verifying import exported
    from steward.ledger import Extent, check_export, read_key

    extent = Extent(model, instant_of(since) if since else None, instant_of(until) if until else None)
    kept = wiring.settings().home / "checkpoints.jsonl"
    with wiring.database().begin() as tx:
        files = exported(tx, extent, _marks(kept) if kept.exists() else [])
    checked = check_export(files, read_key(wiring.settings().ledger_key_path))
    checked.require()  # nothing leaves the house that would not pass there
    write_export(files, out)
    typer.echo(
        f"events {checked.first} to {checked.last}: {checked.events} of {model} in full, {checked.evidence} pieces of "
        f"evidence, {checked.checkpoints} checkpoints in {out}"
    )


def check(
    file: Annotated[Path, typer.Argument(help="What `steward audit export` wrote: a .zip file or a folder.")],
    key: Annotated[
        Path | None, typer.Option("--key", help="The ledger's key; without it, the one of the settings.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify an export without a database. Exit code 1 names the first thing that does not hold.

    Example: steward audit check record.zip --key ledger.key
    """
    from steward import wiring
    from steward.ledger import check_export, read_key

    checked = check_export(read_export(file), read_key(key or wiring.settings().ledger_key_path))
    if as_json:
        print_json(checked)
        raise typer.Exit(0 if checked.flaw is None else 1)
    checked.require()
    typer.echo(
        f"{checked.events} events of {checked.model} hold, in an unbroken chain from event {checked.first} to "
        f"{checked.last}; {checked.evidence} pieces of evidence and {checked.checkpoints} checkpoints hold"
    )


def _marks(path: Path) -> list[Checkpoint]:
    from steward.errors import NotFoundError
    from steward.ledger import parse_checkpoints

    try:
        return parse_checkpoints(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"the checkpoints cannot be read: {error}", where=str(path)) from error
