"""Every event the ledger may hold, in one place: past tense, with what its body says.

Adding an event means adding it here; `EventDraft` refuses a type that is not listed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from steward.types import JsonObject, to_json

if TYPE_CHECKING:
    from steward.ledger.checkpoint import Checkpoint
    from steward.ledger.verify import Verification


ALL_MODELS = "*"
"""Stands for the model in events and evidence about the whole portfolio; no id can be it."""


class EventType(StrEnum):
    SNAPSHOT_TAKEN = "snapshot.taken"
    DATA_VALIDATED = "data.validated"
    MODEL_TRAINED = "model.trained"
    MODEL_EVALUATED = "model.evaluated"
    VERSION_REGISTERED = "version.registered"
    VERSION_REJECTED = "version.rejected"
    VERSION_PROMOTED = "version.promoted"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_ANSWERED = "approval.answered"
    APPROVAL_REFUSED = "approval.refused"
    APPROVAL_CLOSED = "approval.closed"
    ROLLOUT_STARTED = "rollout.started"
    ROLLOUT_ADVANCED = "rollout.advanced"
    ROLLOUT_WATCHED = "rollout.watched"
    ROLLOUT_ANALYSED = "rollout.analysed"
    ROLLOUT_ROLLED_BACK = "rollout.rolled_back"
    WINDOW_JUDGED = "window.judged"
    REPORT_MADE = "report.made"
    INCIDENT_OPENED = "incident.opened"
    INCIDENT_UPDATED = "incident.updated"
    INCIDENT_ACKNOWLEDGED = "incident.acknowledged"
    INCIDENT_RESOLVED = "incident.resolved"
    RETRAINING_REQUESTED = "retraining.requested"
    RETRAINING_DECLINED = "retraining.declined"
    RETRAINING_ADMITTED = "retraining.admitted"
    RETRAINING_ALLOWED = "retraining.allowed"
    SERVER_FELL_BACK = "server.fell_back"
    RUN_CLOSED = "run.closed"
    ALIAS_REASSERTED = "alias.reasserted"
    STAGE_ENTERED = "stage.entered"
    DOCUMENT_FILED = "document.filed"
    WAIVER_GRANTED = "waiver.granted"
    WAIVER_REVOKED = "waiver.revoked"
    APPROVAL_VOIDED = "approval.voided"
    RELEASE_REFUSED = "release.refused"
    GLASS_BROKEN = "glass.broken"
    MODEL_REVIEWED = "model.reviewed"
    INVENTORY_AUDITED = "inventory.audited"
    VERSION_REPRODUCED = "version.reproduced"
    RETIREMENT_STARTED = "retirement.started"
    RETIREMENT_CALLED_OFF = "retirement.called_off"
    CONSUMER_CONFIRMED = "consumer.confirmed"
    ENDPOINT_CLOSED = "endpoint.closed"
    MODEL_ARCHIVED = "model.archived"
    MODEL_RETIRED = "model.retired"
    STANDBY_RELEASED = "standby.released"
    ROLLBACK_PROVED = "rollback.proved"
    ROUTE_RENEWED = "route.renewed"
    ROLLBACK_REHEARSED = "rollback.rehearsed"
    WINDOW_SCORED = "window.scored"
    LOG_MAINTAINED = "log.maintained"
    SUBJECT_FORGOTTEN = "subject.forgotten"


MEANING: dict[EventType, str] = {
    EventType.SNAPSHOT_TAKEN: "A run began: its data window was frozen as a snapshot (table, version, digest).",
    EventType.DATA_VALIDATED: "A snapshot, or a window to be scored, was judged against the data contract: verdict.",
    EventType.MODEL_TRAINED: "A candidate was fitted: run, artefact digest, seed, code commit, CPU seconds.",
    EventType.MODEL_EVALUATED: "A candidate was judged on the hold-out: verdict, reasons.",
    EventType.VERSION_REGISTERED: "A candidate that may proceed became a version (challenger); body: waivers it took.",
    EventType.VERSION_REJECTED: "A version will not serve: its gates, an approver or its rollout said no.",
    EventType.VERSION_PROMOTED: "A version answers all traffic as the champion; body names the one it replaced.",
    EventType.APPROVAL_REQUESTED: "People were asked; body holds the policy, the evidence and the expiry.",
    EventType.APPROVAL_ANSWERED: "A person allowed to answer said yes or no, with a reason.",
    EventType.APPROVAL_REFUSED: "An answer did not count: wrong person, evidence or time.",
    EventType.APPROVAL_CLOSED: "The request ended: approved, rejected or expired.",
    EventType.ROLLOUT_STARTED: "A version passed its smoke rows and may take traffic; body names the champion before.",
    EventType.ROLLOUT_ADVANCED: "The share of traffic changed.",
    EventType.ROLLOUT_WATCHED: "A look at a step saw a finding change, and no verdict yet: findings, counts.",
    EventType.ROLLOUT_ANALYSED: "A step was judged on live answers: verdict, counts.",
    EventType.ROLLOUT_ROLLED_BACK: "Traffic went back to the recorded champion; body holds why and the seconds.",
    EventType.WINDOW_JUDGED: "A served window was judged against the version's profile: verdict, failed checks.",
    EventType.REPORT_MADE: "A report for people was written.",
    EventType.INCIDENT_OPENED: "A trouble was found; body: cause, severity, first bad window; `told` if by a letter.",
    EventType.INCIDENT_UPDATED: "Seen again, or a window passed, or worse: then `rose_from` is the severity before.",
    EventType.INCIDENT_ACKNOWLEDGED: "A person took the incident on; the reason is their note.",
    EventType.INCIDENT_RESOLVED: "Enough windows passed, the version no longer serves, or a person says it is over.",
    EventType.RETRAINING_REQUESTED: "The controller asked for retraining; body has every trigger and safeguard.",
    EventType.RETRAINING_DECLINED: "No retraining, or a training run was not let in; body has all that was looked at.",
    EventType.RETRAINING_ADMITTED: "A training run may go on: who or what began it, and the request it answers.",
    EventType.RETRAINING_ALLOWED: "A person let retraining go on after candidates were refused; their reason.",
    EventType.SERVER_FELL_BACK: "A server could not load the champion and answers with the last good version.",
    EventType.RUN_CLOSED: "A training run ended; body says how. One that was given up is closed as abandoned.",
    EventType.ALIAS_REASSERTED: "A registry alias differed from the ledger and was set back.",
    EventType.STAGE_ENTERED: "A model entered a stage of its life; body names stage, criteria and artefacts.",
    EventType.DOCUMENT_FILED: "A document was bound to a model or a version; body names its kind and digest.",
    EventType.WAIVER_GRANTED: "A gate's no was set aside, until a date, by a person whom the policy allows to.",
    EventType.WAIVER_REVOKED: "A waiver ended before its date.",
    EventType.APPROVAL_VOIDED: "New evidence came after answers were given: they no longer count.",
    EventType.RELEASE_REFUSED: "A step towards release was refused; body names the step and all that is missing.",
    EventType.GLASS_BROKEN: "A version may be released without the approvals it needs; a review is due.",
    EventType.MODEL_REVIEWED: "A person looked at the model as a whole and confirmed it; body has the next date.",
    EventType.INVENTORY_AUDITED: "Specs, registry, servers and callers were compared; body counts the findings.",
    EventType.VERSION_REPRODUCED: "A version was trained again from its record: verdict, differences.",
    EventType.RETIREMENT_STARTED: "A model is to be retired; body names its consumers, replacement, and quiet time.",
    EventType.RETIREMENT_CALLED_OFF: "A model that was to be retired stays; only until its endpoint is closed.",
    EventType.CONSUMER_CONFIRMED: "A consumer no longer needs the model, or has a replacement.",
    EventType.ENDPOINT_CLOSED: "A model without traffic was taken off its endpoint for good; body has its replacement.",
    EventType.MODEL_ARCHIVED: "Artefacts and data were archived; body holds the manifest and until when it is kept.",
    EventType.STANDBY_RELEASED: "The rollback window is over: servers no longer hold the champion of before.",
    EventType.ROLLBACK_PROVED: "After a rollback every server was asked: which version answers, and how; verdict.",
    EventType.ROUTE_RENEWED: "The same route was set again under a newer epoch, for a rehearsal; nothing else changed.",
    EventType.ROLLBACK_REHEARSED: "A way back was tried without need: verdict, seconds, what each server answered.",
    EventType.WINDOW_SCORED: "The champion scored a window of the source into the prediction table: rows, digest.",
    EventType.LOG_MAINTAINED: "The prediction log was folded, compacted and cut to its retention; body counts rows.",
    EventType.SUBJECT_FORGOTTEN: "The predictions about a person were erased; body has a keyed hash and counts.",
    EventType.MODEL_RETIRED: "The tombstone: nothing of this model may be trained, released or served again.",
}


@dataclass(frozen=True)
class EventDraft:
    """What an action says happened. The ledger adds sequence, time and hashes."""

    type: EventType
    model: str
    actor: str
    reason: str
    version: int | None = None
    evidence: str | None = None
    body: JsonObject = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", EventType(self.type))
        object.__setattr__(self, "body", to_json(self.body))


@dataclass(frozen=True)
class AuditEvent:
    """One link of the chain. `at` is business time, `recorded_at` the wall clock; both aware UTC."""

    seq: int
    at: datetime
    recorded_at: datetime
    type: EventType
    model: str
    actor: str
    reason: str
    version: int | None
    evidence: str | None
    body: JsonObject
    previous_hash: str
    hash: str


@runtime_checkable
class EventLog(Protocol):
    """The append-only log inside a transaction."""

    def append(self, draft: EventDraft) -> AuditEvent: ...

    def read(
        self,
        *,
        model: str | None = None,
        types: Sequence[EventType] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        after_seq: int = 0,
        limit: int | None = None,
    ) -> list[AuditEvent]:
        """Ascending by sequence; `since <= at <= until`. With `limit`, the *last* `limit` of them."""
        ...

    def newest(self, types: Sequence[EventType], models: Collection[str] | None = None) -> list[AuditEvent]:
        """Of each of these types the newest about each model (of `models`, if given), ascending by sequence."""
        ...

    def models(self) -> set[str]:
        """Every model that any event is about."""
        ...

    def verify(self, checkpoints: Sequence[Checkpoint] = ()) -> Verification:
        """Read the whole chain and check every link, and every checkpoint against it."""
        ...

    def checkpoint(self) -> Checkpoint:
        """The head of the chain, signed, to be kept outside the database. Raises NotFoundError when empty."""
        ...
