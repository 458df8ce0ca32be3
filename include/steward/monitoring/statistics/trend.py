"""Does a daily figure rise or fall by more than its days differ anyway?

A line through the days, each weighted by the error of its figure and by how much days differ among themselves beyond
that error (random effects: DerSimonian and Laird 1986), the slope tested with Student's t on days less two (Knapp and
Hartung 2003). So a thousand rows of one day do not pass for a thousand days. Weekdays that differ widen what chance
gives; they are not fitted. Days that hang together (a strike, a storm) make slopes look surer than they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST_DAYS = 7


@dataclass(frozen=True, slots=True)
class DayFigure:
    """`day` counts from any first one; `error` is the standard error of `value` within its day, above 0."""

    day: int
    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Trend:
    """`slope` per day. `p`: chance of a slope as steep, either way, without any. `last` is the line on the last day,
    `change` what it rose or fell from the first day to the last."""

    slope: float
    p: float
    change: float
    last: float
    days: int

    def after(self, days: float) -> float:
        """Where the line would be, were it to go on."""
        return self.last + self.slope * days

    @property
    def p_rising(self) -> float:
        return self.p / 2 if self.slope > 0 else 1 - self.p / 2

    @property
    def p_falling(self) -> float:
        return 1 - self.p_rising


def trend_of(figures: Sequence[DayFigure]) -> Trend | None:
    """None below FEWEST_DAYS."""
    if len(figures) < FEWEST_DAYS:
        return None
    fixed = _line(figures, 0.0)
    line = _line(figures, _between(figures, fixed))
    first, last = min(each.day for each in figures), max(each.day for each in figures)
    return Trend(
        line.slope, _two_sided(line, len(figures) - 2), line.slope * (last - first), line.at(last), len(figures)
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """`spread` = Σ w (x − mean x)²; `misfit` = Σ w r²."""

    slope: float
    centre: float
    level: float
    spread: float
    misfit: float

    def at(self, day: float) -> float:
        return self.level + self.slope * (day - self.centre)


def _line(figures: Sequence[DayFigure], between: float) -> _Line:
    weights = [1 / (each.error**2 + between) for each in figures]
    total = math.fsum(weights)
    centre = math.fsum(w * each.day for w, each in zip(weights, figures, strict=True)) / total
    level = math.fsum(w * each.value for w, each in zip(weights, figures, strict=True)) / total
    spread = math.fsum(w * (each.day - centre) ** 2 for w, each in zip(weights, figures, strict=True))
    joint = math.fsum(w * (each.day - centre) * each.value for w, each in zip(weights, figures, strict=True))
    slope = joint / spread
    line = _Line(slope, centre, level, spread, 0.0)
    misfit = math.fsum(w * (each.value - line.at(each.day)) ** 2 for w, each in zip(weights, figures, strict=True))
    return _Line(slope, centre, level, spread, misfit)


def _between(figures: Sequence[DayFigure], fixed: _Line) -> float:
    """Variance between days beyond their own errors, by moments around the line."""
    weights = [1 / each.error**2 for each in figures]
    total, squares = math.fsum(weights), math.fsum(w * w for w in weights)
    leverage = math.fsum(w * w * (each.day - fixed.centre) ** 2 for w, each in zip(weights, figures, strict=True))
    excess = fixed.misfit - (len(figures) - 2)
    return max(0.0, excess / (total - squares / total - leverage / fixed.spread))


def _two_sided(line: _Line, freedom: int) -> float:
    """Never surer than the errors of the days alone would have it."""
    from scipy.special import stdtr

    error = math.sqrt(max(1.0, line.misfit / freedom) / line.spread)
    return 2 * float(stdtr(freedom, -abs(line.slope) / error))
