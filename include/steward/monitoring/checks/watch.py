"""The monitor watched itself: did it run, and had it enough to look at?

- `monitor.rows` is INCONCLUSIVE with fewer than `monitoring.min_rows` rows in the window, and never FAILED;
- `monitor.quiet` is FAILED once `monitoring.quiet_windows` windows in a row had too few rows;
- `monitor.stale` is FAILED when the window is empty and the newest row before it older than `data.freshness` allows
  (while rows still come, `data.freshness` speaks);
- `monitor.labels` is FAILED when outcomes that were due are absent far more often than before, or when none came at
  all; INCONCLUSIVE while none is due.

These are rules, not tests: chance has no part in them. That the monitor did not run at all nobody inside it can see:
`overdue` is asked from outside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import takewhile
from statistics import stdev

from steward.gates import Finding, Outcome
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import DayTally
from steward.monitoring.windows import Cause, JudgedWindow
from steward.spec import ModelSpec
from steward.spec.cron import last_fire
from steward.spec.fields import format_duration

LABEL_RISE = 0.2
"""Share of due outcomes that may be absent beyond what was usual."""
CARRIED_OVER = timedelta(days=1)
"""Outcomes are due this long after `label.arrives_after`: a nightly load may carry them over."""
GRACE = timedelta(hours=2)
"""A run may take this long from its time on the clock: queueing, retries, the counting of many days."""


def judge_monitor(reading: Reading) -> list[Finding]:
    return [_rows(reading), _quiet(reading), *_stale(reading), *_labels(reading)]


def overdue(spec: ModelSpec, last_judged_at: datetime | None, now: datetime) -> str | None:
    """Why the monitor must have missed its turn; None when it has not.

    `last_judged_at`: when a window was judged last, or since when the champion serves if that is later; None while
    nothing serves.
    """
    due = turn_missed(spec, last_judged_at, now)
    if due is None or last_judged_at is None:
        return None
    return (
        f"the monitor of {spec.model} was due at {due:%Y-%m-%d %H:%M} and judged nothing since "
        f"{last_judged_at:%Y-%m-%d %H:%M}"
    )


def turn_missed(spec: ModelSpec, last_judged_at: datetime | None, now: datetime) -> datetime | None:
    """When the turn was that the monitor must have missed, as `overdue` says it."""
    if last_judged_at is None:
        return None
    due = last_fire(spec.monitoring.schedule, now - GRACE)
    return due if due is not None and last_judged_at < due else None


def has_enough(reading: Reading) -> bool:
    return reading.tally.rows >= reading.spec.monitoring.min_rows


def _rows(reading: Reading) -> Finding:
    rows, needed = reading.tally.rows, reading.spec.monitoring.min_rows
    if has_enough(reading):
        reason = f"{rows} rows were answered in the window, {needed} are needed"
        return Finding("monitor.rows", Outcome.PASSED, reason, rows, needed, rows=rows)
    reason = f"{rows} rows were answered in the window, {needed} are needed: no drift and no performance was judged"
    return Finding("monitor.rows", Outcome.INCONCLUSIVE, reason, rows, needed, rows=rows)


def _quiet(reading: Reading) -> Finding:
    """Silence counts once the version could have filled a window: not in its first days."""
    limit, count = reading.spec.monitoring.quiet_windows, _quiet_in_a_row(reading)
    if count >= limit:
        reason = f"{count} windows in a row had too few rows to be judged: nobody would see this model go wrong"
        return Finding("monitor.quiet", Outcome.FAILED, reason, count, limit, rows=reading.tally.rows)
    reason = f"{count} windows in a row had too few rows to be judged, {limit} are reported"
    outcome = Outcome.INCONCLUSIVE if count else Outcome.PASSED
    return Finding("monitor.quiet", outcome, reason, count, limit, rows=reading.tally.rows)


def _quiet_in_a_row(reading: Reading) -> int:
    """This window and those before it. A window that began before the version's first row does not count."""
    if has_enough(reading):
        return 0
    first = next((counted.day for counted in reading.days if counted.tally.rows), None)
    before = (each.window for each in takewhile(_was_quiet, reversed(reading.before)))
    return sum(first is None or first <= window.start.date() for window in (reading.window, *before))


