"""How a set of rows was answered: errors by kind and caller, latency, and when the requests came."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from steward.monitoring.tallies.answers import add_cells, pack_cells, unpack_cells
from steward.monitoring.tallies.columns import add_named
from steward.types import JsonObject, format_instant, parse_instant

GROWTH = 1.02
"""Latencies are counted in cells that grow by 2 %: a quantile is right within 1 %."""
NO_SOURCE = ""


def latency_cell(milliseconds: float) -> int:
    """Cell i holds GROWTH^(i−1) < ms <= GROWTH^i; all below a microsecond fall into its cell."""
    return math.ceil(math.log(max(milliseconds, 1e-3)) / math.log(GROWTH))


@dataclass(frozen=True, slots=True)
class OperationTally:
    """`errors` by kind; `asked` and `failed` rows by source (NO_SOURCE: none was named); `latency` by cell;
    `hours`: rows by hour, as `2013-07-01T05`. `newest`: latest business time. `ahead`: rows whose business time lies
    after the time they were recorded at by more than a clock may differ. `early`, `doubled`, `corrected`: outcomes
    observed before the decision, sent again the same, sent again with another label; `late`: outcomes that came after
    they were due."""

    rows: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[int, int] = field(default_factory=dict)
    hours: Mapping[str, int] = field(default_factory=dict)
    newest: datetime | None = None
    ahead: int = 0
    early: int = 0
    doubled: int = 0
    corrected: int = 0
    late: int = 0

    def latency_quantile(self, q: float) -> float | None:
        """Milliseconds, within 1 %; None without an answer."""
        total = sum(self.latency.values())
        below, wanted = 0, q * total
        for cell in sorted(self.latency):
            below += self.latency[cell]
            if below >= wanted:
                return GROWTH**cell * 2 / (1 + GROWTH)
        return None

    def __add__(self, other: OperationTally) -> OperationTally:
        newest = max(filter(None, (self.newest, other.newest)), default=None)
        return OperationTally(
            self.rows + other.rows,
            add_named(self.errors, other.errors),
            add_named(self.asked, other.asked),
            add_named(self.failed, other.failed),
            add_cells(self.latency, other.latency),
            add_named(self.hours, other.hours),
            newest,
            self.ahead + other.ahead,
            self.early + other.early,
            self.doubled + other.doubled,
            self.corrected + other.corrected,
            self.late + other.late,
        )

    def to_json(self) -> JsonObject:
        return {
            "rows": self.rows,
            "errors": dict(self.errors),
            "asked": dict(self.asked),
            "failed": dict(self.failed),
            "latency": pack_cells(self.latency),
            "hours": dict(self.hours),
            "newest": format_instant(self.newest) if self.newest else None,
            "ahead": self.ahead,
            "early": self.early,
            "doubled": self.doubled,
            "corrected": self.corrected,
            "late": self.late,
        }

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        newest = value["newest"]
        latency = unpack_cells(value["latency"])
        return cls(**{**value, "latency": latency, "newest": parse_instant(newest) if newest else None})
