"""Which outcomes of a window can be relied on: those of days whose outcomes are due, or have nearly all come.

Outcomes that come early are not like those that come late (a loan that fails does so before one that is paid back), so
a day that is still waiting is left out whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cached_property, reduce
from operator import add

from steward.gates.verdict import OVERALL
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.day_errors import block_days, blocks_of
from steward.monitoring.tallies import DayTally, OutcomeTally, Tally

NEARLY_ALL = 0.95
MIN_LABELLED_SHARE = 0.5


@dataclass(frozen=True)
class DueOutcomes:
    """`days` of the window to be relied on, oldest first; `waiting`: its answered days that are not due; `blocks`: days
    to learn from how days differ, the window's own among them."""

    days: tuple[Tally, ...]
    waiting: int = 0
    blocks: tuple[Sequence[Tally], ...] = ()

    @cached_property
    def overall(self) -> OutcomeTally:
        return summed(self.by_day(OVERALL))

    @cached_property
    def slices(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for day in self.days for name in day.outcomes if name != OVERALL))

    @property
    def share(self) -> float:
        """Of the answers that have their outcome."""
        return self.overall.rows / self.overall.answered if self.overall.answered else 0.0

    def by_day(self, part: str) -> list[OutcomeTally]:
        return [day.outcomes.get(part, OutcomeTally()) for day in self.days]

    def by_block(self, part: str) -> list[list[OutcomeTally]]:
        return [[day.outcomes.get(part, OutcomeTally()) for day in block] for block in self.blocks]

    def unsound(self, wait: str) -> str | None:
        """Why nothing can be said of the outcomes; None when something can."""
        if not self.days and self.waiting:
            return f"no outcome is due yet: they arrive within {wait}"
        if self.share < MIN_LABELLED_SHARE:
            return (
                f"{self.share:.0%} of the answers whose outcome is due have one ({self.overall.rows} rows), "
                f"{MIN_LABELLED_SHARE:.0%} are needed"
            )
        return None


def summed(parts: Iterable[OutcomeTally]) -> OutcomeTally:
    return reduce(add, parts, OutcomeTally())


def due_outcomes(reading: Reading) -> DueOutcomes:
    """Of the window. Without counts of single days the window is taken whole."""
    days = [counted for counted in alike(reading) if _inside(counted, reading)]
    if not days:
        return DueOutcomes((reading.tally,))
    there = [counted for counted in days if counted.tally.overall.answered]
    ready = [counted.tally for counted in there if is_ready(counted, reading)]
    all_ready = [counted.tally for counted in alike(reading) if is_ready(counted, reading)]
    blocks = blocks_of(all_ready, block_days(reading.window))
    return DueOutcomes(tuple(ready), len(there) - len(ready), tuple(blocks))


def alike(reading: Reading) -> Sequence[DayTally]:
    """Days counted against the profile of this reading."""
    return [counted for counted in reading.days if counted.tally.profile == reading.tally.profile]


def is_ready(counted: DayTally, reading: Reading) -> bool:
    """Its outcomes are due, or nearly all there."""
    ended = datetime.combine(counted.day, time(), UTC) + timedelta(days=1)
    if reading.now is None or ended + reading.spec.data.label.arrives_after <= reading.now:
        return True
    overall = counted.tally.overall
    return overall.rows >= NEARLY_ALL * overall.answered


def _inside(counted: DayTally, reading: Reading) -> bool:
    begins = datetime.combine(counted.day, time(), UTC)
    return reading.window.start - timedelta(days=1) < begins < reading.window.end
