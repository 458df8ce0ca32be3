"""What the tables of state must say, told from the events alone.

The chain shows a changed event. It does not show a changed row of `versions` or `routes`: those are compared with
what is derived here. Every change of state is one event, so the two differ only when somebody wrote past the actions.

Read from the bodies: `state` and `request` of answers and closed requests, `replaced`, `rollout` and `epoch` of
`version.promoted`, `previous` and `rollout` of `rollout.started`, `percent`, `epoch` and `rollout` of
`rollout.advanced`, `to`, `epoch` and `rollout` of `rollout.rolled_back`, `request` of `glass.broken`,
`requests_closed` of `endpoint.closed`, `incident` and `severity` of events about incidents, and `route` wherever a
route changed: the whole of it. Events of before versions stood beside the champion have no `route`; theirs follows
from what they say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from steward.ledger.events import AuditEvent, EventType
from steward.ledger.governance import person_of

CHALLENGER, CHAMPION, SUPERSEDED = "challenger", "champion", "superseded"
REJECTED, RETIRED, APPROVED = "rejected", "retired", "approved"
OPEN = "open"


class GivenYesOrNo(NamedTuple):
    """A counted answer: who said what on which evidence."""

    by: str
    evidence: str | None
    approved: bool


@dataclass
class RecordedRoute:
    """As in the table of routes; `epoch` None where an event did not say it."""

    champion: int | None = None
    canary: int | None = None
    percent: int = 0
    epoch: int | None = None
    shadow: int | None = None
    standby: int | None = None


class RecordedIncident(NamedTuple):
    state: str
    severity: str


@dataclass
class RecordedState:
    """One model as its events tell it. `settled_by` is the sequence of the event that settled a fact last."""

    model: str
    versions: dict[int, str] = field(default_factory=dict)
    training: dict[int, str] = field(default_factory=dict)  # version → digest of the training evidence
    route: RecordedRoute | None = None
    running: str | None = None
    approved: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    answers: dict[str, set[GivenYesOrNo]] = field(default_factory=dict)
    incidents: dict[str, RecordedIncident] = field(default_factory=dict)
    settled_by: dict[str, int] = field(default_factory=dict)

    def of_version(self, number: int | None, state: str, seq: int) -> None:
        if number is not None and self.versions.get(number) != REJECTED:
            self.versions[number] = state
            self.settled_by[f"version {number}"] = seq

    def routed(self, champion: int | None, canary: int | None, percent: int, event: AuditEvent) -> None:
        told = event.body.get("route") or {"champion": champion, "canary": canary, "percent": percent}
        self.route = RecordedRoute(**told, epoch=event.body.get("epoch"))
        self.settled_by["route"] = event.seq


def replay(events: Iterable[AuditEvent]) -> dict[str, RecordedState]:
    """By model. `events`: of any number of models, ascending; those of other types change nothing."""
    states: dict[str, RecordedState] = {}
    for event in events:
        if change := _CHANGES.get(event.type):
            change(states.setdefault(event.model, RecordedState(event.model)), event)
    return states


def approval_is_recorded(events: Iterable[AuditEvent], request: str, evidence: str) -> bool:
    """Whether the record holds an approval on this evidence, whatever the table of requests says.

    It does when glass was broken for the request, or when as many different people said yes as the request asked
    for and the last of them closed it. `events` are those of the model (APPROVAL_EVENTS at least), their signatures
    checked.
    """
    quorum, yes, closed = 1, set(), False
    for event in events:
        if event.body.get("request") != request:
            continue
        if event.type is EventType.GLASS_BROKEN and event.evidence == evidence:
            return True
        if event.type is EventType.APPROVAL_REQUESTED:
            quorum = int((event.body.get("policy") or {}).get("quorum", quorum))
        if event.type is EventType.APPROVAL_ANSWERED and event.evidence == evidence and event.body.get("approved"):
            yes.add(person_of(event.actor))
            closed = closed or event.body.get("state") == APPROVED
    return closed and len(yes) >= quorum


def _registered(state: RecordedState, event: AuditEvent) -> None:
    state.of_version(event.version, CHALLENGER, event.seq)
    _remember_training(state, event)


def _rejected(state: RecordedState, event: AuditEvent) -> None:
    state.of_version(event.version, REJECTED, event.seq)
    _remember_training(state, event)
    state.running = None if event.body.get("rollout") == state.running else state.running


def _remember_training(state: RecordedState, event: AuditEvent) -> None:
    if event.version is not None and "training" in event.body:
        state.training[event.version] = event.body["training"]


def _answered(state: RecordedState, event: AuditEvent) -> None:
    request, approved = event.body["request"], event.body.get("approved") is True
    state.answers.setdefault(request, set()).add(GivenYesOrNo(person_of(event.actor), event.evidence, approved))
    _closed(state, event)


def _closed(state: RecordedState, event: AuditEvent) -> None:
    outcome, request = event.body.get("state"), event.body.get("request")
    if outcome is None or outcome == "open" or request is None:
        return
    state.closed.add(request)
    if outcome == APPROVED:
        state.approved.add(request)
    else:
        state.of_version(event.version, REJECTED, event.seq)


def _glass_broken(state: RecordedState, event: AuditEvent) -> None:
    if request := event.body.get("request"):
        state.closed.add(request)
        state.approved.add(request)


def _started(state: RecordedState, event: AuditEvent) -> None:
    """A green stands by from the start; every other version meets its first request with its first step."""
    state.running = event.body.get("rollout")
    state.settled_by["rollout"] = event.seq
    _rerouted(state, event)


def _rerouted(state: RecordedState, event: AuditEvent) -> None:
    if "route" in event.body:
        state.routed(None, None, 0, event)


def _advanced(state: RecordedState, event: AuditEvent) -> None:
    champion = next((n for n, present in state.versions.items() if present == CHAMPION), None)
    state.routed(champion, event.version, event.body["percent"], event)


def _promoted(state: RecordedState, event: AuditEvent) -> None:
    state.of_version(event.body.get("replaced"), SUPERSEDED, event.seq)
    state.of_version(event.version, CHAMPION, event.seq)
    state.routed(event.version, None, 0, event)
    state.running = None


def _rolled_back(state: RecordedState, event: AuditEvent) -> None:
    state.of_version(event.version, REJECTED, event.seq)
    state.of_version(event.body.get("to"), CHAMPION, event.seq)
    state.routed(event.body.get("to"), None, 0, event)
    state.running = None


def _endpoint_closed(state: RecordedState, event: AuditEvent) -> None:
    state.of_version(event.version, RETIRED, event.seq)
    state.closed.update(event.body.get("requests_closed", ()))
    if state.route is not None:
        state.routed(None, None, 0, event)


def _retired(state: RecordedState, event: AuditEvent) -> None:
    for number in state.versions:
        state.of_version(number, RETIRED, event.seq)
    state.running = None


def _incident_changed(state: RecordedState, event: AuditEvent) -> None:
    """An update, a window more, leaves it open or acknowledged as it was."""
    incident, severity = event.body["incident"], event.body["severity"]
    known = state.incidents.get(incident)
    present = _INCIDENT_STATES.get(event.type) or (known.state if known else OPEN)
    state.incidents[incident] = RecordedIncident(present, severity)
    state.settled_by[f"incident {incident}"] = event.seq


_INCIDENT_STATES = {
    EventType.INCIDENT_OPENED: OPEN,
    EventType.INCIDENT_ACKNOWLEDGED: "acknowledged",
    EventType.INCIDENT_RESOLVED: "resolved",
}
_CHANGES = {
    EventType.VERSION_REGISTERED: _registered,
    EventType.VERSION_REJECTED: _rejected,
    EventType.APPROVAL_ANSWERED: _answered,
    EventType.APPROVAL_CLOSED: _closed,
    EventType.GLASS_BROKEN: _glass_broken,
    EventType.ROLLOUT_STARTED: _started,
    EventType.ROLLOUT_ADVANCED: _advanced,
    EventType.VERSION_PROMOTED: _promoted,
    EventType.ROLLOUT_ROLLED_BACK: _rolled_back,
    EventType.STANDBY_RELEASED: _rerouted,
    EventType.ROUTE_RENEWED: _rerouted,
    EventType.ENDPOINT_CLOSED: _endpoint_closed,
    EventType.MODEL_RETIRED: _retired,
    EventType.INCIDENT_OPENED: _incident_changed,
    EventType.INCIDENT_UPDATED: _incident_changed,
    EventType.INCIDENT_ACKNOWLEDGED: _incident_changed,
    EventType.INCIDENT_RESOLVED: _incident_changed,
}
STATE_EVENTS = tuple(_CHANGES)
APPROVAL_EVENTS = (EventType.APPROVAL_REQUESTED, EventType.APPROVAL_ANSWERED, EventType.GLASS_BROKEN)
