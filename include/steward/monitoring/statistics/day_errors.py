"""How sure a metric is when days differ: a storm makes a whole day late, so rows of a day are no independent witnesses.

Within each block of days (a window's length, a week at least) the metric is computed again without each day in turn;
what that says of the block's variance is pooled over the blocks, the window's and those before it. Differences between
blocks are left out on purpose: that a whole week was worse is what the check is to find.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple, TypeVar

from steward.monitoring.statistics.psi import normal_quantile
from steward.types import Window

MIN_DAYS = 5
"""With rows: fewer say too little of how days differ."""
_WEEK = 7
_Day = TypeVar("_Day")


class Error(NamedTuple):
    """A standard error. `freedom` 0: of independent rows. Else from days that differ: Student's degrees of freedom."""

    size: float
    freedom: int = 0

    def quantile(self, alpha: float) -> float:
        """What is exceeded with chance `alpha`, one-sided."""
        if not self.freedom:
            return normal_quantile(1 - alpha) * self.size
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, 1 - alpha)) * self.size

    def beside(self, other: Error) -> Error:
        """Of the difference of two values."""
        return Error(math.hypot(self.size, other.size), self.freedom + other.freedom)

    @property
    def said(self) -> str:
        return ", by how days differ" if self.freedom else ""


def block_days(window: Window) -> int:
    return max(_WEEK, window.length // timedelta(days=1))


def blocks_of(days: Sequence[_Day], length: int) -> list[Sequence[_Day]]:
    """Newest first; a rest of the oldest days that fills no block is left out, unless it is all there is."""
    cut = [days[max(end - length, 0) : end] for end in range(len(days), 0, -length)]
    return [block for block in cut if len(block) == length] or cut


def day_error(
    blocks: Iterable[Sequence[_Day]],
    error: Callable[[Sequence[_Day]], float | None],
    rows: Callable[[_Day], int],
    rows_now: int,
) -> Error | None:
    """Of a metric on `rows_now` rows. `error` is its error on the rows of a block, None where it has none."""
    squares, freedom = 0.0, 0
    for block in blocks:
        there = [day for day in block if rows(day)]
        found = error(there) if len(there) >= MIN_DAYS else None
        if found is not None:
            squares += (len(there) - 1) * found**2 * sum(map(rows, there)) / max(rows_now, 1)
            freedom += len(there) - 1
    return Error(math.sqrt(squares / freedom), freedom) if freedom else None


def larger(rows: float, days: Error | None) -> Error:
    return Error(rows) if days is None or days.size <= rows else days
