"""What gets worse day by day, before a week's level shows it.

`drift.trend_missing:x` is FAILED when the missing share of x rises over the days of `monitoring.drift.trend` beyond
chance, and the line through them passes its limit within as many days again: the smaller of the contract's
`max_missing` and what was usual in the reference plus `drift.missing`. A feature that may never be missing is not
asked: its first missing value breaks the contract. Below a week of days with rows no trend is looked for, and none is
denied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from steward.gates import Finding, Outcome
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import alpha_each
from steward.monitoring.statistics.trend import DayFigure, Trend, trend_of
from steward.monitoring.tallies import ColumnTally
from steward.monitoring.tallies.counting import counted_features
from steward.spec import ModelSpec


@dataclass(frozen=True)
class _Rise:
    name: str
    trend: Trend
    limit: float
    ahead: int
    rows: int


def judge_trends(reading: Reading) -> list[Finding]:
    names = may_be_missing(reading.spec)
    alpha = alpha_each(reading, len(names))
    return [_judge(rise, alpha) for name in names for rise in _rise(reading, name)]


def may_be_missing(spec: ModelSpec) -> list[str]:
    return [name for name in counted_features(spec) if spec.data.features[name].max_missing > 0]


def _rise(reading: Reading, name: str) -> Iterator[_Rise]:
    reference, limits = reading.profile["features"].get(name), reading.spec.monitoring.drift
    days = list(_days(reading, name))
    trend = trend_of(_figures(days))
    if trend is None or reference is None or reference["missing"] is None:
        return
    limit = min(reading.spec.data.features[name].max_missing, reference["missing"] + limits.missing.max)
    yield _Rise(name, trend, limit, limits.trend // timedelta(days=1), sum(rows for _, _, rows in days))


def _days(reading: Reading, name: str) -> Iterator[tuple[int, int, int]]:
    """Day, missing rows, rows; of days with rows that had the column."""
    for counted in reading.days:
        column = counted.tally.columns.get(name, ColumnTally())
        if rows := column.rows - column.absent - column.broken:
            yield counted.day.toordinal(), column.missing + column.infinite, rows


def _figures(days: list[tuple[int, int, int]]) -> list[DayFigure]:
    """Errors from the share of all days: a day without a missing value is not known without error. Half a row is added,
    so that a share of 0 or 1 on all days has an error too."""
    missing, rows = sum(count for _, count, _ in days), sum(count for *_, count in days)
    share = (missing + 0.5) / (rows + 1)
    return [DayFigure(day, count / of, (share * (1 - share) / of) ** 0.5) for day, count, of in days]


def _judge(rise: _Rise, alpha: float) -> Finding:
    trend, name = rise.trend, rise.name
    coming, beyond_chance = min(trend.after(rise.ahead), 1.0), trend.p_rising < alpha
    crosses = coming > rise.limit and trend.slope > 0
    outcome = Outcome.FAILED if crosses and beyond_chance else Outcome.PASSED
    moved = f"{'rose' if trend.change > 0 else 'fell'} by {abs(trend.change):.1%} over {trend.days} days"
    if outcome is Outcome.FAILED:
        reason = f"the missing share of {name} {moved}; so it passes {rise.limit:.1%} within {_until(rise)} days"
    else:
        reason = f"the missing share of {name} {moved}; {_why_steady(rise, beyond_chance)}"
    return Finding(f"drift.trend_missing:{name}", outcome, reason, max(coming, 0.0), rise.limit, rows=rise.rows)


def _until(rise: _Rise) -> int:
    return max(0, round((rise.limit - rise.trend.last) / rise.trend.slope))


def _why_steady(rise: _Rise, beyond_chance: bool) -> str:
    if rise.trend.slope <= 0 or not beyond_chance:
        return "days differ as much by chance" if rise.trend.slope > 0 else "nothing is lost"
    return f"at that pace it stays below {rise.limit:.1%} for {rise.ahead} days"
