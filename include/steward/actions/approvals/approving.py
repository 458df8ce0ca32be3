"""Asking people, and deciding whether an answer counts."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from steward.actions.approvals.dossiers import changes, dossier_of, rebind_open_requests, waivers_of
from steward.actions.effects import want_aliases
from steward.actions.governance.stages import enter_stage, missing_for
from steward.actions.governance.verifying import require_recorded
from steward.actions.operation import Operation, person
from steward.actions.state import Services, Transaction
from steward.approval import Answer, ApprovalRequest, RequestState
from steward.approval.policy import Requirement, judge_answer, judge_request, requirement, usable_until
from steward.errors import PolicyError
from steward.gates import Outcome
from steward.ledger import EventDraft, EventType, stage_of
from steward.ledger.governance import STAGE_EVENTS
from steward.registry import ModelVersion, State
from steward.reporting.approval_page import approval_page
from steward.spec import ModelSpec
from steward.types import FROM_A_SHELL, JsonObject, RiskTier, Stage, VersionRef, format_instant

__all__ = [
    "answer_approval",
    "asked_about",
    "expire_approval",
    "open_request",
    "rebind_open_requests",
    "request_approval",
    "require_approval",
    "show_request",
    "valid_approval",
]

NOBODY: JsonObject = {
    "request": None,
    "needed": False,
    "subject": "",
    "body": "",
    "expires_at": None,
    "evidence": None,
}
ASK_AGAIN = "clear `request_approval` and what follows it in the version's own run: people are asked anew"


def request_approval(
    services: Services, spec: ModelSpec, *, run: str, actor: str, version: int, door: JsonObject | None = None
) -> JsonObject:
    """Open a request bound to the version's dossier. `needed` is False where the tier asks nobody.

    Asked again after an approval was overtaken (new evidence, or it lapsed), it opens another request. Raises
    PolicyError for what is no challenger, or may not enter the stage of validation yet.
    """
    if requirement(services.policy(), spec).quorum == 0:
        return dict(NOBODY)
    with services.database.begin() as tx:
        found = [each for each in tx.versions.all(spec.model) if each.number == version]
        overtaken = sum(len(_overtaken(services, spec, tx, each)) for each in found)
    op = Operation.begin(services, "request_approval", spec.model, run, actor, version=version).again(overtaken)

    def write(tx: Transaction) -> JsonObject:
        candidate = tx.versions.get(VersionRef(spec.model, version))
        if candidate.state is not State.CHALLENGER:
            raise PolicyError(f"{candidate.ref} is {candidate.state}: only a challenger can be approved")
        enter_stage(services, spec, tx, op, Stage.VALIDATION, version)
        request = open_request(services, spec, tx, candidate, person(actor), door)
        shown = _shown(services, spec, tx, request)
        tx.events.append(
            op.event(
                EventType.APPROVAL_REQUESTED,
                shown["subject"],
                version=version,
                evidence=request.evidence,
                request=request.id,
                policy=request.policy,
                expires_at=request.expires_at,
                author=request.author,
                editor=request.editor,
            )
        )
        return shown

    return op.commit(write)


def open_request(
    services: Services,
    spec: ModelSpec,
    tx: Transaction,
    candidate: ModelVersion,
    requester: str,
    door: JsonObject | None = None,
) -> ApprovalRequest:
    """A new request on the present dossier, with the duties that keep people from answering it. Raises PolicyError
    where nobody could keep them: the author is not known."""
    _require_known_author(spec, candidate)
    now, wanted = services.clock.now(), requirement(services.policy(), spec)
    return tx.approvals.open(
        ApprovalRequest(
            id=uuid.uuid4().hex,
            model=spec.model,
            version=candidate.number,
            evidence=tx.evidence.put(dossier_of(tx, candidate, now)),
            author=person(candidate.author),
            requester=requester,
            owner=spec.owner.user,
            policy=wanted.to_json(),
            requested_at=now,
            expires_at=now + wanted.expires_after,
            door=door,
            editor=tx.evidence.get(candidate.evidence["training"]).body.get("editor"),
        )
    )


def show_request(services: Services, *, request: str, actor: str) -> JsonObject:
    """The page of a request as it is bound now; an open one is first put on what came or ended meanwhile."""
    with services.database.begin() as tx:
        asked = _present(services, tx, request, actor)
        return _shown(services, services.specs.get(asked.model), tx, asked)


def _present(services: Services, tx: Transaction, request: str, actor: str) -> ApprovalRequest:
    """A waiver may have ended without anybody doing anything: the binding follows before it is read.

    From here on nothing is filed, and nobody else answers, until this transaction ends.
    """
    tx.claim()
    asked = tx.approvals.get(request)
    rebind_open_requests(services, tx, asked.model, "the evidence changed", actor)
    return tx.approvals.get(request)


def _shown(services: Services, spec: ModelSpec, tx: Transaction, request: ApprovalRequest) -> JsonObject:
    candidate = tx.versions.get(VersionRef(spec.model, request.version))
    subject, body = _page(services, tx, spec, candidate, request)
    return {
        "request": request.id,
        "needed": True,
        "subject": subject,
        "body": body,
        "expires_at": format_instant(request.expires_at),
        "evidence": request.evidence,
    }


def _page(
    services: Services, tx: Transaction, spec: ModelSpec, candidate: ModelVersion, request: ApprovalRequest
) -> tuple[str, str]:
    asked, training = asked_about(services, tx, spec, candidate, request)
    return approval_page(spec, str(candidate.ref), tx.evidence.get(candidate.evidence["evaluation"]), asked, training)


def asked_about(
    services: Services, tx: Transaction, spec: ModelSpec, candidate: ModelVersion, request: ApprovalRequest
) -> tuple[JsonObject, JsonObject]:
    """What a person must know beside the evaluation: the request with all that stands in its way, and the training."""
    now, record = services.clock.now(), tx.evidence.get(candidate.evidence["training"]).body["record"]
    training = {
        "rows": record["rows"],
        "window": str(candidate.training_window),
        "commit": record["code_commit"],
    }
    freeze = services.policy().freeze_at(spec.risk_tier, now)
    stage = stage_of(tx.events.read(model=spec.model, types=STAGE_EVENTS))
    asked = {
        "stage": f"{stage.stage} since {stage.at:%Y-%m-%d}" if stage else "none",
        "author": request.author,
        "editor": request.editor,
        "evidence": request.evidence,
        "expires_at": format_instant(request.expires_at),
        "documents": dossier_of(tx, candidate, now).body["documents"],
        "waivers": [waiver.to_json() for waiver in waivers_of(tx, spec.model, candidate.number, now)],
        "missing": missing_for(services, spec, tx, Stage.DEPLOYMENT, candidate.number),
        "freeze": str(freeze) if freeze else None,
    }
    return asked, training


def answer_approval(
    services: Services, *, request: str, by: str, approved: bool, reason: str, evidence: str, via: str
) -> JsonObject:
    """Judge one person's answer against the policy; a counted one is stored, a refused one recorded as such.

    Raises NotFoundError for an unknown request, ConflictError for a second answer of one person on the same evidence.
    """
    with services.database.begin() as tx:
        asked = _present(services, tx, request, f"person:{by}")
        answer = Answer(request, by, approved, reason, evidence, services.clock.now(), via)
        if refusal := _refusal(services, tx, asked, answer):
            tx.events.append(_answer_event(EventType.APPROVAL_REFUSED, asked, answer, refusal))
            return {"state": asked.state.value, "counted": False, "message": refusal}
        tx.approvals.record(answer)
        said = f"{'approved' if approved else 'rejected'} by {by}: {reason}"
        verdict = judge_request(asked, tx.approvals.answers(request), services.policy(), answer.at)
        state = verdict.state
        if state is not RequestState.OPEN:
            _close(tx, asked, state)
        tx.events.append(_answer_event(EventType.APPROVAL_ANSWERED, asked, answer, said, state=state.value))
        return {"state": state.value, "counted": True, "message": said}


def _refusal(services: Services, tx: Transaction, asked: ApprovalRequest, answer: Answer) -> str | None:
    """Why an answer does not count. A yes waits for the documents that the next stage needs."""
    finding = judge_answer(asked, answer, services.policy(), answer.at)
    if finding.outcome is not Outcome.PASSED:
        return finding.reason
    if not answer.approved:
        return None
    missing = missing_for(services, services.specs.get(asked.model), tx, Stage.DEPLOYMENT, asked.version)
    return f"not before this is there; file it first: {'; '.join(missing)}" if missing else None


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
        tx.claim()
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


def require_approval(
    services: Services, spec: ModelSpec, tx: Transaction, candidate: ModelVersion, used_at: datetime | None = None
) -> str | None:
    """The id of the approval this version may be released on; None where the tier asks nobody.

    Reads the ledger's own tables: a task state, an XCom or an alias proves nothing. An approval of another dossier
    than the present one does not count, nor one that had lapsed when it was first used (`used_at`; None: now), however
    long the canary then took. Raises PolicyError that says what is new.
    """
    _require_tier(spec, tx, candidate)
    if requirement(services.policy(), spec).quorum == 0:
        return None
    _require_known_author(spec, candidate)
    if good := valid_approval(services, spec, tx, candidate, used_at):
        return good
    overtaken = _overtaken(services, spec, tx, candidate, used_at)
    why = "".join(f": {reason}" for reason in list(overtaken.values())[-1:])
    raise PolicyError(
        f"{candidate.ref} has no valid approval{why}",
        where=f"{spec.model}, tier {spec.risk_tier}",
        hint=f"an approval is given by people the policy allows, on the present evidence, in time; {ASK_AGAIN}",
    )


def _require_known_author(spec: ModelSpec, candidate: ModelVersion) -> None:
    """Whoever approves must be another than the author; who typed in a shell only that machine says."""
    if candidate.author.startswith(FROM_A_SHELL):
        raise PolicyError(
            f"{candidate.ref} was trained from a shell by {candidate.author}, whom nobody has asked for a log-in",
            where=f"{spec.model}, tier {spec.risk_tier}",
            hint=f"have the pipeline train a candidate: `steward retrain {spec.model}`; its author has a log-in",
        )


def _require_tier(spec: ModelSpec, tx: Transaction, candidate: ModelVersion) -> None:
    """A version trained at one tier is not released at a lower one: that is a change to be trained and judged under."""
    events = tx.events.read(model=spec.model, types=[EventType.VERSION_REGISTERED])
    specs = [e.body["spec"] for e in events if e.version == candidate.number and "spec" in e.body]
    registered = [RiskTier(then["risk_tier"]) for then in specs]
    tiers = list(RiskTier)
    if registered and tiers.index(spec.risk_tier) < tiers.index(registered[-1]):
        raise PolicyError(
            f"{candidate.ref} was trained at tier {registered[-1]}; model.yaml says {spec.risk_tier} since",
            where=spec.model,
            hint="train a version under the present spec, or put the tier back",
        )


def valid_approval(
    services: Services, spec: ModelSpec, tx: Transaction, candidate: ModelVersion, used_at: datetime | None = None
) -> str | None:
    """The newest approval of this version on its present dossier, still in time.

    Raises IntegrityError when a table says so and the signed answers do not.
    """
    overtaken = _overtaken(services, spec, tx, candidate, used_at)
    approved = tx.approvals.find(spec.model, candidate.number, RequestState.APPROVED)
    good = next((request for request in reversed(approved) if request.id not in overtaken), None)
    if good is not None:
        require_recorded(tx, good)
    return good.id if good else None


def _overtaken(
    services: Services, spec: ModelSpec, tx: Transaction, candidate: ModelVersion, used_at: datetime | None = None
) -> dict[str, str]:
    """The approvals of a version that no longer count, oldest first, and why."""
    now, policy = services.clock.now(), services.policy()
    present, found = dossier_of(tx, candidate, now), dict[str, str]()
    for request in tx.approvals.find(spec.model, candidate.number, RequestState.APPROVED):
        lapsed_at = usable_until(request, policy, spec.risk_tier)
        if (used_at or now) >= lapsed_at:
            found[request.id] = f"the approval lapsed at {lapsed_at:%Y-%m-%d %H:%M} UTC"
        elif not _still_enough(request, requirement(policy, spec)):
            found[request.id] = "more approvals are asked for by now"
        elif request.evidence != present.digest:
            new = changes(tx.evidence.get(request.evidence), present)
            found[request.id] = f"what was approved has changed: {'; '.join(new)}"
    return found


def _still_enough(request: ApprovalRequest, needed: Requirement) -> bool:
    asked = Requirement.of(request)
    return asked.quorum >= needed.quorum and set(needed.roles) <= set(asked.roles)
