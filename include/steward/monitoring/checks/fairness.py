"""Do the groups of protected columns still fare alike in service?

The measures, limits and three outcomes are those of the gate that the candidate passed (`steward.gates.fairness`);
only the level at which a gap counts as proven is stricter: the window shares its one chance of a false alarm.

- `fairness.<measure>:<column>` per limit of `monitoring.fairness`, also for columns crossed (`race × sex`);
- `fairness.trend_parity:<column>` is FAILED when a group falls behind, day by day, beyond chance, and the line passes
  the parity limit within `monitoring.drift.trend`.

A group that is too small to be compared is named in the finding and changes no outcome, unlike at the gate, where a
person is asked once: it would keep every incident open.

Without `monitoring.fairness` nothing is judged; the evidence shows the measures (`group_shares`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import sqrt

from steward.gates import Finding, Outcome
from steward.gates.fairness import SMALL_GROUP, Disparity
from steward.gates.groupings import Grouping, column_sets, judge_grouping, limits_of
from steward.monitoring.due import due_outcomes
from steward.monitoring.performance.served_groups import OUTCOME_MEASURES, has_groups, measure_window
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import alpha_each
from steward.monitoring.statistics.trend import DayFigure, Trend, trend_of
from steward.monitoring.tallies import GroupTally
from steward.monitoring.tallies.answers import OTHERS
from steward.spec.fairness import Fairness
from steward.spec.fields import format_duration

_NAMED = 5
_RATIO, _DIFFERENCE = "demographic_parity_ratio", "demographic_parity_difference"
_ODDS = "equalized_odds_difference"


def judge_fairness(reading: Reading) -> list[Finding]:
    rules = reading.spec.monitoring.fairness
    if rules is None or not has_groups(reading.spec):
        return []
    level = alpha_each(reading, _tests(reading, rules))
    groupings = measure_window(reading, level)
    found = [finding for grouping in groupings for finding in _judge(reading, rules, grouping, level)]
    return [*found, *_trends(reading, rules, level)]


def _tests(reading: Reading, rules: Fairness) -> int:
    """Equalized odds are two: of the true positives, and of the false ones."""
    columns, limits = reading.spec.data.protected, limits_of(rules)
    of_each = len(limits) + (_ODDS in limits)
    trends = len(columns) if _margin(rules) else 0
    return of_each * len(column_sets(columns, rules.intersections)) + trends


def _judge(reading: Reading, rules: Fairness, grouping: Grouping, level: float) -> Iterator[Finding]:
    wait = due_outcomes(reading).unsound(format_duration(reading.spec.data.label.arrives_after))
    if wait is not None:
        grouping = _waiting(grouping, wait)
    known = (reading.profile.get("groups") or {}).get(grouping.by, {})
    for finding in judge_grouping(rules, grouping):
        if finding.gate != SMALL_GROUP:
            name = finding.gate.removeprefix("fairness.")
            said = _compared(finding, grouping.measures[name], known.get(name), level)
            yield replace(finding, gate=f"{finding.gate}:{grouping.by}", reason=said)


def _waiting(grouping: Grouping, wait: str) -> Grouping:
    """Its decisions are measured; what became of them cannot be."""
    later = {name: Disparity(name, None, wait) for name in OUTCOME_MEASURES if grouping.problem is None}
    return replace(grouping, measures={**grouping.measures, **later})


def _compared(finding: Finding, found: Disparity, before: float | None, level: float) -> str:
    """What it was on the version's own hold-out, why a small p is not small enough, and who was not compared."""
    said = finding.reason
    if before is not None and finding.value is not None:
        said += f"; {before:.4g} at evaluation"
    if finding.outcome is Outcome.INCONCLUSIVE and found.p is not None:
        said += f"; proven below p = {level:.2g}, as one of many checks of a window"
    if found.small:
        more = f" and {len(found.small) - _NAMED} more" if len(found.small) > _NAMED else ""
        said += f"; too few rows: {', '.join(f'{name} ({rows})' for name, rows in found.small[:_NAMED])}{more}"
    return said


