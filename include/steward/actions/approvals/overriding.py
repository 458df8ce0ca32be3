"""Breaking the glass: a release without the approvals it needs, and the review that must follow."""

from __future__ import annotations

import uuid
from datetime import datetime

from steward.actions.approvals.approving import open_request, valid_approval
from steward.actions.approvals.dossiers import rebind_open_requests
from steward.actions.approvals.waiving import said_why
from steward.actions.effects import want_notice
from steward.actions.incidents.changing import resolve_incident, save_incident
from steward.actions.operation import Operation, person
from steward.actions.state import Services, Transaction
from steward.approval import ApprovalRequest, RequestState
from steward.approval.entitlement import why_not_break_glass, why_not_review
from steward.approval.policy import Policy
from steward.errors import PolicyError
from steward.gates import Outcome
from steward.ledger import AuditEvent, EventType
from steward.monitoring.windows import Incident, IncidentState
from steward.registry import ModelVersion, State
from steward.spec import ModelSpec
from steward.types import JsonObject, VersionRef, Window, format_instant, parse_instant

REVIEW_DUE = "review_due"  # cause of the incident that waits for the review
SHORTEST_REASON = 20


def break_glass(services: Services, *, model: str, version: int, by: str, via: str, reason: str) -> JsonObject:
    """Release without the quorum, or in a freeze: nothing else is set aside, and somebody else must review it soon.

    Gates, artefact digest, documents, smoke rows and canary stay. Raises PolicyError when this person may not.
    """
    said = said_why(reason, SHORTEST_REASON)
    op = Operation.begin(services, "break_glass", model, None, f"person:{by}", version=version)

    def write(tx: Transaction) -> JsonObject:
        now, policy, spec = services.clock.now(), services.policy(), services.specs.get(model)
        candidate = tx.versions.get(VersionRef(model, version))
        request = _request(services, spec, tx, candidate, op.actor)
        if refusal := _why_not_break(tx, policy, candidate, request, by, now):
            where, hint = f"break-glass for {candidate.ref}", f"see `steward policy who {model}`"
            raise PolicyError(refusal, where=where, hint=hint)
        if known := _broken(tx, candidate, request.id):
            return {"request": request.id, "version": version, "review_by": known[-1].body["review_by"]}
        assert policy.break_glass is not None
        review_by = now + policy.break_glass.review_within
        if request.state is RequestState.OPEN:
            tx.approvals.close(request.id, RequestState.APPROVED)
        tx.events.append(
            op.event(
                EventType.GLASS_BROKEN,
                said,
                version=version,
                evidence=request.evidence,
                request=request.id,
                role=min(policy.roles_of(by, now.date()) & set(policy.break_glass.roles)),
                review_by=review_by,
                via=via,
            )
        )
        _ask_for_review(tx, op, request, review_by, now)
        _tell_reviewers(tx, policy, spec, candidate, f"{by} broke the glass: {said}", review_by)
        return {"request": request.id, "version": version, "review_by": format_instant(review_by)}

    return op.commit(write)


def _request(
    services: Services, spec: ModelSpec, tx: Transaction, candidate: ModelVersion, actor: str
) -> ApprovalRequest:
    """The request the override closes: the one that waits, one approved already (for a freeze), or a new one."""
    rebind_open_requests(services, tx, spec.model, "the evidence changed", actor)
    if waiting := tx.approvals.find(spec.model, candidate.number, RequestState.OPEN):
        return waiting[-1]
    if approved := valid_approval(services, spec, tx, candidate):
        return tx.approvals.get(approved)
    return open_request(services, spec, tx, candidate, person(candidate.author))


def _why_not_break(
    tx: Transaction, policy: Policy, candidate: ModelVersion, request: ApprovalRequest, by: str, now: datetime
) -> str | None:
    if reason := why_not_break_glass(policy, request, by, now):
        return reason
    if candidate.state is not State.CHALLENGER:
        return f"{candidate.ref} is {candidate.state}: only a challenger can be released"
    if tx.evidence.get(candidate.evidence["evaluation"]).verdict.outcome is Outcome.FAILED:
        return f"the gates of {candidate.ref} failed: breaking the glass never releases what its gates refused"
    return overdue_review(tx, candidate.model, now)


