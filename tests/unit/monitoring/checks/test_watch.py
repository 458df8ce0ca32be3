"""The monitor watched: too little, too long, too old, without outcomes, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.monitoring.readings import WEEK
from tests.unit.specs import SOUND, a_spec

from steward.gates import OVERALL, Finding, Outcome
from steward.monitoring.checks.watch import judge_monitor, overdue
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import DayTally, Moments, OperationTally, OutcomeTally, Tally
from steward.monitoring.windows import Cause, JudgedWindow
from steward.spec import ModelSpec
from steward.types import Window

DAY = timedelta(days=1)
MONITORING = {"min_rows": 100, "quiet_windows": 3, "performance": {"roc_auc": {"max_drop": 0.05}}}


def the_spec(**monitoring: Any) -> ModelSpec:
    return a_spec(monitoring={**MONITORING, **monitoring})


def a_day(days_ago: int, rows: int = 50, told: int | None = None, newest: float = 23) -> DayTally:
    """`days_ago` before the window's end; 1 is its last day. `told`: rows with an outcome; None: all."""
    start = WEEK.end - DAY * days_ago
    outcomes = OutcomeTally(rows, Moments(rows if told is None else told, 0.5))
    operation = OperationTally(rows, newest=start + timedelta(hours=newest) if rows else None)
    return DayTally("m", 1, start.date(), Tally("p", outcomes={OVERALL: outcomes}, operation=operation), WEEK.end)


def days(*numbers: int, **more: Any) -> list[DayTally]:
    return [a_day(number, **more) for number in sorted(numbers, reverse=True)]


def a_reading(
    spec: ModelSpec, counted: Iterable[DayTally], before: Iterable[JudgedWindow] = (), **more: Any
) -> Reading:
    found = list(counted)
    inside = [each.tally for each in found if each.day >= WEEK.start.date()]
    reading = Reading(spec, {}, WEEK, Tally.total("p", inside), found, list(before), WEEK.end + timedelta(hours=3))
    return replace(reading, **more)


def before(*outcomes: dict[Cause, Outcome]) -> list[JudgedWindow]:
    """Judged on the days before this one, newest last."""
    windows = [Window(WEEK.start - DAY * back, WEEK.end - DAY * back) for back in range(len(outcomes), 0, -1)]
    return [
        JudgedWindow("m", 1, window, Outcome.INCONCLUSIVE, (), "e", WEEK.end, outcome)
        for window, outcome in zip(windows, outcomes, strict=True)
    ]


QUIET = {Cause.MONITOR: Outcome.INCONCLUSIVE, Cause.DATA: Outcome.PASSED}
HEARD = {Cause.MONITOR: Outcome.PASSED, Cause.DRIFT: Outcome.PASSED}


def found(reading: Reading, gate: str) -> Finding | None:
    return next((finding for finding in judge_monitor(reading) if finding.gate == gate), None)


def outcome_of(reading: Reading, gate: str) -> Outcome | None:
    finding = found(reading, gate)
    return finding.outcome if finding else None


class TestRows:
    def test_enough_rows_pass_and_too_few_say_what_was_not_judged(self) -> None:
        spec = the_spec()
        assert outcome_of(a_reading(spec, days(1, 2)), "monitor.rows") is Outcome.PASSED
        few = found(a_reading(spec, days(1)), "monitor.rows")
        assert few is not None
        assert (few.outcome, few.value, few.limit) == (Outcome.INCONCLUSIVE, 50, 100)
        assert "50 rows were answered in the window, 100 are needed" in few.reason


class TestQuiet:
    LONG_AGO = tuple(range(1, 28))

    def reading(self, *past: dict[Cause, Outcome], rows: int = 5, counted: Iterable[int] = LONG_AGO) -> Reading:
        return a_reading(the_spec(), days(*counted, rows=rows), before(*past))

    def test_silence_is_told_once_it_lasted(self) -> None:
        assert outcome_of(self.reading(HEARD, QUIET), "monitor.quiet") is Outcome.INCONCLUSIVE
        third = found(self.reading(HEARD, QUIET, QUIET), "monitor.quiet")
        assert third is not None
        assert (third.outcome, third.value) == (Outcome.FAILED, 3)
        assert "3 windows in a row had too few rows" in third.reason

    def test_it_goes_on_being_told_and_ends_with_a_judged_window(self) -> None:
        failed = {**QUIET, Cause.MONITOR: Outcome.FAILED}
        assert outcome_of(self.reading(QUIET, QUIET, failed), "monitor.quiet") is Outcome.FAILED
        assert outcome_of(self.reading(QUIET, QUIET, failed, rows=50), "monitor.quiet") is Outcome.PASSED

    def test_a_window_that_was_judged_breaks_the_row(self) -> None:
        assert outcome_of(self.reading(QUIET, QUIET, HEARD, QUIET), "monitor.quiet") is Outcome.INCONCLUSIVE

    def test_the_first_days_of_a_version_are_no_silence(self) -> None:
        young = self.reading(QUIET, QUIET, counted=(1, 2, 3))
        assert outcome_of(young, "monitor.quiet") is not Outcome.FAILED

    def test_a_version_that_nobody_ever_asked_is_silent(self) -> None:
        assert outcome_of(self.reading(QUIET, QUIET, rows=0), "monitor.quiet") is Outcome.FAILED

    def test_windows_of_before_outcomes_were_kept_count_by_their_verdict(self) -> None:
        assert outcome_of(self.reading({}, {}), "monitor.quiet") is Outcome.FAILED