def _was_quiet(judged: JudgedWindow) -> bool:
    """Drift is judged wherever there are rows enough. Older windows do not say what was judged."""
    if judged.outcomes:
        return Cause.DRIFT not in judged.outcomes
    return judged.outcome is Outcome.INCONCLUSIVE


def _stale(reading: Reading) -> list[Finding]:
    known = (counted.tally.operation.newest for counted in reading.days)
    newest = max(filter(None, known), default=None)
    if reading.tally.rows or newest is None:
        return []
    age, limit, hour = reading.window.end - newest, reading.spec.data.freshness, timedelta(hours=1)
    reason = f"nothing came in the window; the newest row is of {newest:%Y-%m-%d %H:%M}, {age / hour:.0f} hours before"
    outcome = Outcome.FAILED if age > limit else Outcome.PASSED
    reason += f" its end, {format_duration(limit)} is allowed"
    return [Finding("monitor.stale", outcome, reason, age / hour, limit / hour, rows=0)]


def _labels(reading: Reading) -> list[Finding]:
    """Only where a check waits for outcomes."""
    watched = reading.spec.monitoring
    if not (watched.performance or watched.calibration or watched.business):
        return []
    due = [counted for counted in reading.days if _is_due(counted, reading) and counted.tally.overall.answered]
    if not due:
        wait = format_duration(reading.spec.data.label.arrives_after)
        reason = f"no outcome is due yet: they arrive within {wait}"
        return [Finding("monitor.labels", Outcome.INCONCLUSIVE, reason, rows=0)]
    days = max(reading.window.length // timedelta(days=1), 1)
    return [_compared(reading, due[-days:], due[:-days])]


def _is_due(counted: DayTally, reading: Reading) -> bool:
    ended = datetime.combine(counted.day, time(), UTC) + timedelta(days=1)
    now = reading.now or reading.window.end
    return ended + reading.spec.data.label.arrives_after + CARRIED_OVER <= now


def _compared(reading: Reading, recent: Sequence[DayTally], before: Sequence[DayTally]) -> Finding:
    gate, absent = "monitor.labels", _absent(recent)
    rows = sum(counted.tally.overall.answered for counted in recent)
    said = f"{absent:.0%} of {rows} outcomes that were due are absent"
    if not any(counted.tally.overall.rows for counted in (*recent, *before)):
        silent = len(recent) + len(before) >= reading.spec.monitoring.quiet_windows
        reason = f"not one of {rows} outcomes that were due has come: performance goes unwatched"
        return Finding(gate, Outcome.FAILED if silent else Outcome.INCONCLUSIVE, reason, absent, rows=rows)
    if not before:
        outcome = Outcome.PASSED if absent <= 0.5 else Outcome.INCONCLUSIVE
        return Finding(gate, outcome, f"{said}; there are no earlier days to compare with", absent, rows=rows)
    usual, limit = _absent(before), _absent(before) + max(LABEL_RISE, _between(before) / math.sqrt(len(recent)))
    outcome = Outcome.FAILED if absent > limit else Outcome.PASSED
    return Finding(gate, outcome, f"{said}, {usual:.0%} before, up to {limit:.0%} passes", absent, limit, rows=rows)


def _absent(days: Sequence[DayTally]) -> float:
    answered = sum(counted.tally.overall.answered for counted in days)
    return 1 - sum(counted.tally.overall.rows for counted in days) / answered


def _between(days: Sequence[DayTally]) -> float:
    """Three standard deviations of one day among days: a past day whose outcomes were lost widens what passes."""
    return 3 * stdev(_absent([counted]) for counted in days) if len(days) > 1 else 0.0