# --- the trend ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Limit:
    """A group's margin over a parity limit: `share − factor · best + slack`; below 0 it is broken."""

    factor: float
    slack: float
    said: str


def _margin(rules: Fairness) -> _Limit | None:
    limits = limits_of(rules)
    if _RATIO in limits:
        return _Limit(limits[_RATIO], 0.0, f"the ratio's limit {limits[_RATIO]:g}")
    if _DIFFERENCE in limits:
        return _Limit(1.0, limits[_DIFFERENCE], f"the difference's limit {limits[_DIFFERENCE]:g}")
    return None


def _trends(reading: Reading, rules: Fairness, level: float) -> Iterator[Finding]:
    limit = _margin(rules)
    for column in reading.spec.data.protected if limit else ():
        days = {counted.day.toordinal(): counted.tally.groups.get(column, {}) for counted in reading.days}
        found = _behind(days, rules.min_rows, limit) if limit else []
        if found and limit:
            yield _judge_trend(column, found, limit, level, reading.spec.monitoring.drift.trend // timedelta(days=1))


@dataclass(frozen=True)
class _Behind:
    """One group beside the one that fares best, day by day."""

    group: str
    best: str
    trend: Trend
    rows: int


def _behind(days: Mapping[int, Mapping[str, GroupTally]], min_rows: int, limit: _Limit) -> list[_Behind]:
    """The group that fares best is the same on all days: the best of each day would be so by chance."""
    whole: dict[str, GroupTally] = {}
    for groups in days.values():
        for name, tally in groups.items():
            whole[name] = whole.get(name, GroupTally()) + tally
    large = sorted(name for name, tally in whole.items() if tally.rows >= max(min_rows, 1) and name != OTHERS)
    if len(large) < 2:
        return []
    best = max(large, key=lambda name: whole[name].selected / whole[name].rows)
    found = []
    for name in large:
        if name != best and (trend := trend_of(_figures(days, whole, name, best, limit))) is not None:
            found.append(_Behind(name, best, trend, whole[name].rows + whole[best].rows))
    return found


def _figures(
    days: Mapping[int, Mapping[str, GroupTally]], whole: Mapping[str, GroupTally], name: str, best: str, limit: _Limit
) -> list[DayFigure]:
    """Of days with both groups. Errors from the shares of all days, half a row added, so that none is 0."""
    spread, spread_of_best = _spread(whole[name]), _spread(whole[best])
    figures = []
    for day, groups in days.items():
        mine, other = groups.get(name, GroupTally()), groups.get(best, GroupTally())
        if mine.rows and other.rows:
            margin = mine.selected / mine.rows - limit.factor * other.selected / other.rows + limit.slack
            error = sqrt(spread / mine.rows + limit.factor**2 * spread_of_best / other.rows)
            figures.append(DayFigure(day, margin, error))
    return figures


def _spread(tally: GroupTally) -> float:
    share = (tally.selected + 0.5) / (tally.rows + 1)
    return share * (1 - share)


def _judge_trend(column: str, found: Sequence[_Behind], limit: _Limit, level: float, ahead: int) -> Finding:
    """Of the group that will be worst off if the days go on so."""
    each = level / len(found)
    worst = min(found, key=lambda behind: (behind.trend.p_falling >= each, behind.trend.after(ahead)))
    trend, coming = worst.trend, worst.trend.after(ahead)
    failed = trend.slope < 0 and trend.p_falling < each and coming < 0
    moved = (
        f"{worst.group} {'lost' if trend.change < 0 else 'gained'} {abs(trend.change) * 100:.1f} points on {worst.best}"
    )
    said = f"by {column}, {moved} over {trend.days} days"
    if failed:
        left = max(0, round(-trend.last / trend.slope))
        reason = f"{said}; so it is beyond {limit.said} within {left} days"
    else:
        reason = (
            f"{said}; {'days differ as much by chance' if trend.p_falling >= each else 'the limit is not in sight'}"
        )
    outcome = Outcome.FAILED if failed else Outcome.PASSED
    return Finding(f"fairness.trend_parity:{column}", outcome, reason, coming, 0.0, column, worst.rows)
