"""A database in memory that commits, rolls back and refuses as the real one does."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from steward.approval import Answer, ApprovalRequest
from steward.clock import Clock
from steward.errors import UnavailableError
from steward.gates import Evidence
from steward.ledger import Link
from steward.ledger.outbox import PendingEffect
from steward.monitoring.tallies import DayTally
from steward.monitoring.windows import Incident, JudgedWindow
from steward.registry import ModelVersion
from steward.rollout import Rollout, Route
from steward.testing.clock import FrozenClock
from steward.testing.record import FakeEventLog, FakeEvidenceStore, FakeOperationTable, FakeOutbox
from steward.testing.release import FakeApprovalTable, FakeRolloutTable, FakeRouteTable, FakeVersionTable
from steward.testing.watch import FakeIncidentTable, FakeTallyTable, FakeWindowTable
from steward.types import JsonObject, VersionRef, Window

FAKE_KEY = b"a key for tests that guards nothing"


@dataclass
class State:
    """Everything committed. Values are frozen, or never handed out without a copy."""

    links: list[Link] = field(default_factory=list)
    evidence: dict[str, Evidence] = field(default_factory=dict)
    versions: dict[VersionRef, ModelVersion] = field(default_factory=dict)
    requests: dict[str, ApprovalRequest] = field(default_factory=dict)
    answers: dict[tuple[str, str, str], Answer] = field(default_factory=dict)
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)
    windows: dict[tuple[str, int, Window], JudgedWindow] = field(default_factory=dict)
    tallies: dict[tuple[str, int, date], tuple[DayTally, str]] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    operations: dict[str, tuple[str, JsonObject]] = field(default_factory=dict)
    outbox: dict[int, PendingEffect] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)
    notices: list[str] = field(default_factory=list)

    def draft(self) -> State:
        """A state to work on: its containers are its own, the values in them shared."""
        return State(**{name: copy.copy(container) for name, container in vars(self).items()})


class FakeTransaction:
    def __init__(self, state: State, clock: Clock, wall: Clock, key: bytes) -> None:
        self.events = FakeEventLog(state.links, clock, wall, key)
        self.evidence = FakeEvidenceStore(state.evidence)
        self.versions = FakeVersionTable(state.versions, clock)
        self.approvals = FakeApprovalTable(state.requests, state.answers)
        self.rollouts = FakeRolloutTable(state.rollouts)
        self.routes = FakeRouteTable(state.routes, state.notices)
        self.windows = FakeWindowTable(state.windows)
        self.tallies = FakeTallyTable(state.tallies)
        self.incidents = FakeIncidentTable(state.incidents)
        self.operations = FakeOperationTable(state.operations)
        self.outbox = FakeOutbox(state.outbox, state.delivered)

    def claim(self) -> None:
        """There is one transaction at a time anyway."""


class FakeDatabase:
    """One transaction at a time; threads wait for one another.

    `away = True` makes it unreachable. `notices` lists the models whose routes were set, once committed.
    """

    def __init__(self, clock: Clock | None = None, key: bytes = FAKE_KEY, *, wall: Clock | None = None) -> None:
        self.clock = clock or FrozenClock()
        self.away = False
        self._wall, self._key = wall or self.clock, key
        self._state = State()
        self._turn = threading.Lock()
        self._holder: int | None = None

    @property
    def notices(self) -> list[str]:
        return list(self._state.notices)

    @contextmanager
    def begin(self) -> Iterator[FakeTransaction]:
        if self.away:
            raise UnavailableError("the database is away", where="memory", hint="set away = False")
        if self._holder == threading.get_ident():
            raise RuntimeError("a transaction inside a transaction would wait for itself: end the outer one first")
        with self._turn:
            self._holder = threading.get_ident()
            draft = self._state.draft()
            try:
                yield FakeTransaction(draft, self.clock, self._wall, self._key)
                self._state = draft
            finally:
                self._holder = None
