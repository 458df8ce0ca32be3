"""Judged windows and the incidents they open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from steward.gates import Outcome
from steward.types import JsonObject, Window


class Cause(StrEnum):
    """What a failed window is about; decides what may follow."""

    DATA = "data"  # broken input: incident, never retraining
    DRIFT = "drift"  # inputs moved without loss: watch
    PERFORMANCE = "performance"  # ranking or calibration lost: retraining, if the controller allows it
    FAIRNESS = "fairness"  # groups fare differently
    OPERATION = "operation"  # latency, errors, load
    MONITOR = "monitor"  # the monitor itself did not run, or ran on stale or too little data


MONITORED = frozenset(cause.value for cause in Cause)  # an incident may have another cause: an audit's, a review's


@dataclass(frozen=True)
class JudgedWindow:
    """One monitor run on one window of one version. `causes` holds every cause with a failed check; `outcomes` the
    outcome of every cause that was judged at all."""

    model: str
    version: int
    window: Window
    outcome: Outcome
    causes: tuple[Cause, ...]
    evidence: str
    judged_at: datetime
    outcomes: Mapping[Cause, Outcome] = field(default_factory=dict)


class WindowTable(Protocol):
    def record(self, judged: JudgedWindow) -> None:
        """One row per model, version and window; judging again replaces it."""
        ...

    def recent(self, model: str, limit: int, version: int | None = None) -> list[JudgedWindow]:
        """Newest window last."""
        ...

    def latest_everywhere(self) -> list[JudgedWindow]:
        """The newest of every version of every model, by model and version."""
        ...


class IncidentState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Incident:
    id: str
    model: str
    version: int
    cause: str
    severity: str
    state: IncidentState
    first_bad: Window
    opened_at: datetime
    updated_at: datetime
    windows: int
    evidence: str
    report: str | None = None
    resolved_at: datetime | None = None
    detail: JsonObject | None = None


class IncidentTable(Protocol):
    """Deduplicated: at most one unresolved incident per model, version and cause."""

    def unresolved(self, model: str) -> list[Incident]: ...

    def all(self, model: str) -> list[Incident]: ...

    def unresolved_everywhere(self) -> list[Incident]:
        """Of every model, oldest first."""
        ...

    def save(self, incident: Incident) -> Incident:
        """Insert or replace by id. Raises ConflictError for a second unresolved one of the same cause."""
        ...
