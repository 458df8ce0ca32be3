"""What a monitor run finds on the record: who serves, what was judged before, and which windows nobody judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from steward.actions.state import Services, Transaction
from steward.ledger import SERVING_EVENTS
from steward.ledger.history import serving_periods
from steward.monitoring.windows import JudgedWindow
from steward.registry import ModelVersion
from steward.spec import ModelSpec
from steward.spec.cron import fire_days

MOST_CAUGHT_UP = 60
"""Missed windows that one run judges, the newest; older ones stay unjudged, and the event says how many."""
LOOK_BACK = 120  # judged windows that a check may look back on
DAY = timedelta(days=1)


@dataclass(frozen=True)
class WindowsDue:
    """`end` is that of the window to judge; `missed` are the ends of those before it that nobody judged, each with the
    version that served then, oldest first; `given_up` more are too old. `windows`: judged before, newest last."""

    end: datetime
    champion: ModelVersion | None
    windows: tuple[JudgedWindow, ...] = ()
    missed: tuple[tuple[datetime, ModelVersion], ...] = ()
    given_up: int = 0

    @property
    def behind(self) -> datetime | None:
        """The end of a later window that was judged already: the calendar went back, or an old day was asked for."""
        newest = self.windows[-1].window.end if self.windows else self.end
        return newest if newest > self.end else None


def windows_due(services: Services, spec: ModelSpec, end: datetime) -> WindowsDue:
    with services.database.begin() as tx:
        champion = tx.versions.champion(spec.model)
        windows = tuple(tx.windows.recent(spec.model, LOOK_BACK))
        ends = _missed_ends(spec, windows[-1].window.end, end) if windows else []
        newest = ends[-MOST_CAUGHT_UP:]
        return WindowsDue(end, champion, windows, _served_then(tx, spec.model, newest), len(ends) - len(newest))


def _missed_ends(spec: ModelSpec, last: datetime, end: datetime) -> list[datetime]:
    """A run on a day judges the window that ended with the midnight before it."""
    days = fire_days(spec.monitoring.schedule, (last + DAY).date(), (end - DAY).date())
    return [datetime.combine(day, time(), UTC) for day in days]


def _served_then(tx: Transaction, model: str, ends: Sequence[datetime]) -> tuple[tuple[datetime, ModelVersion], ...]:
    """As far as it is recorded. While nothing served there was nothing to miss."""
    if not ends:
        return ()
    periods = serving_periods(tx.events.read(model=model, types=SERVING_EVENTS))
    versions = {version.number: version for version in tx.versions.all(model)}
    then = ((end, next((p.version for p in reversed(periods) if p.since < end), None)) for end in ends)
    return tuple((end, versions[number]) for end, number in then if number in versions)
