"""What the record says about how a model is governed: its stage, documents, waivers, reviews and tombstone.

Views of audit events and nothing else, so each can be asked for any past moment. `events` are those of one model (and
of the types it reads, at least), ascending.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Self

from steward.ledger.events import AuditEvent, EventType
from steward.types import JsonObject, Stage, parse_instant, to_json

STAGE_EVENTS = (EventType.STAGE_ENTERED,)
DOCUMENT_EVENTS = (EventType.DOCUMENT_FILED,)
WAIVER_EVENTS = (EventType.WAIVER_GRANTED, EventType.WAIVER_REVOKED)
REVIEW_EVENTS = (EventType.VERSION_PROMOTED, EventType.MODEL_REVIEWED, EventType.GLASS_BROKEN)
TOMBSTONE_EVENTS = (EventType.MODEL_RETIRED,)
GOVERNANCE_EVENTS = STAGE_EVENTS + DOCUMENT_EVENTS + WAIVER_EVENTS + REVIEW_EVENTS + TOMBSTONE_EVENTS


@dataclass(frozen=True)
class EnteredStage:
    """`artefacts` maps each criterion that was met to what met it: a digest, a person, a sequence number."""

    model: str
    stage: Stage
    at: datetime
    by: str
    version: int | None
    artefacts: JsonObject

    def to_json(self) -> JsonObject:
        return to_json(vars(self))


@dataclass(frozen=True)
class FiledDocument:
    """`digest` is of the evidence that holds the text. `version` None: it is about the model as a whole."""

    model: str
    version: int | None
    kind: str
    title: str
    digest: str
    by: str
    at: datetime

    def to_json(self) -> JsonObject:
        return to_json(vars(self))

    @classmethod
    def of(cls, event: AuditEvent) -> Self:
        body, digest = event.body, event.evidence or ""
        return cls(event.model, event.version, body["kind"], body["title"], digest, person_of(event.actor), event.at)


@dataclass(frozen=True)
class Waiver:
    """Sets aside what one gate says of one slice, until `expires_at`. `gate` may end in `*`.

    `version` None: of every version; `slice` None: of every slice. `role` is what entitled `by` to sign.
    """

    id: str
    model: str
    version: int | None
    gate: str
    slice: str | None
    reason: str
    by: str
    role: str
    granted_at: datetime
    expires_at: datetime

    def is_live(self, at: datetime) -> bool:
        return self.granted_at <= at < self.expires_at

    def covers(self, gate: str, slice_: str, version: int | None) -> bool:
        return fnmatchcase(gate, self.gate) and self.slice in (None, slice_) and (self.version in (None, version))

    def to_json(self) -> JsonObject:
        return to_json(vars(self))

    @classmethod
    def of(cls, event: AuditEvent) -> Self:
        body = event.body
        return cls(
            id=body["waiver"],
            model=event.model,
            version=event.version,
            gate=body["gate"],
            slice=body.get("slice"),
            reason=event.reason,
            by=person_of(event.actor),
            role=body["role"],
            granted_at=event.at,
            expires_at=parse_instant(body["expires_at"]),
        )


@dataclass(frozen=True)
class Tombstone:
    """A retired model. `archive` locates what is kept until `keep_until`."""

    model: str
    at: datetime
    by: str
    reason: str
    keep_until: datetime
    archive: str

    def to_json(self) -> JsonObject:
        return to_json(vars(self))


def person_of(actor: str) -> str:
    """`airflow:dana`, `person:dana` → `dana`."""
    return actor.rpartition(":")[2]


def stage_of(events: Iterable[AuditEvent]) -> EnteredStage | None:
    """The furthest stage entered; None before the first."""
    entered = stages_of(events)
    return entered[-1] if entered else None


def stages_of(events: Iterable[AuditEvent]) -> list[EnteredStage]:
    """Every stage entered, in order."""
    return [
        EnteredStage(e.model, Stage(e.body["stage"]), e.at, e.actor, e.version, e.body.get("artefacts", {}))
        for e in events
        if e.type is EventType.STAGE_ENTERED
    ]


def documents_of(events: Iterable[AuditEvent], version: int | None = None) -> dict[str, FiledDocument]:
    """The newest document of each kind: those of the version before those of the model as a whole.

    Without a version, those of the model as a whole.
    """
    filed = [FiledDocument.of(e) for e in events if e.type is EventType.DOCUMENT_FILED]
    general = {document.kind: document for document in filed if document.version is None}
    own = {document.kind: document for document in filed if version is not None and document.version == version}
    return {**general, **own}


def live_waivers(events: Iterable[AuditEvent], at: datetime) -> list[Waiver]:
    """Granted, neither revoked nor expired at `at`."""
    known = [event for event in events if event.at <= at]
    revoked = {e.body["waiver"] for e in known if e.type is EventType.WAIVER_REVOKED}
    granted = [Waiver.of(e) for e in known if e.type is EventType.WAIVER_GRANTED]
    return [waiver for waiver in granted if waiver.id not in revoked and waiver.is_live(at)]


def last_review(events: Sequence[AuditEvent]) -> AuditEvent | None:
    return next((e for e in reversed(events) if e.type is EventType.MODEL_REVIEWED), None)


def next_review(events: Iterable[AuditEvent], review_after: timedelta | None) -> datetime | None:
    """When somebody must look at the model next; None while there is nothing to look at.

    The last review says so; before the first, `review_after` counts from the first release (None: its spec cannot be
    read). Broken glass asks sooner.
    """
    due: datetime | None = None
    for event in events:
        if event.type is EventType.VERSION_PROMOTED and due is None and review_after is not None:
            due = event.at + review_after
        elif event.type is EventType.MODEL_REVIEWED:
            due = parse_instant(event.body["next_review_at"])
        elif event.type is EventType.GLASS_BROKEN:
            asked = parse_instant(event.body["review_by"])
            due = min(due, asked) if due else asked
    return due


def tombstone_of(events: Iterable[AuditEvent]) -> Tombstone | None:
    """None while the model lives."""
    for event in events:
        if event.type is EventType.MODEL_RETIRED:
            keep_until = parse_instant(event.body["keep_until"])
            return Tombstone(event.model, event.at, event.actor, event.reason, keep_until, event.body["archive"])
    return None
