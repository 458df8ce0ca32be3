"""The dossier: all that an approval of a version rests on, as one piece of evidence whose digest people approve."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from steward.actions.effects import want_notice
from steward.actions.operation import person
from steward.actions.state import Services, Transaction
from steward.approval import ApprovalRequest, RequestState
from steward.gates import Evidence
from steward.ledger import EventDraft, EventType, Waiver, documents_of, live_waivers
from steward.ledger.governance import DOCUMENT_EVENTS, WAIVER_EVENTS
from steward.registry import ModelVersion, State
from steward.types import JsonObject, VersionRef

RESULTS = ("evaluation", "training", "validation")


def dossier_of(tx: Transaction, version: ModelVersion, at: datetime) -> Evidence:
    """What there is to know about a version at this moment: a new document or waiver makes another dossier."""
    events = tx.events.read(model=version.model, types=DOCUMENT_EVENTS + WAIVER_EVENTS)
    documents = {kind: document.digest for kind, document in documents_of(events, version.number).items()}
    body = {
        "version": version.number,
        "artefact": version.artefact_digest,
        "spec": version.spec_digest,
        "results": {kind: version.evidence[kind] for kind in RESULTS if kind in version.evidence},
        "documents": dict(sorted(documents.items())),
        "waivers": [_waiver(waiver) for waiver in waivers_of(tx, version.model, version.number, at)],
    }
    return Evidence("dossier", version.model, body)


def waivers_of(tx: Transaction, model: str, version: int, at: datetime) -> list[Waiver]:
    """The live waivers that touch this version, in the order they were granted."""
    live = live_waivers(tx.events.read(model=model, types=WAIVER_EVENTS), at)
    return [waiver for waiver in live if waiver.version in (None, version)]


def _waiver(waiver: Waiver) -> JsonObject:
    return {key: waiver.to_json()[key] for key in ("id", "gate", "slice", "by", "expires_at")}


def changes(before: Evidence, now: Evidence) -> list[str]:
    """What makes the second dossier another than the first, each in a few words."""
    if before.kind != now.kind:
        return ["it was given on the evaluation alone"]
    return [*_other_documents(before.body["documents"], now.body["documents"]), *_other_waivers(before, now)] or [
        f"another {key}" for key in ("version", "artefact", "spec", "results") if before.body[key] != now.body[key]
    ]


def _other_documents(before: JsonObject, now: JsonObject) -> Iterator[str]:
    for kind, digest in now.items():
        if before.get(kind) != digest:
            yield f"the document {kind} was filed {'anew' if kind in before else 'since'}"


def _other_waivers(before: Evidence, now: Evidence) -> Iterator[str]:
    known, present = ({each["id"]: each["gate"] for each in dossier.body["waivers"]} for dossier in (before, now))
    yield from (f"a waiver of {gate} was granted" for id_, gate in present.items() if id_ not in known)
    yield from (f"the waiver of {gate} ended" for id_, gate in known.items() if id_ not in present)


def rebind_open_requests(services: Services, tx: Transaction, model: str, because: str, actor: str) -> list[str]:
    """Put what waits or is approved on the present dossiers, after a document or waiver came, in its transaction.

    An open request moves to the new dossier. Answers given on the old one no longer count: an `approval.voided` event
    says whose. Returns the ids of the requests that were touched. Call it after the event of the change.
    """
    asked = [each for each in tx.approvals.find(model) if each.state in (RequestState.OPEN, RequestState.APPROVED)]
    return [each.id for each in asked if _rebind(services, tx, each, because, actor)]


def _rebind(services: Services, tx: Transaction, request: ApprovalRequest, because: str, actor: str) -> bool:
    version = tx.versions.get(VersionRef(request.model, request.version))
    dossier = dossier_of(tx, version, services.clock.now())
    if version.state is not State.CHALLENGER or dossier.digest == request.evidence:
        return False
    voided = [answer.by for answer in tx.approvals.answers(request.id) if answer.evidence == request.evidence]
    tx.evidence.put(dossier)
    if request.state is RequestState.OPEN:
        tx.approvals.rebind(request.id, dossier.digest)
    if voided and not _voided_before(tx, request):
        event = tx.events.append(_voided(request, dossier, voided, because, actor))
        _tell(services, tx, request, voided, event.reason)
    return True


def _tell(services: Services, tx: Transaction, request: ApprovalRequest, voided: list[str], said: str) -> None:
    people = services.policy().people
    to = [people[name].email for name in voided if name in people]
    if known := [address for address in to if address]:
        want_notice(tx, known, f"{VersionRef(request.model, request.version)}: answer again, please", said)


def _voided_before(tx: Transaction, request: ApprovalRequest) -> bool:
    """Once is enough for answers on the same evidence: a closed request keeps its binding."""
    events = tx.events.read(model=request.model, types=[EventType.APPROVAL_VOIDED])
    return any(e.body["request"] == request.id and e.body["was"] == request.evidence for e in events)


def _voided(request: ApprovalRequest, dossier: Evidence, voided: list[str], because: str, actor: str) -> EventDraft:
    names = ", ".join(person(name) for name in voided)
    said = f"{because}: what {names} answered no longer counts"
    body = {"request": request.id, "answers": voided, "was": request.evidence}
    return EventDraft(EventType.APPROVAL_VOIDED, request.model, actor, said, request.version, dossier.digest, body)
