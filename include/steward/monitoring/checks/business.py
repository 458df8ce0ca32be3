"""Does a better score go with a better result, as the business counts it?

`performance.business` is Pearson's correlation of the score with the `value` that came with the outcomes. It is FAILED
when the whole interval (Fisher's z) lies below the limit, PASSED when the whole of it lies above, INCONCLUSIVE between.
Chance has two sources and the larger counts: rows that differ, and days that differ (`day_errors`), as a price that
moves or a few huge orders make them.

More is better of both: where a high score is bad news (a risk, a delay), or the value is a cost, send the value with
the other sign. Correlation sees straight lines only, and one huge value can make it or break it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np

from steward.gates import Finding, Outcome
from steward.monitoring.due import DueOutcomes, due_outcomes
from steward.monitoring.performance.measuring import jackknife
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import alpha_each
from steward.monitoring.statistics.day_errors import Error, day_error, larger
from steward.monitoring.tallies import CoMoments

MIN_PAIRS = 30
_GATE = "performance.business"


def judge_business(reading: Reading) -> list[Finding]:
    declared = reading.spec.monitoring.business
    if declared is None:
        return []
    due, limit = due_outcomes(reading), declared.correlation.min
    pairs = due.overall.business
    found, rows = pairs.correlation, pairs.x.n
    if rows < MIN_PAIRS or found is None or not math.isfinite(found):
        reason = f"the correlation of score and value is not known: {_why(pairs)}"
        return [Finding(_GATE, Outcome.INCONCLUSIVE, reason, limit=limit, rows=rows)]
    apart = _between_days(due, rows)
    low, high = interval(found, rows, alpha_each(reading, 1), apart)
    reason = (
        f"score and value correlate at {found:.3f} on {rows} rows ({low:.3f} to {high:.3f} by chance"
        f"{_error(rows, apart).said}), {limit:g} is asked for"
    )
    return [Finding(_GATE, _outcome(low, high, limit), reason, found, limit, rows=rows)]


def interval(correlation: float, rows: int, alpha: float, days: Error | None = None) -> tuple[float, float]:
    """Fisher 1921: the arc tangent is about normal with a standard error of 1/√(n − 3), or what days that differ make
    of it. `alpha` is of each side."""
    if abs(correlation) >= 1:
        return correlation, correlation
    centre, half = math.atanh(correlation), _error(rows, days).quantile(alpha)
    return math.tanh(centre - half), math.tanh(centre + half)


def _error(rows: int, days: Error | None) -> Error:
    return larger(1 / math.sqrt(rows - 3), days)


def _between_days(due: DueOutcomes, rows: int) -> Error | None:
    """Of the arc tangent."""
    blocks = [[day.overall.business for day in block] for block in due.blocks]
    return day_error(blocks, _error_of_days, lambda day: day.x.n, rows)


def _error_of_days(days: Sequence[CoMoments]) -> float | None:
    """From how it changes when one day is left out."""
    apart = [_arc_tangent([*days[:place], *days[place + 1 :]]) for place in range(len(days))]
    return jackknife(_arc_tangent(days), np.array(apart), [day.x.n for day in days])


def _arc_tangent(days: Sequence[CoMoments]) -> float:
    found = reduce(add, days, CoMoments()).correlation
    return math.nan if found is None or abs(found) >= 1 else math.atanh(found)


def _outcome(low: float, high: float, limit: float) -> Outcome:
    if high < limit:
        return Outcome.FAILED
    return Outcome.PASSED if low >= limit else Outcome.INCONCLUSIVE


def _why(pairs: CoMoments) -> str:
    if pairs.x.n == 0:
        return "no outcome came with a value"
    if pairs.x.n < MIN_PAIRS:
        return f"{pairs.x.n} outcomes came with a value, {MIN_PAIRS} are needed"
    if pairs.correlation is not None:
        return "a score or a value is too large to be counted with"
    return f"{'every score' if pairs.x.m2 == 0 else 'every value'} is the same"
