"""Schedules fire when Airflow says they do: croniter, which Airflow reads them with, is asked beside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter

from steward.errors import DataError
from steward.spec.cron import fire_days, fires, last_fire

START = datetime(2013, 1, 15, 7, 13, tzinfo=UTC)
SCHEDULES = [
    "@hourly", "@daily", "@weekly", "@monthly", "@yearly",
    "0 3 * * *", "*/7 1-5 * * *", "30 6 * * 1-5", "0/20 * * * *", "0 0 * * 7", "0 5 ? * TUE-THU",
    "5 4 * JAN,jul *", "10-40/10 22-23 1-7 3-11/2 *", "15 10 L * *", "0 9 * * MON#2", "0 0 */2 * *",
    "0 0 1,15 * MON", "0 0 */2 * 1", "0 1 1 * */2",
]  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_it_fires_when_croniter_says(schedule: str) -> None:
    end = START + timedelta(days=70)
    wanted, asked = [], croniter(schedule, START)
    while (at := asked.get_next(datetime)) <= end:
        wanted.append(at)
    assert list(fires(schedule, START, end)) == wanted


@pytest.mark.parametrize("schedule", [*SCHEDULES, "0 12 29 2 *"])
def test_the_last_time_is_the_one_before(schedule: str) -> None:
    assert last_fire(schedule, START) == croniter(schedule, START + timedelta(seconds=1)).get_prev(datetime)


def test_an_instant_belongs_to_the_span_that_ends_with_it() -> None:
    midnight = START.replace(hour=0, minute=0)
    day = timedelta(days=1)
    assert list(fires("@daily", midnight, midnight + day)) == [midnight + day]
    assert last_fire("@daily", midnight) == midnight
    assert list(fires("@daily", midnight + day, midnight)) == []


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_days_are_those_of_its_instants(schedule: str) -> None:
    midnight, second = START.replace(hour=0, minute=0), timedelta(seconds=1)
    end = midnight + timedelta(days=70)
    days = {at.date() for at in fires(schedule, midnight - second, end - second)}
    last = (end - second).date()
    assert fire_days(schedule, midnight.date(), last) == sorted(days)
    assert fire_days(schedule, last, midnight.date()) == []


def test_a_date_that_never_comes_never_fires() -> None:
    assert last_fire("0 0 31 2 *", START) is None


@pytest.mark.parametrize("schedule", ["0 3 * *", "x 3 * * *", "0 3 * * NOD", "0 3 one * *", "0 3 * * TUE#x", ""])
def test_what_is_no_schedule_is_named(schedule: str) -> None:
    with pytest.raises(DataError, match="is no schedule"):
        last_fire(schedule, START)
