"""`steward doctor`: one line per finding, the mend below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from steward.cli.output import Json, print_json
from steward.types import JsonObject

STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "bold red", "SKIP": "dim"}


def add_to(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print what is wrong alone.")] = False,
    as_json: Json = False,
) -> None:
    """Look over the installation: versions, machine, database, services, files, settings. Each finding has its mend.

    Changes nothing, and works with or without a running stack. Exit code 1 when something fails; a warning is none.

    Example: steward doctor --quiet
    """
    from steward.cli.doctor.around import present
    from steward.cli.doctor.checkup import look
    from steward.cli.progress import working

    with working("looking over the installation"):
        found = look(present())
    counts = Counter(each["level"] for each in found)
    if as_json:
        print_json({"healthy": not counts["FAIL"], "counts": counts, "findings": found})
    else:
        _print([each for each in found if not quiet or each["level"] in ("WARN", "FAIL")])
        typer.echo(f"{counts['OK']} fine, {counts['WARN']} to look at, {counts['FAIL']} failing")
    raise typer.Exit(1 if counts["FAIL"] else 0)


def _print(found: Sequence[JsonObject]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    for each in found:
        named = each["check"] + (f" · {each['about']}" if each["about"] else "")
        line = Text.assemble((f"{each['level']:<4}", STYLES[each["level"]]), f"  {named}: {each['found']}")
        console.print(line)
        if each["mend"]:
            console.print(Text(f"      → {each['mend']}"))
