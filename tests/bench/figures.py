"""What a bench leaves behind: a table of figures, each beside the one it is compared with, and the machine's state."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

RESULTS = Path("build") / "bench" / "figures.json"
# Busier than this with other work, and lengths of wall time say more about the other work.
QUIET_PERCENT = 20.0


@dataclass(frozen=True)
class Figure:
    """One measured number. `ratio` is this figure over its table's yardstick, None where nothing stands beside it."""

    what: str
    value: float
    unit: str
    ratio: float | None = None

    def cells(self) -> tuple[str, str, str]:
        return (
            self.what,
            f"{_rounded(self.value)} {self.unit}",
            "" if self.ratio is None else f"{_rounded(self.ratio)} ×",
        )


@dataclass(frozen=True)
class MachineState:
    """What else the machine does: `busy_percent` of all cores in one second, `load` over the last minute."""

    cores: int
    load: float
    busy_percent: float
    python: str = field(default_factory=platform.python_version)

    @classmethod
    def now(cls) -> MachineState:
        return cls(os.cpu_count() or 1, round(os.getloadavg()[0], 2), psutil.cpu_percent(1.0))

    def busier(self, other: MachineState) -> MachineState:
        return max(self, other, key=lambda state: state.busy_percent)

    def __str__(self) -> str:
        quiet = self.busy_percent <= QUIET_PERCENT
        warning = "" if quiet else "; **measure wall times and rates again on a quiet machine**"
        busy = f"{self.busy_percent:.0f} % busy with other work"
        return f"{self.cores} cores, Python {self.python}, load {self.load:.1f}, {busy}{warning}"


@dataclass(frozen=True)
class Table:
    """The figures of one bench. `yardstick` names what a ratio of 1 would be as fast as."""

    title: str
    yardstick: str
    figures: Sequence[Figure]
    machine: MachineState

    def markdown(self) -> str:
        rows = [("", "figure", f"beside {self.yardstick}"), ("---", "---:", "---:")]
        rows += [figure.cells() for figure in self.figures]
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        return f"**{self.title}**\n\n{lines}\n\n{self.machine}\n"


@dataclass(frozen=True)
class Headline:
    """One line of the README's table. For a cost a small ratio is good, for a rate a large one."""

    what: str
    steward: float
    beside: float
    unit: str

    @property
    def ratio(self) -> float:
        return self.steward / self.beside

    def cells(self) -> tuple[str, str, str, str]:
        figures = (f"{_rounded(figure)} {self.unit}" for figure in (self.steward, self.beside))
        return self.what, *figures, _rounded(self.ratio) if self.ratio > 0.1 else f"1/{1 / self.ratio:.0f}"


@dataclass
class Figures:
    """All that one session of benches found."""

    tables: list[Table] = field(default_factory=list)
    headlines: list[Headline] = field(default_factory=list)

    def markdown(self) -> str:
        rows = [("what", "Steward", "beside it", "ratio"), ("---", "---:", "---:", "---:")]
        rows += [headline.cells() for headline in self.headlines]
        busiest = max((table.machine for table in self.tables), key=lambda state: state.busy_percent)
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        return f"{lines}\n\n{busiest}\n"

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")


def _rounded(number: float) -> str:
    """Three figures that mean something, and no exponent."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) >= 0.001 or not number else f"{number:.5f}"
