"""Many values against their limits, over time: colours for a glance, numbers to be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from steward.reporting.charts.svg import number, shortened

NEAR, OVER, FAR = 0.5, 1.0, 2.0  # shares of the limit from which on the colour is the next


@dataclass(frozen=True)
class Cell:
    """`unsure`: it could not be told from chance, or not at all."""

    value: float | None
    limit: float | None
    unsure: bool = False
    said: str = ""

    @property
    def step(self) -> int:
        """0 quiet, 1 near its limit, 2 beyond it, 3 twice as far."""
        if self.value is None or not self.limit:
            return 0
        return sum(self.value / self.limit > edge for edge in (NEAR, OVER, FAR))


@dataclass(frozen=True)
class Row:
    name: str
    cells: Sequence[Cell | None]


def heat_map(columns: Sequence[str], rows: Sequence[Row], caption: str) -> str:
    """One column per window, oldest first. None: the row was not judged there. Empty without rows."""
    if not rows:
        return ""
    heads = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in columns)
    body = "".join(_row(row) for row in rows)
    return (
        f'<table class="heat"><caption class="unseen">{escape(caption)}</caption>'
        f'<thead><tr><th scope="col">feature</th>{heads}</tr></thead><tbody>{body}</tbody></table>'
    )


def _row(row: Row) -> str:
    name = escape(row.name)
    return f'<tr><th scope="row" title="{name}">{escape(shortened(row.name, 30))}</th>{"".join(_cells(row))}</tr>'


def _cells(row: Row) -> Iterator[str]:
    for cell in row.cells:
        if cell is None:
            yield '<td class="none"><span class="unseen">not judged</span></td>'
            continue
        shown = number(cell.value) if cell.value is not None else "?"
        kind = f"h{cell.step}" + (" unsure" if cell.unsure else "")
        said = f' title="{escape(cell.said)}"' if cell.said and (cell.step > 1 or cell.unsure) else ""
        unsure = '<span class="unseen"> inconclusive</span>' if cell.unsure else ""
        yield f'<td class="{kind}"{said}>{shown}{unsure}</td>'
