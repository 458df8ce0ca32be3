"""Does a better score go with a better result, as the business counts it?

`performance.business` is Pearson's correlation of the score with the `value` that came with the outcomes. It is FAILED
when the whole interval (Fisher's z) lies below the limit, PASSED when the whole of it lies above, INCONCLUSIVE between.

More is better of both: where a high score is bad news (a risk, a delay), or the value is a cost, send the value with
the other sign. Correlation sees straight lines only, and one huge value can make it or break it.
"""

from __future__ import annotations

import math

from steward.gates import Finding, Outcome
from steward.monitoring.chance import alpha_each
from steward.monitoring.due import due_outcomes
from steward.monitoring.psi import normal_quantile
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import CoMoments

MIN_PAIRS = 30
_GATE = "performance.business"


def judge_business(reading: Reading) -> list[Finding]:
    declared = reading.spec.monitoring.business
    if declared is None:
        return []
    pairs, limit = due_outcomes(reading).overall.business, declared.correlation.min
    found, rows = pairs.correlation, pairs.x.n
    if rows < MIN_PAIRS or found is None or not math.isfinite(found):
        reason = f"the correlation of score and value is not known: {_why(pairs)}"
        return [Finding(_GATE, Outcome.INCONCLUSIVE, reason, limit=limit, rows=rows)]
    low, high = interval(found, rows, alpha_each(reading, 1))
    reason = (
        f"score and value correlate at {found:.3f} on {rows} rows ({low:.3f} to {high:.3f} by chance), "
        f"{limit:g} is asked for"
    )
    return [Finding(_GATE, _outcome(low, high, limit), reason, found, limit, rows=rows)]


def interval(correlation: float, rows: int, alpha: float) -> tuple[float, float]:
    """Fisher 1921: the arc tangent is about normal with a standard error of 1/√(n − 3). `alpha` is of each side."""
    if abs(correlation) >= 1:
        return correlation, correlation
    centre, half = math.atanh(correlation), normal_quantile(1 - alpha) / math.sqrt(rows - 3)
    return math.tanh(centre - half), math.tanh(centre + half)


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
