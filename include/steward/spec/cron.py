"""When a schedule fires: five cron fields or a preset, in UTC, to the minute, as Airflow reads them.

Of the field for the day of the week `MON#2` (the second Monday) and of the day of the month `L` (the last day) are
understood too. Where both fields of the day are given, either is enough, as in every cron. Every
function raises DataError for what is no schedule.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from steward.errors import DataError

_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_ANY = ("*", "?")
_LONGEST = timedelta(days=8 * 366)  # until every date comes again: 29 February may be that far away


def fires(schedule: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Every instant in `(after, until]` at which it fires, oldest first."""
    cron = _Cron.of(schedule)
    day = after.astimezone(UTC).date()
    while day <= until.astimezone(UTC).date():
        if cron.falls_on(day):
            yield from (at for at in cron.instants(day) if after < at <= until)
        day += timedelta(days=1)


def fire_days(schedule: str, first: date, last: date) -> list[date]:
    """Days (UTC) on which it fires at least once, both ends included."""
    cron = _Cron.of(schedule)
    days = (first + timedelta(days=place) for place in range((last - first).days + 1))
    return [day for day in days if cron.falls_on(day)]


def last_fire(schedule: str, until: datetime) -> datetime | None:
    """The newest instant at or before `until`; None for a date that never comes, such as 31 February."""
    cron = _Cron.of(schedule)
    day = until.astimezone(UTC).date()
    for back in range(_LONGEST.days):
        if cron.falls_on(day - timedelta(days=back)):
            past = [at for at in cron.instants(day - timedelta(days=back)) if at <= until]
            if past:
                return past[-1]
    return None


@dataclass(frozen=True)
class _Cron:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: str
    months: frozenset[int]
    weekdays: str

    @classmethod
    def of(cls, schedule: str) -> _Cron:
        """Raises DataError for what is no schedule."""
        try:
            minute, hour, day, month, weekday = _PRESETS.get(schedule, schedule).split()
            read = cls(_values(minute, 0, 59), _values(hour, 0, 23), day, _values(month, 1, 12, _MONTHS), weekday)
            read._on_date(date.min)
            read._on_weekday(date.min)
        except ValueError as error:
            hint = 'write five cron fields ("0 3 * * *") or a preset such as @daily'
            raise DataError(f"{schedule!r} is no schedule: {error}", hint=hint) from error
        return read

    def falls_on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        if self.days in _ANY or self.weekdays in _ANY:
            return self._on_date(day) and self._on_weekday(day)
        return self._on_date(day) or self._on_weekday(day)

    def instants(self, day: date) -> list[datetime]:
        clock = (time(hour, minute, tzinfo=UTC) for hour in sorted(self.hours) for minute in sorted(self.minutes))
        return [datetime.combine(day, each) for each in clock]

    def _on_date(self, day: date) -> bool:
        last = monthrange(day.year, day.month)[1]
        parts = [str(last) if part.upper() == "L" else part for part in self.days.split(",")]
        return day.day in _values(",".join(parts), 1, 31)

    def _on_weekday(self, day: date) -> bool:
        today = day.isoweekday() % 7
        for part in self.weekdays.split(","):
            name, _, nth = part.partition("#")
            found = {number % 7 for number in _values(name, 0, 7, _DAYS, first_name=0)}
            if int(nth or 0) in (0, (day.day - 1) // 7 + 1) and today in found:
                return True
        return False


def _values(field: str, low: int, high: int, names: tuple[str, ...] = (), first_name: int = 1) -> frozenset[int]:
    """Of one field: `*`, `*/5`, `1-5`, `1-20/2`, `MON`, `3`, and lists of these."""

    def number(word: str) -> int:
        return names.index(word.upper()) + first_name if word.upper() in names else int(word)

    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        start = low if span in _ANY else number(first)
        end = high if span in _ANY or (step and not dash) else number(last) if dash else start
        found.update(range(start, end + 1, int(step or 1)))
    return frozenset(found)
