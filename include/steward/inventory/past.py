"""The facts of a past moment, told by the ledger alone.

A version's registration holds the spec it was made under, so the spec of then is known from the first version on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError

from steward.inventory.record import RECORD_EVENTS, ModelFacts
from steward.ledger import AuditEvent, EventType
from steward.ledger.history import provenance
from steward.ledger.replay import CHAMPION, RecordedState, replay
from steward.spec import ModelSpec
from steward.types import Window

PAST_EVENTS = (
    *RECORD_EVENTS,
    EventType.SNAPSHOT_TAKEN,
    EventType.MODEL_TRAINED,
    EventType.VERSION_REGISTERED,
    EventType.VERSION_REJECTED,
    EventType.WINDOW_JUDGED,
    EventType.INCIDENT_OPENED,
    EventType.INCIDENT_UPDATED,
    EventType.INCIDENT_RESOLVED,
)
REGISTRATIONS = (EventType.VERSION_REGISTERED, EventType.VERSION_REJECTED)


@dataclass(frozen=True)
class PastVersion:
    model: str
    number: int
    state: str
    artefact_digest: str
    evidence: dict[str, str]


@dataclass(frozen=True)
class PastWindow:
    version: int
    window: Window
    outcome: str
    judged_at: datetime


@dataclass(frozen=True)
class PastIncident:
    id: str
    version: int
    cause: str
    severity: str
    opened_at: datetime


def past_facts(events: Iterable[AuditEvent]) -> list[ModelFacts]:
    """`events`: of PAST_EVENTS at least, of every model, ascending, up to the moment that is asked about."""
    by_model: dict[str, list[AuditEvent]] = {}
    for event in events:
        by_model.setdefault(event.model, []).append(event)
    return [_facts(model, own) for model, own in sorted(by_model.items())]


def _facts(model: str, events: list[AuditEvent]) -> ModelFacts:
    recorded = replay(events).get(model, RecordedState(model))
    versions = [_version(model, events, number, state) for number, state in sorted(recorded.versions.items())]
    champion = next((version.number for version in versions if version.state == CHAMPION), None)
    return ModelFacts(
        model=model,
        spec=recorded_spec(events, champion),
        events=events,
        versions=versions,
        judged=_windows(events),
        incidents=_incidents(events),
        data=provenance(events, champion).data if champion else None,
        past=True,
    )


def _version(model: str, events: Sequence[AuditEvent], number: int, state: str) -> PastVersion:
    made = provenance(events, number)
    return PastVersion(model, number, state, made.artefact or "", made.evidence)


def recorded_spec(events: Sequence[AuditEvent], champion: int | None) -> ModelSpec | None:
    """Of the champion; without one, of the version registered last."""
    born = [event for event in events if event.type in REGISTRATIONS and event.body.get("spec")]
    own = [event for event in born if event.version == champion] or born
    if not own:
        return None
    try:
        return ModelSpec.model_validate(own[-1].body["spec"])
    except ValidationError:  # it was sound by the rules of its day
        return None


def _windows(events: Iterable[AuditEvent]) -> list[PastWindow]:
    newest: dict[int, PastWindow] = {}
    for event in events:
        if event.type is EventType.WINDOW_JUDGED and event.version is not None:
            body = event.body
            newest[event.version] = PastWindow(
                event.version, Window.from_json(body["window"]), body["outcome"], event.at
            )
    return list(newest.values())


def _incidents(events: Iterable[AuditEvent]) -> list[PastIncident]:
    open_: dict[str, PastIncident] = {}
    for event in events:
        body = event.body
        if event.type is EventType.INCIDENT_OPENED:
            version = event.version or 0
            open_[body["incident"]] = PastIncident(body["incident"], version, body["cause"], body["severity"], event.at)
        elif event.type is EventType.INCIDENT_UPDATED and (known := open_.get(body["incident"])):
            open_[known.id] = replace(known, severity=body["severity"])
        elif event.type is EventType.INCIDENT_RESOLVED:
            open_.pop(body["incident"], None)
    return list(open_.values())
