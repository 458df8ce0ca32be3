"""PostgreSQL behind `steward.actions.state.Database`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL

from steward.adapters.postgres.connection import Work, connect_engine, in_words, place_of, postgres_url
from steward.adapters.postgres.record import (
    PostgresEventLog,
    PostgresEvidenceStore,
    PostgresOperationTable,
    PostgresOutbox,
)
from steward.adapters.postgres.release import (
    PostgresApprovalTable,
    PostgresRolloutTable,
    PostgresRouteTable,
    PostgresVersionTable,
)
from steward.adapters.postgres.watch import PostgresIncidentTable, PostgresTallyTable, PostgresWindowTable
from steward.clock import Clock, SystemClock


class PostgresTransaction:
    """All tables under one commit."""

    def __init__(self, work: Work, clock: Clock, wall: Clock, key: bytes) -> None:
        self.claim = work.claim
        self.events = PostgresEventLog(work, clock, wall, key)
        self.evidence = PostgresEvidenceStore(work)
        self.versions = PostgresVersionTable(work, clock)
        self.approvals = PostgresApprovalTable(work)
        self.rollouts = PostgresRolloutTable(work)
        self.routes = PostgresRouteTable(work)
        self.windows = PostgresWindowTable(work)
        self.tallies = PostgresTallyTable(work)
        self.incidents = PostgresIncidentTable(work)
        self.operations = PostgresOperationTable(work)
        self.outbox = PostgresOutbox(work)


class PostgresDatabase:
    """Opens connections when they are needed and survives a restart of the server.

    `clock` tells business time; `wall` the time of recording. `key` signs the ledger and is never sent.
    """

    def __init__(self, url: str | URL, clock: Clock, key: bytes, *, wall: Clock | None = None) -> None:
        address = postgres_url(url)
        self._where = place_of(address)
        self._engine = connect_engine(address)
        self._clock, self._wall, self._key = clock, wall or SystemClock(), key
        self._process = os.getpid()

    @contextmanager
    def begin(self) -> Iterator[PostgresTransaction]:
        self._leave_parents_connections()
        with in_words(self._where), self._engine.begin() as connection:
            yield PostgresTransaction(Work(connection, self._where), self._clock, self._wall, self._key)

    def close(self) -> None:
        """Give the pooled connections back. The database may be used again afterwards."""
        self._engine.dispose()

    def _leave_parents_connections(self) -> None:
        """After a fork the pool holds the parent's sockets: two processes on one socket garble both."""
        if os.getpid() != self._process:
            self._engine.dispose(close=False)
            self._process = os.getpid()
