"""One pass over the audit events, in the order of the ledger, to what is counted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from steward.ledger import AuditEvent, EventType
from steward.reporting.measures.readers import Owners, Read, Releases, Retrainings, Troubles, Windows
from steward.reporting.measures.record import Record

KEPT = timedelta(days=400)
"""Audits and judged windows older than this are let go: an exporter reads for months, and they are many."""


class Reader:
    """Takes events one by one, ascending, and may be asked at any time what it has found so far."""

    def __init__(self) -> None:
        self._record, self._owners = Record(), Owners()
        releases, windows = Releases(self._record, self._owners), Windows(self._owners)
        troubles = Troubles(self._record, self._owners, releases.deployments)
        self._windows, self._read = windows.judged, dict[EventType, list[Read]]()
        for reader in (self._owners, releases, troubles, Retrainings(self._record, self._owners), windows):
            for kind, read in reader.reads().items():
                self._read.setdefault(kind, []).append(read)

    def take(self, event: AuditEvent) -> None:
        if readers := self._read.get(event.type):
            self._owners.seen(event)
            for read in readers:
                read(event)
        if event.type is EventType.INVENTORY_AUDITED:
            self._let_go(event.at - KEPT)

    @property
    def record(self) -> Record:
        self._record.windows = list(self._windows.values())
        return self._record

    @property
    def asks_for(self) -> tuple[EventType, ...]:
        return tuple(self._read)

    def _let_go(self, before: datetime) -> None:
        if self._record.audits and self._record.audits[0].began.at < before:
            self._record.audits = [each for each in self._record.audits if each.began.at >= before]
            for key in [key for key, each in self._windows.items() if each.began.at < before]:
                del self._windows[key]


MEASURED_EVENTS = Reader().asks_for


def read_record(events: Iterable[AuditEvent], at: datetime) -> Record:
    """What the events say up to `at`, by the calendar of the models; later ones change nothing."""
    reader = Reader()
    for event in events:
        if event.at <= at:
            reader.take(event)
    return reader.record
