"""Is the version as sure of its decisions as it was on its hold-out, and does it stay so?

`drift.confidence` is FAILED when the mean confidence changed, either way, by more than its limit and by more than
chance gives; INCONCLUSIVE when it is beyond the limit but perhaps by chance, or so noisy that a change of the limit
would not be seen. `drift.trend_confidence` is FAILED when, over the days of `drift.trend`, it moves away from the
hold-out's beyond chance, and at that pace passes the limit within as many days again.

Confidence is the probability of the class that was decided for; a regression has none. Of a version that was
registered before profiles kept it nothing can be told: INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from steward.gates import Finding, Outcome
from steward.monitoring.checks.performance import outcome_of
from steward.monitoring.due import alike
from steward.monitoring.performance.measuring import error_of_mean
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import ALPHA, alpha_each
from steward.monitoring.statistics.day_errors import Error, block_days, blocks_of, day_error, larger
from steward.monitoring.statistics.trend import DayFigure, Trend, trend_of
from steward.monitoring.tallies import Moments
from steward.spec import Task
from steward.types import JsonObject

TESTS = 2
_LEAST_ERROR = 1e-6  # of a day whose answers were all equally sure


def judge_confidence(reading: Reading) -> list[Finding]:
    before = Moments.from_json(reading.profile.get("confidence") or [])
    if reading.spec.task is Task.REGRESSION:
        return []
    if not before.n:
        return [_unknown(reading)]
    return [_level(reading, before), *_trend(reading, before)]


def _unknown(reading: Reading) -> Finding:
    reason = "the version was registered without the confidence of its hold-out: there is nothing to compare with"
    return Finding("drift.confidence", Outcome.INCONCLUSIVE, reason, rows=reading.tally.answers.confidence.n)


def _level(reading: Reading, before: Moments) -> Finding:
    now, limit = reading.tally.answers.confidence, reading.spec.monitoring.drift.confidence.max
    if now.n < 2:
        reason = "no answer of the window says how sure it was"
        return Finding("drift.confidence", Outcome.INCONCLUSIVE, reason, None, limit, rows=now.n)
    error = _error(reading, now).beside(_error_before(reading.profile, before))
    moved = now.mean - before.mean
    # either way: half of the chance on each side
    chance, usual = error.quantile(alpha_each(reading, TESTS) / 2), error.quantile(ALPHA / 2)
    blind = usual > limit and abs(moved) + usual > limit
    reason = (
        f"mean confidence is {now.mean:.3f} over {now.n} answers, {before.mean:.3f} for the hold-out: "
        f"{moved:+.3f}, {limit:g} either way is allowed and chance gives up to {chance:.2g}{error.said}"
    )
    outcome = outcome_of(abs(moved) > limit, abs(moved) > chance, blind=blind)
    return Finding("drift.confidence", outcome, reason, abs(moved), limit, rows=now.n)


def _error(reading: Reading, now: Moments) -> Error:
    days = [counted.tally.answers.confidence for counted in alike(reading)]
    blocks = blocks_of(days, block_days(reading.window))
    return larger(now.error or 0.0, day_error(blocks, error_of_mean, lambda day: day.n, now.n))


def _error_before(profile: JsonObject, before: Moments) -> Error:
    told = (profile.get("calibration") or {}).get("confidence")
    apart = Error(told["error"], told["days"] - 1) if told and told["error"] is not None else None
    return larger(before.error or 0.0, apart)


def _trend(reading: Reading, before: Moments) -> Iterator[Finding]:
    figures = list(_figures(reading))
    trend = trend_of(figures)
    if trend is None:
        return
    limits = reading.spec.monitoring.drift
    ahead = limits.trend // timedelta(days=1)
    rows = sum(counted.tally.answers.confidence.n for counted in alike(reading))
    yield _judge_trend(trend, before.mean, limits.confidence.max, ahead, alpha_each(reading, TESTS), rows)


def _figures(reading: Reading) -> Iterator[DayFigure]:
    for counted in alike(reading):
        confidence = counted.tally.answers.confidence
        if confidence.n > 1:
            error = max(confidence.error or 0.0, _LEAST_ERROR)
            yield DayFigure(counted.day.toordinal(), confidence.mean, error)


def _judge_trend(trend: Trend, before: float, limit: float, ahead: int, alpha: float, rows: int) -> Finding:
    gate, coming = "drift.trend_confidence", min(max(trend.after(ahead), 0.0), 1.0)
    away = (coming - before) * trend.slope > 0
    crosses, sure = away and abs(coming - before) > limit, trend.p < alpha
    moved = (
        f"mean confidence {'rose' if trend.change > 0 else 'fell'} by {abs(trend.change):.3f} over {trend.days} days"
    )
    if crosses and sure:
        reason = f"{moved}; so it is {abs(coming - before):.3f} from the hold-out's {before:.3f} within {ahead} days"
        return Finding(gate, Outcome.FAILED, f"{reason}, {limit:g} is allowed", coming, limit, rows=rows)
    steady = "days differ as much by chance" if not sure else f"so it stays within {limit:g} of the hold-out's"
    return Finding(gate, Outcome.PASSED, f"{moved}; {steady}", coming, limit, rows=rows)
