"""What served at a past moment, who approved it and on what: pure views of the events.

Beside the events' own fields these keys of their bodies are read: `to` of `rollout.rolled_back` (who serves
from then on, or null), `approval` of `version.promoted`, `request`, `approved`, `reason` and `via` of
`approval.answered`, `validation`, `training` and `evaluation` of `version.registered`, `snapshot` of
`snapshot.taken`, `code_commit` and `artefact` of `model.trained`, and `run` of those three. What was not
recorded is None here, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from steward.ledger.events import AuditEvent, EventType
from steward.ledger.governance import person_of
from steward.types import JsonObject, to_json

# All that `serving_at` and `provenance` read: a model has few of them among its many judged windows and steps.
SERVING_EVENTS = (
    EventType.VERSION_PROMOTED,
    EventType.ROLLOUT_ROLLED_BACK,
    EventType.ENDPOINT_CLOSED,
    EventType.APPROVAL_ANSWERED,
    EventType.VERSION_REGISTERED,
    EventType.MODEL_TRAINED,
    EventType.SNAPSHOT_TAKEN,
)


@dataclass(frozen=True)
class GivenAnswer:
    """One person's answer to a request for approval, as it was counted."""

    by: str
    approved: bool
    reason: str
    at: datetime
    evidence: str | None
    request: str | None
    via: str | None


@dataclass(frozen=True)
class Period:
    """`version` answered what no canary took, in `[since, until)`; with version None, nothing served."""

    model: str
    version: int | None
    since: datetime
    until: datetime | None
    event: AuditEvent


@dataclass(frozen=True)
class Provenance:
    """What a version was made from. `evidence` maps a kind (snapshot, training, …) to a digest."""

    evidence: dict[str, str]
    data: JsonObject | None  # the snapshot: table, version, digest of rows, window
    trained_by: str | None
    trained_at: datetime | None
    code_commit: str | None
    artefact: str | None


@dataclass(frozen=True)
class Serving:
    """Who served at a moment, and everything the record says about why."""

    model: str
    version: int
    since: datetime
    until: datetime | None
    put_in_service_by: str
    reason: str
    rolled_back_to: bool
    answers: tuple[GivenAnswer, ...]
    provenance: Provenance

    @property
    def approved_by(self) -> tuple[str, ...]:
        return tuple(answer.by for answer in self.answers if answer.approved)

    def to_json(self) -> JsonObject:
        answers = [vars(answer) for answer in self.answers]
        more = {"approved_by": self.approved_by, "answers": answers, "provenance": vars(self.provenance)}
        return to_json({**vars(self), **more})


@dataclass(frozen=True)
class TimelineRow:
    """One event as a person reads it."""

    seq: int
    at: datetime
    event: str
    version: str | None
    actor: str
    reason: str
    evidence: str | None

    def to_json(self) -> JsonObject:
        return to_json(vars(self))


def serving_periods(events: Iterable[AuditEvent]) -> list[Period]:
    """Every span in which one version answered by default, oldest first. Events of one model, ascending."""
    periods: list[Period] = []
    for event in events:
        changes, version = _change_of_champion(event)
        current = periods[-1].version if periods else None
        if not changes or version == current:
            continue
        if periods:
            periods[-1] = replace(periods[-1], until=event.at)
        periods.append(Period(event.model, version, event.at, None, event))
    return periods


def serving_at(events: Sequence[AuditEvent], at: datetime) -> Serving | None:
    """The version that served at `at`; None when none did. Approvals given later are not told.

    `events`: those of one model, ascending; SERVING_EVENTS at least.
    """
    period = next((p for p in reversed(serving_periods(events)) if p.since <= at), None)
    if period is None or period.version is None:
        return None
    known = [event for event in events if event.at <= at]
    return Serving(
        model=period.model,
        version=period.version,
        since=period.since,
        until=period.until,
        put_in_service_by=period.event.actor,
        reason=period.event.reason,
        rolled_back_to=period.event.type is EventType.ROLLOUT_ROLLED_BACK,
        answers=_answers(known, period.version),
        provenance=provenance(known, period.version),
    )


def provenance(events: Sequence[AuditEvent], version: int) -> Provenance:
    """Follows a version back through its registration to its training and its data."""
    registered = _last(events, EventType.VERSION_REGISTERED, version=version)
    body = registered.body if registered else {}
    trained = _last(events, EventType.MODEL_TRAINED, evidence=body.get("training")) if registered else None
    taken = _last(events, EventType.SNAPSHOT_TAKEN, run=body.get("run")) if registered else None
    evidence = {kind: body[kind] for kind in ("validation", "training", "evaluation") if body.get(kind)}
    if taken and taken.evidence:
        evidence["snapshot"] = taken.evidence
    return Provenance(
        evidence=evidence,
        data=taken.body.get("snapshot") if taken else None,
        trained_by=trained.actor if trained else None,
        trained_at=trained.at if trained else None,
        code_commit=trained.body.get("code_commit") if trained else None,
        artefact=trained.body.get("artefact") if trained else None,
    )


def timeline(events: Iterable[AuditEvent]) -> list[TimelineRow]:
    return [_row(event) for event in events]


def _row(event: AuditEvent) -> TimelineRow:
    version = None if event.version is None else f"{event.model}@{event.version}"
    return TimelineRow(event.seq, event.at, event.type.value, version, event.actor, event.reason, event.evidence)


def _change_of_champion(event: AuditEvent) -> tuple[bool, int | None]:
    """Whether the event settles who serves by default, and who it is."""
    if event.type is EventType.VERSION_PROMOTED:
        return True, event.version
    if event.type is EventType.ENDPOINT_CLOSED:
        return True, None
    if event.type is EventType.ROLLOUT_ROLLED_BACK and "to" in event.body:
        return True, event.body["to"]
    return False, None


def _last(
    events: Sequence[AuditEvent],
    kind: EventType,
    *,
    version: int | None = None,
    evidence: str | None = None,
    run: str | None = None,
) -> AuditEvent | None:
    """The last event of its kind that matches every criterion given; None without any criterion."""
    if version is None and evidence is None and run is None:
        return None
    for event in reversed(events):
        if (
            event.type is kind
            and version in (None, event.version)
            and evidence in (None, event.evidence)
            and run in (None, event.body.get("run"))
        ):
            return event
    return None


def _answers(events: Sequence[AuditEvent], version: int) -> tuple[GivenAnswer, ...]:
    """Those to the request the promotion went out on; all answers about the version when it names none."""
    promoted = _last(events, EventType.VERSION_PROMOTED, version=version)
    request = promoted.body.get("approval") if promoted else None
    return tuple(
        _answer(event)
        for event in events
        if event.type is EventType.APPROVAL_ANSWERED
        and event.version == version
        and request in (None, event.body.get("request"))
    )


def _answer(event: AuditEvent) -> GivenAnswer:
    return GivenAnswer(
        by=person_of(event.actor),
        approved=event.body.get("approved") is True,
        reason=event.body.get("reason", event.reason),
        at=event.at,
        evidence=event.evidence,
        request=event.body.get("request"),
        via=event.body.get("via"),
    )
