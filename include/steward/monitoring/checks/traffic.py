"""Did the rows come, when they were to come, once, and with clocks that can be believed?

- `data.freshness` is FAILED when the window has rows and the newest is older than `data.freshness` at its end;
- `data.completeness` is FAILED when a day of the window has no rows although days like it always had, and when fewer
  of the usual hours had requests than `monitoring.completeness` asks for (of a batch target: of the usual days);
- `data.volume` is FAILED when a day had less than a fifth of the rows of any day like it before;
- `data.clock` is FAILED when more than one row in a hundred is dated after it was recorded;
- `data.outcomes:late|early|corrected|doubled` are FAILED beyond a share of the outcomes, and beyond chance.

A day is like the earlier ones of its weekday, where there are two at least; else like all earlier ones. What is usual
is what was so on every one of them, so a shop that is closed on Sundays, or by night, misses nothing. These are rules
rather than tests: sound data does not break them by chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from steward.gates import Finding, Outcome
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import DayTally, OperationTally
from steward.spec.fields import format_duration

AHEAD_SHARE = 0.01
DROP = 0.2
BUSY_ROWS = 50
"""Fewer rows than this, on every day alike, may all stay away by chance."""
OUTCOME_SHARES = {"late": 0.2, "early": 0.01, "corrected": 0.1, "doubled": 0.1}
_SAID = {
    "late": "came later than declared",
    "early": "are dated before their decision",
    "corrected": "were sent again with another label",
    "doubled": "were sent again as they were",
}
_HINTS = {
    "late": "data.label.arrives_after may be too short, or a source is slow",
    "early": "a clock is wrong, or outcomes are matched to the wrong decisions",
    "corrected": "what is measured today may be another number tomorrow",
    "doubled": "a sender repeats itself",
}
_SURELY = 0.001  # chance of so many, were the share just the one allowed
_SAME_WEEKDAY, _ANY_DAY = 2, 3  # so many earlier days make a habit
_NAMED = 5


def judge_traffic(reading: Reading) -> list[Finding]:
    return [*_freshness(reading), *_completeness(reading), *_volume(reading), *_clock(reading), *_outcomes(reading)]


def _freshness(reading: Reading) -> Iterator[Finding]:
    newest, limit = reading.tally.operation.newest, reading.spec.data.freshness
    if newest is None:
        return  # nothing came at all: completeness and the monitor's own checks speak of that
    age, hour = reading.window.end - newest, timedelta(hours=1)
    said = f"the newest row is of {newest:%Y-%m-%d %H:%M}, {format_duration(limit)} before the window's end is allowed"
    outcome = Outcome.FAILED if age > limit else Outcome.PASSED
    yield Finding("data.freshness", outcome, said, max(age / hour, 0.0), limit / hour, rows=reading.tally.rows)


# --- days and hours that had requests ---------------------------------------------------------------


@dataclass(frozen=True)
class _Day:
    """One day of the window and the earlier ones it is like; none where there are too few to tell."""

    day: date
    found: OperationTally
    alike: tuple[OperationTally, ...]

    @property
    def least(self) -> int:
        """Rows that each of the days like it had, at least."""
        return min((other.rows for other in self.alike), default=0)

    @property
    def usual_hours(self) -> frozenset[int]:
        """Hours in which each of them had requests."""
        each = [_hours(other) for other in self.alike]
        return frozenset.intersection(*each) if each else frozenset()


def _hours(found: OperationTally) -> frozenset[int]:
    return frozenset(datetime.fromisoformat(hour).hour for hour, count in found.hours.items() if count)


def _days(reading: Reading) -> list[_Day]:
    """Of the window; from the first day on that had any rows: before, the version did not serve. Nor did it on days
    that another was the champion for a while, and came back from."""
    counted = sorted((each for each in reading.days if _served(each.day, reading)), key=lambda each: each.day)
    first = next((place for place, each in enumerate(counted) if each.tally.rows), len(counted))
    since = counted[first:]
    inside = reading.window.start.date()
    return [
        _Day(each.day, each.tally.operation, _alike(each.day, since[:place]))
        for place, each in enumerate(since)
        if each.day >= inside
    ]


def _served(day: date, reading: Reading) -> bool:
    """Whether the version was the champion for all of the day."""
    begins = datetime.combine(day, time(), UTC)
    ends = begins + timedelta(days=1)
    spans = reading.serving
    return spans is None or any(since <= begins and (until is None or until >= ends) for since, until in spans)


def _alike(day: date, earlier: Sequence[DayTally]) -> tuple[OperationTally, ...]:
    same = [each for each in earlier if each.day.weekday() == day.weekday()]
    if len(same) >= _SAME_WEEKDAY:
        return tuple(each.tally.operation for each in same)
    return tuple(each.tally.operation for each in earlier) if len(earlier) >= _ANY_DAY else ()


def _completeness(reading: Reading) -> Iterator[Finding]:
    days, declared, gate = _days(reading), reading.spec.monitoring.completeness, "data.completeness"
    rows = reading.tally.rows
    if empty := [each.day for each in days if not each.found.rows and each.least >= BUSY_ROWS]:
        reason = f"no row came on {_listed(empty)}, though every day like it had {BUSY_ROWS} or more"
        yield Finding(gate, Outcome.FAILED, reason, len(empty), 0, rows=rows)
        return
    if declared is None:
        return
    there, usual, unit = _complete_days(days) if reading.spec.deployment.target == "batch" else _complete_hours(days)
    if not usual:
        reason = "there are too few earlier days to say when requests usually come"
        yield Finding(gate, Outcome.INCONCLUSIVE, reason, limit=declared.min, rows=rows)
        return
    share = there / usual
    reason = f"{there} of {usual} {unit} that usually have requests had some, {declared.min:.0%} is asked for"
    outcome = Outcome.FAILED if share < declared.min else Outcome.PASSED
    yield Finding(gate, outcome, reason, share, declared.min, rows=rows)


def _complete_hours(days: Sequence[_Day]) -> tuple[int, int, str]:
    usual = [(each, hours) for each in days if (hours := each.usual_hours)]
    there = sum(len(hours & _hours(each.found)) for each, hours in usual)
    return there, sum(len(hours) for _, hours in usual), "hours"


def _complete_days(days: Sequence[_Day]) -> tuple[int, int, str]:
    usual = [each for each in days if each.least]
    return sum(bool(each.found.rows) for each in usual), len(usual), "days"


def _volume(reading: Reading) -> Iterator[Finding]:
    """Each day beside those before it, those of the window among them: a lower level is news on its first day only."""
    told = [each for each in _days(reading) if each.alike]
    if not told:
        return
    gate, rows = "data.volume", reading.tally.rows
    dropped = [each for each in told if 0 < each.found.rows < DROP * each.least and each.least >= BUSY_ROWS]
    if dropped:
        worst = min(dropped, key=lambda each: each.found.rows / each.least)
        reason = (
            f"{worst.found.rows} rows came on {worst.day}, every day like it had {worst.least} or more"
            f"{_besides([each.day for each in dropped if each is not worst])}"
        )
        yield Finding(gate, Outcome.FAILED, reason, worst.found.rows / worst.least, DROP, rows=rows)
        return
    least = min((each.found.rows / each.least for each in told if each.least), default=None)
    if least is not None:
        reason = f"every day had at least {least:.0%} of the rows of the quietest day like it"
        yield Finding(gate, Outcome.PASSED, reason, least, DROP, rows=rows)


def _besides(days: Sequence[date]) -> str:
    return f"; so it was on {_listed(days)}" if days else ""


def _listed(days: Sequence[date]) -> str:
    more = f" and {len(days) - _NAMED} more days" if len(days) > _NAMED else ""
    return f"{', '.join(map(str, days[:_NAMED]))}{more}"


# --- clocks and outcomes ----------------------------------------------------------------------------


def _clock(reading: Reading) -> Iterator[Finding]:
    operation = reading.tally.operation
    if not operation.rows:
        return
    share = operation.ahead / operation.rows
    reason = f"{operation.ahead} of {operation.rows} rows are dated after they were recorded: a clock is ahead"
    if share <= AHEAD_SHARE:
        reason = f"{operation.ahead} of {operation.rows} rows are dated after they were recorded"
    outcome = Outcome.FAILED if share > AHEAD_SHARE else Outcome.PASSED
    yield Finding("data.clock", outcome, reason, share, AHEAD_SHARE, rows=operation.rows)


def _outcomes(reading: Reading) -> Iterator[Finding]:
    """Of the answers with an outcome; one that was sent thrice counts twice."""
    told = reading.tally.overall.rows
    counts: Mapping[str, int] = {kind: getattr(reading.tally.operation, kind) for kind in OUTCOME_SHARES}
    for kind, count in counts.items() if told else ():
        yield _judge_outcomes(kind, count, told)


def _judge_outcomes(kind: str, count: int, told: int) -> Finding:
    from scipy.special import bdtrc

    gate, limit, share = f"data.outcomes:{kind}", OUTCOME_SHARES[kind], count / told
    reason = f"{count} of {told} outcomes {_SAID[kind]}, {limit:.0%} may"
    chance = 0.0 if count > told else float(bdtrc(count - 1, told, limit)) if count else 1.0
    if share > limit and chance < _SURELY:
        return Finding(gate, Outcome.FAILED, f"{reason}: {_HINTS[kind]}", share, limit, rows=told)
    return Finding(gate, Outcome.PASSED, reason, share, limit, rows=told)
