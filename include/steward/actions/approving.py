"""Asking people, and deciding whether an answer counts."""

from __future__ import annotations

import uuid
from typing import Any

from steward.actions.effects import want_aliases
from steward.actions.operation import Operation, person
from steward.actions.stages import enter_stage
from steward.actions.state import Services, Transaction
from steward.approval import Answer, ApprovalRequest, RequestState
from steward.approval.policy import judge_answer, judge_request, requirement
from steward.errors import PolicyError
from steward.gates import Outcome
from steward.ledger import EventDraft, EventType
from steward.registry import ModelVersion, State
from steward.reporting.approval_page import approval_page
from steward.spec import ModelSpec
from steward.types import JsonObject, Stage, VersionRef, format_instant


def request_approval(
    services: Services, spec: ModelSpec, *, run: str, actor: str, version: int, door: JsonObject | None = None
) -> JsonObject:
    """Open a request bound to the evaluation's digest. `needed` is False where the tier asks nobody."""
    op = Operation.begin(services, "request_approval", spec.model, run, actor, version=version)
    wanted = requirement(services.policy(), spec)
    if wanted.quorum == 0:
        return {
            "request": None,
            "needed": False,
            "subject": "",
            "body": "",
            "expires_at": None,
            "evidence": None,
        }
    now = services.clock.now()

    def write(tx: Transaction) -> JsonObject:
        candidate = tx.versions.get(VersionRef(spec.model, version))
        if candidate.state is not State.CHALLENGER:
            raise PolicyError(f"{candidate.ref} is {candidate.state}: only a challenger can be approved")
        enter_stage(services, spec, tx, op, Stage.VALIDATION, version)
        request = tx.approvals.open(
            ApprovalRequest(
                id=uuid.uuid4().hex,
                model=spec.model,
                version=version,
                evidence=candidate.evidence["evaluation"],
                author=person(candidate.author),
                requester=person(actor),
                owner=spec.owner.user,
                policy=wanted.to_json(),
                requested_at=now,
                expires_at=now + wanted.expires_after,
                door=door,
            )
        )
        subject, body = _page(tx, spec, candidate, request)
        tx.events.append(
            op.event(
                EventType.APPROVAL_REQUESTED,
                subject,
                version=version,
                evidence=request.evidence,
                request=request.id,
                policy=request.policy,
                expires_at=request.expires_at,
                author=request.author,
            )
        )
        return {
            "request": request.id,
            "needed": True,
            "subject": subject,
            "body": body,
            "expires_at": format_instant(request.expires_at),
            "evidence": request.evidence,
        }

    return op.commit(write)


def _page(tx: Transaction, spec: ModelSpec, candidate: ModelVersion, request: ApprovalRequest) -> tuple[str, str]:
    record = tx.evidence.get(candidate.evidence["training"]).body["record"]
    training = {
        "rows": record["rows"],
        "window": str(candidate.training_window),
        "commit": record["code_commit"],
    }
    asked = {
        "author": request.author,
        "evidence": request.evidence,
        "expires_at": format_instant(request.expires_at),
    }
    return approval_page(spec, str(candidate.ref), tx.evidence.get(request.evidence), asked, training)


def answer_approval(
    services: Services, *, request: str, by: str, approved: bool, reason: str, evidence: str, via: str
) -> JsonObject:
    """Judge one person's answer against the policy; a counted one is stored, a refused one recorded as such."""
    with services.database.begin() as tx:
        asked = tx.approvals.get(request)
        answer = Answer(request, by, approved, reason, evidence, services.clock.now(), via)
        finding = judge_answer(asked, answer, services.policy(), answer.at)
        if finding.outcome is not Outcome.PASSED:
            tx.events.append(_answer_event(EventType.APPROVAL_REFUSED, asked, answer, finding.reason))
            return {"state": asked.state.value, "counted": False, "message": finding.reason}
        tx.approvals.record(answer)
        said = f"{'approved' if approved else 'rejected'} by {by}: {reason}"
        verdict = judge_request(asked, tx.approvals.answers(request), services.policy(), answer.at)
        state = verdict.state
        if state is not RequestState.OPEN:
            _close(tx, asked, state)
        tx.events.append(_answer_event(EventType.APPROVAL_ANSWERED, asked, answer, said, state=state.value))
        return {"state": state.value, "counted": True, "message": said}


def _answer_event(kind: EventType, asked: ApprovalRequest, answer: Answer, said: str, **more: Any) -> EventDraft:
    body = {
        "request": asked.id,
        "approved": answer.approved,
        "reason": answer.reason,
        "via": answer.via,
        **more,
    }
    return EventDraft(kind, asked.model, f"person:{answer.by}", said, asked.version, answer.evidence, body)


def _close(tx: Transaction, asked: ApprovalRequest, state: RequestState) -> None:
    tx.approvals.close(asked.id, state)
    if state is not RequestState.APPROVED:
        tx.versions.move(VersionRef(asked.model, asked.version), State.CHALLENGER, State.REJECTED)
        want_aliases(tx, asked.model)


def expire_approval(services: Services, *, request: str, actor: str) -> JsonObject:
    """No answer in time is a no. Harmless when the request has ended already."""
    with services.database.begin() as tx:
        asked = tx.approvals.get(request)
        if asked.state is not RequestState.OPEN:
            return {"state": asked.state.value}
        _close(tx, asked, RequestState.EXPIRED)
        said = "nobody answered in time: rejected"
        tx.events.append(
            EventDraft(
                EventType.APPROVAL_CLOSED,
                asked.model,
                actor,
                said,
                asked.version,
                asked.evidence,
                {"request": asked.id, "state": "expired"},
            )
        )
        return {"state": RequestState.EXPIRED.value}


def require_approval(services: Services, spec: ModelSpec, tx: Transaction, candidate: ModelVersion) -> str | None:
    """The id of the approval this version may be released on; None where the tier asks nobody.

    Reads the ledger's own tables: a task state, an XCom or an alias proves nothing. Raises PolicyError.
    """
    if requirement(services.policy(), spec).quorum == 0:
        return None
    for request in tx.approvals.find(spec.model, candidate.number, RequestState.APPROVED):
        if request.evidence == candidate.evidence["evaluation"] and request.expires_at > services.clock.now():
            return request.id
    raise PolicyError(
        f"{candidate.ref} has no valid approval",
        where=f"{spec.model}, tier {spec.risk_tier}",
        hint="an approval must be given by a person the policy allows, on this evidence, and not have expired",
    )