def _ask_for_review(tx: Transaction, op: Operation, request: ApprovalRequest, by: datetime, now: datetime) -> None:
    """One review per version, by the first date that was set."""
    if any(each.version == request.version for each in _due(tx, request.model)):
        return
    incident = Incident(
        id=uuid.uuid4().hex,
        model=request.model,
        version=request.version,
        cause=REVIEW_DUE,
        severity="high",
        state=IncidentState.OPEN,
        first_bad=Window(now, by),
        opened_at=now,
        updated_at=now,
        windows=1,
        evidence=request.evidence,
        detail={"review_by": format_instant(by), "by": person(op.actor)},
    )
    said = f"{REVIEW_DUE}: {person(op.actor)} broke the glass; to be reviewed by {by:%Y-%m-%d %H:%M} UTC"
    save_incident(tx, EventType.INCIDENT_OPENED, incident, op.actor, said, op.run, told=False)


def _tell_reviewers(
    tx: Transaction, policy: Policy, spec: ModelSpec, candidate: ModelVersion, said: str, by: datetime
) -> None:
    """The owner, and everybody who may review and has an address."""
    able = [name for name in policy.people if why_not_review(policy, spec.owner.user, name, by) is None]
    known = [policy.people[name].email for name in sorted(able)]
    asked = f"{said}\n\nTo be reviewed by {by:%Y-%m-%d %H:%M} UTC: steward review {spec.model} --reason …"
    to = dict.fromkeys([spec.owner.email, *(each for each in known if each)])
    want_notice(tx, list(to), f"{candidate.ref} may be released without the approvals it needs", asked, severity="high")


def _due(tx: Transaction, model: str) -> list[Incident]:
    return [incident for incident in tx.incidents.unresolved(model) if incident.cause == REVIEW_DUE]


def overdue_review(tx: Transaction, model: str, now: datetime) -> str | None:
    """Why nothing of this model may be released before somebody looked at what the last broken glass let through."""
    for incident in _due(tx, model):
        by = parse_instant((incident.detail or {})["review_by"])
        if now >= by:
            return f"{model}@{incident.version} was released by breaking the glass; its review was due {by:%Y-%m-%d}"
    return None


def glass_broken(tx: Transaction, candidate: ModelVersion, request: str | None) -> bool:
    """Whether this version may start in a freeze: the glass was broken on the approval it goes out on."""
    return bool(_broken(tx, candidate, request))


def _broken(tx: Transaction, candidate: ModelVersion, request: str | None) -> list[AuditEvent]:
    broken = tx.events.read(model=candidate.model, types=[EventType.GLASS_BROKEN])
    return [e for e in broken if e.version == candidate.number and request in (None, e.body["request"])]


def review_model(services: Services, *, model: str, by: str, via: str, reason: str) -> JsonObject:
    """A person who may approve looked at the model as a whole and confirms it; reviews that were due are done.

    Neither the owner reviews, nor who broke the glass. Raises PolicyError.
    """
    said = said_why(reason)
    op = Operation.begin(services, "review_model", model, None, f"person:{by}")

    def write(tx: Transaction) -> JsonObject:
        now, due, spec = services.clock.now(), _due(tx, model), services.specs.get(model)
        if refusal := _why_not_review(services.policy(), spec, due, by, now):
            raise PolicyError(refusal, where=f"review of {model}", hint=f"see `steward policy who {model}`")
        champion, next_at = tx.versions.champion(model), now + spec.retirement.review_after
        resolved = [_reviewed(tx, op, incident, now) for incident in due]
        tx.events.append(
            op.event(
                EventType.MODEL_REVIEWED,
                said,
                version=champion.number if champion else None,
                next_review_at=next_at,
                reviews=resolved,
                via=via,
            )
        )
        return {"next_review_at": format_instant(next_at), "resolved": resolved}

    return op.commit(write)


def _why_not_review(policy: Policy, spec: ModelSpec, due: list[Incident], by: str, now: datetime) -> str | None:
    if reason := why_not_review(policy, spec.owner.user, by, now):
        return reason
    if any((incident.detail or {}).get("by") == by for incident in due):
        return f"{by} broke the glass: somebody else must review it"
    return None


def _reviewed(tx: Transaction, op: Operation, incident: Incident, now: datetime) -> str:
    return resolve_incident(tx, incident, op.actor, f"reviewed by {person(op.actor)}", now, op.run).id
