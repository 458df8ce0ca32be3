"""Judged windows and the incidents they open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

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

    @property
    def told(self) -> dict[str, Outcome]:
        """Outcomes by cause. Of a window from before they were kept so, only the causes that failed are known, or else
        the outcome of `all`."""
        said = {cause.value: outcome for cause, outcome in self.outcomes.items()}
        failed = {cause.value: Outcome.FAILED for cause in self.causes}
        return said or failed or {"all": self.outcome}


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


LinkKind = Literal["evidence", "deployment", "report", "rollback", "retraining", "rollout"]


class IncidentState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Incident:
    """One trouble of one version, from its first bad window until it is over.

    Of a monitored one: `windows` failed, the last `passed` in a row did not, up to and with the one that ends at
    `judged_to`. `evidence` is the latest; `links` are what belongs to it: `{kind, ref, at}`, kind one of
    `LinkKind`, oldest first.
    """

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
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    passed: int = 0
    judged_to: datetime | None = None
    links: tuple[JsonObject, ...] = ()

    @property
    def unresolved(self) -> bool:
        return self.state is not IncidentState.RESOLVED

    def linked(self, kind: LinkKind, ref: str, at: datetime) -> Incident:
        """With one link more; the same thing is linked once."""
        if any((link["kind"], link["ref"]) == (kind, ref) for link in self.links):
            return self
        return replace(self, links=(*self.links, {"kind": kind, "ref": ref, "at": at.isoformat()}))


class IncidentTable(Protocol):
    """Deduplicated: at most one unresolved incident per model, version and cause."""

    def unresolved(self, model: str) -> list[Incident]: ...

    def all(self, model: str) -> list[Incident]: ...

    def unresolved_everywhere(self) -> list[Incident]:
        """Of every model, oldest first."""
        ...

    def find(self, prefix: str) -> list[Incident]:
        """Those whose id begins so, of every model, oldest first."""
        ...

    def save(self, incident: Incident) -> Incident:
        """Insert or replace by id. Raises ConflictError for a second unresolved one of the same cause."""
        ...