class TestStale:
    def test_an_empty_window_after_rows_is_told_with_their_age(self) -> None:
        """`data.freshness` is two days."""
        empty = found(a_reading(the_spec(), [*days(9, 10), *days(1, 2, rows=0)]), "monitor.stale")
        assert empty is not None
        assert (empty.outcome, empty.value, empty.limit) == (Outcome.FAILED, 193, 48)
        assert "193 hours before its end, 2d is allowed" in empty.reason

    def test_while_rows_come_their_age_is_told_by_another_check(self) -> None:
        assert outcome_of(a_reading(the_spec(), days(4, 5, 6)), "monitor.stale") is None

    def test_a_window_shorter_than_the_limit_may_be_empty(self) -> None:
        short = replace(WEEK, start=WEEK.end - DAY)
        reading = a_reading(the_spec(), [*days(2), *days(1, rows=0)], window=short, tally=Tally("p"))
        assert outcome_of(reading, "monitor.stale") is Outcome.PASSED

    def test_where_nothing_ever_came_nothing_is_stale(self) -> None:
        assert outcome_of(a_reading(the_spec(), days(1, 2, rows=0)), "monitor.stale") is None


class TestLabels:
    """Outcomes of these specs are due after no time, and a day for the load."""

    def test_outcomes_that_come_as_before_pass(self) -> None:
        reading = a_reading(the_spec(), [*days(*range(9, 22), told=41), *days(*range(2, 9), told=40)])
        assert outcome_of(reading, "monitor.labels") is Outcome.PASSED

    def test_outcomes_that_stopped_coming_are_told(self) -> None:
        counted = [*days(*range(9, 22), told=45), *days(*range(2, 9), told=10)]
        lag = found(a_reading(the_spec(), counted), "monitor.labels")
        assert lag is not None
        assert lag.outcome is Outcome.FAILED
        assert "80% of 350 outcomes that were due are absent, 10% before" in lag.reason

    def test_days_that_are_not_due_yet_do_not_count(self) -> None:
        late = a_spec(monitoring=MONITORING, data={**SOUND["data"], "label": LATE})
        counted = [*days(*range(7, 22), told=45), *days(*range(1, 7), told=0)]
        assert outcome_of(a_reading(late, counted), "monitor.labels") is Outcome.PASSED
        assert outcome_of(a_reading(late, days(1, 2, 3, told=0)), "monitor.labels") is Outcome.INCONCLUSIVE

    def test_one_past_day_without_outcomes_does_not_hide_a_lag(self) -> None:
        counted = [*days(*range(10, 22), told=45), *days(9, told=0), *days(*range(2, 9), told=10)]
        assert outcome_of(a_reading(the_spec(), counted), "monitor.labels") is Outcome.FAILED

    def test_outcomes_that_never_came_are_told_after_a_while(self) -> None:
        assert outcome_of(a_reading(the_spec(), days(2, 3, told=0)), "monitor.labels") is Outcome.INCONCLUSIVE
        never = found(a_reading(the_spec(), days(2, 3, 4, told=0)), "monitor.labels")
        assert never is not None
        assert never.outcome is Outcome.FAILED
        assert "not one of 150 outcomes" in never.reason

    @pytest.mark.parametrize(("told", "outcome"), [(30, Outcome.PASSED), (10, Outcome.INCONCLUSIVE)])
    def test_without_earlier_days_half_is_enough(self, told: int, outcome: Outcome) -> None:
        assert outcome_of(a_reading(the_spec(), days(2, 3, 4, told=told)), "monitor.labels") is outcome

    def test_where_no_check_waits_for_outcomes_none_are_missed(self) -> None:
        assert outcome_of(a_reading(the_spec(performance={}), days(2, 3, 4, told=0)), "monitor.labels") is None


LATE = {"column": "y", "arrives_after": "5d"}


class TestOverdue:
    NOON = datetime(2013, 6, 5, 12, tzinfo=UTC)  # a Wednesday

    def test_a_night_that_was_missed_is_named(self) -> None:
        said = overdue(the_spec(), self.NOON - DAY, self.NOON)
        assert said is not None
        assert "was due at 2013-06-05 00:00 and judged nothing since 2013-06-04 12:00" in said

    def test_a_run_has_time_to_end(self) -> None:
        midnight = self.NOON.replace(hour=0)
        assert overdue(the_spec(), midnight - DAY, midnight + timedelta(hours=1)) is None
        assert overdue(the_spec(), midnight - DAY, midnight + timedelta(hours=3)) is not None

    def test_a_night_that_was_judged_is_not_overdue(self) -> None:
        assert overdue(the_spec(), self.NOON.replace(hour=0, minute=4), self.NOON) is None

    def test_the_schedule_counts(self) -> None:
        mondays = the_spec(schedule="0 6 * * 1")
        assert overdue(mondays, datetime(2013, 6, 3, 6, 1, tzinfo=UTC), self.NOON) is None
        assert overdue(mondays, datetime(2013, 6, 3, 5, tzinfo=UTC), self.NOON) is not None
        assert overdue(the_spec(schedule="0 0 31 2 *"), datetime(2010, 1, 1, tzinfo=UTC), self.NOON) is None

    def test_while_nothing_serves_nothing_is_due(self) -> None:
        assert overdue(the_spec(), None, self.NOON) is None
