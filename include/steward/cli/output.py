"""How commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from steward.types import to_json

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is written to the ledger under your name.")]


def day_and_time(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"


def print_json(value: Any) -> None:
    typer.echo(json.dumps(to_json(value), indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """A table on a terminal; without one, tab-separated lines that cut nothing off."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        headed = [[*columns], *cells] if any(columns) else cells
        for line in ([title] if title else []) + ["\t".join(row) for row in headed]:
            typer.echo(line)
        return
    _draw(columns, cells, title)


def _draw(columns: Sequence[str], cells: list[list[str]], title: str | None) -> None:
    """Without the columns that nothing is in: a terminal is narrow."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    told = [place for place in range(len(columns)) if place == 0 or any(row[place] for row in cells) or not cells]
    headers = [Column(columns[place], no_wrap=place == 0, overflow="fold") for place in told]
    table = Table(
        *headers, title=title, title_justify="left", box=SIMPLE_HEAD, show_header=any(columns), padding=(0, 1)
    )
    for row in cells:
        table.add_row(*(escape(row[place]) for place in told))
    Console().print(table)
