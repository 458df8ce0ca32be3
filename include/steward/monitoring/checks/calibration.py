"""Does what the version says happen as often as it says? Expected calibration error, over tenths of the scores.

`performance.calibration`: Σ w·|said − seen| over the bins of the profile's calibration, w the share of rows; of a
multiclass model what is said is the confidence and what is seen whether the decision was right, of a regression the
prediction and the outcome, in its units. Even a calibrated model has a gap in every bin by chance; what its rows give
without any is taken off, in squares, as independent errors add up. FAILED when the rest is above
`monitoring.calibration` and the whole above what chance gives, of rows and of days that differ; INCONCLUSIVE while
outcomes are awaited or too few, or when the limit is passed perhaps by chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from steward.gates import Finding, Outcome
from steward.gates.measurement import MIN_ROWS
from steward.monitoring.checks.performance import outcome_of
from steward.monitoring.due import DueOutcomes, due_outcomes
from steward.monitoring.performance.measuring import error_of_mean
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import alpha_each
from steward.monitoring.statistics.day_errors import Error, day_error
from steward.monitoring.tallies import Moments, OutcomeTally
from steward.spec import Task
from steward.spec.fields import format_duration
from steward.types import JsonObject

GATE = "performance.calibration"
_HALF_NORMAL = math.sqrt(2 / math.pi)  # mean of |z|


@dataclass(frozen=True)
class Bin:
    """`error`: standard error of `seen` for independent rows, were `said` right."""

    rows: int
    said: float
    seen: float
    error: float
    lowest: float
    highest: float

    @property
    def gap(self) -> float:
        return abs(self.said - self.seen)

    def to_json(self) -> JsonObject:
        return {
            "from": self.lowest,
            "to": self.highest,
            "rows": self.rows,
            "predicted": self.said,
            "seen": self.seen,
            "error": self.error,
        }


def judge_calibration(reading: Reading) -> list[Finding]:
    limit = reading.spec.monitoring.calibration
    if limit is None:
        return []
    due = due_outcomes(reading)
    if (reason := due.unsound(format_duration(reading.spec.data.label.arrives_after))) is not None:
        waits = f"calibration waits for outcomes: {reason}"
        return [Finding(GATE, Outcome.INCONCLUSIVE, waits, None, limit.max, rows=due.overall.rows)]
    table = bins_of(reading.spec.task, due.overall)
    rows = sum(each.rows for each in table)
    if rows < MIN_ROWS:
        reason = f"calibration could not be computed: {rows} rows say how sure they were, {MIN_ROWS} are needed"
        return [Finding(GATE, Outcome.INCONCLUSIVE, reason, None, limit.max, rows=rows)]
    return [_judge(table, _common(due, rows), limit.max, alpha_each(reading, 1))]


def reliability(reading: Reading) -> list[JsonObject]:
    """The table behind the verdict, for its evidence; empty without outcomes that are due."""
    due = due_outcomes(reading)
    sound = due.unsound("") is None
    return [each.to_json() for each in bins_of(reading.spec.task, due.overall)] if sound else []


def bins_of(task: Task, outcomes: OutcomeTally) -> list[Bin]:
    """Those with rows."""
    return [_bin(task, said, seen) for said, seen in outcomes.calibration if said.n]


def _bin(task: Task, said: Moments, seen: Moments) -> Bin:
    likely = max(said.mean * (1 - said.mean) - said.m2 / said.n, 0.0)  # the mean of s(1 − s)
    variance = seen.variance if task is Task.REGRESSION else likely
    return Bin(said.n, said.mean, seen.mean, math.sqrt(variance / said.n), said.low, said.high)


def _judge(table: Sequence[Bin], common: Error, limit: float, alpha: float) -> Finding:
    rows = sum(each.rows for each in table)
    whole, value = calibration_error(table), beyond_chance(table)
    chance = _by_chance(table, common, alpha)
    worst = max(table, key=lambda each: each.rows * each.gap)
    outcome = outcome_of(value > limit, whole > chance, blind=False)
    reason = (
        f"expected calibration error is {value:.3g} beyond chance on {rows} rows, {limit:g} is allowed "
        f"({whole:.3g} as counted, chance gives up to {chance:.2g}{common.said}); most between {worst.lowest:.3g} and "
        f"{worst.highest:.3g}: {worst.said:.3g} was said and {worst.seen:.3g} seen"
    )
    return Finding(GATE, outcome, reason, value, limit, rows=rows)


def calibration_error(table: Sequence[Bin]) -> float:
    return _weighted((each.rows, each.gap) for each in table)


def beyond_chance(table: Sequence[Bin]) -> float:
    usual = _weighted((each.rows, each.error * _HALF_NORMAL) for each in table)
    return math.sqrt(max(0.0, calibration_error(table) ** 2 - usual**2))


def _by_chance(table: Sequence[Bin], common: Error, alpha: float) -> float:
    """Of a calibrated model: the mean and spread of a sum of half-normals, and a gap that all bins of a day share."""
    rows = sum(each.rows for each in table)
    mean = _weighted((each.rows, each.error * _HALF_NORMAL) for each in table)
    variance = sum((each.rows / rows * each.error) ** 2 * (1 - 2 / math.pi) for each in table)
    spread = Error(math.hypot(math.sqrt(variance), common.size), common.freedom)
    return mean + spread.quantile(alpha / 2)


def _weighted(pairs: Iterable[tuple[int, float]]) -> float:
    found = list(pairs)
    return sum(rows * value for rows, value in found) / sum(rows for rows, _ in found)


def _common(due: DueOutcomes, rows: int) -> Error:
    """By how much the mean gap of whole days differs."""
    blocks = [[_mean_gap(day.overall) for day in block] for block in due.blocks]
    return day_error(blocks, error_of_mean, lambda day: day.n, rows) or Error(0.0)


def _mean_gap(outcomes: OutcomeTally) -> Moments:
    """Of a day: only rows and mean are known of it."""
    rows = sum(said.n for said, _ in outcomes.calibration)
    if not rows:
        return Moments()
    return Moments(rows, _weighted((said.n, said.mean - seen.mean) for said, seen in outcomes.calibration))
