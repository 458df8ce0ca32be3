"""Filing what people write about a model: complete, by the right person, bound to the model or to one version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.actions.approvals.dossiers import rebind_open_requests
from steward.actions.governance.stages import enter_stage, readiness_of
from steward.actions.operation import Operation, person
from steward.actions.state import Services, Transaction
from steward.errors import PolicyError, RequestError
from steward.gates import Evidence
from steward.inventory.documents import MAX_TITLE, DocumentForm, check_document, plain_text
from steward.inventory.stages import OWNER
from steward.ledger import EventType, documents_of
from steward.ledger.governance import DOCUMENT_EVENTS, STAGE_EVENTS
from steward.spec import ModelSpec
from steward.types import JsonObject, Stage, VersionRef

if TYPE_CHECKING:
    from steward.approval.policy import Policy
    from steward.registry import ModelVersion

    _About = ModelVersion | None


def file_document(
    services: Services, *, model: str, kind: str, title: str, text: str, by: str, via: str, version: int | None = None
) -> JsonObject:
    """Keep a finished document as evidence; answers given before on an open request no longer count.

    Filing the newest text again changes nothing. Raises FaultsError with every fault of a half-written one.
    """
    spec, form = services.specs.get(model), services.stages().form(kind)
    body = _document(form, kind, title, text, version)
    evidence = Evidence("document", model, body)
    inputs = {"kind": kind, "version": version, "document": evidence.digest}
    op = Operation.begin(services, "file_document", model, None, f"person:{by}", **inputs)

    def write(tx: Transaction) -> JsonObject:
        _require_writer(services, tx, spec, form, kind, by, _bound_to(tx, spec, form, kind, version))
        answer = {"model": model, "version": version, "kind": kind, "title": body["title"], "document": evidence.digest}
        newest = documents_of(tx.events.read(model=model, types=DOCUMENT_EVENTS), version).get(kind)
        if newest is not None and (newest.digest, newest.version) == (evidence.digest, version):
            return {**answer, "filed": False, "message": f"{newest.by} has filed it already"}
        digest, said = tx.evidence.put(evidence), f"{form.title} filed: {body['title']}"
        about = {"version": version, "evidence": digest, "kind": kind, "title": body["title"], "via": via}
        tx.events.append(op.event(EventType.DOCUMENT_FILED, said, **about))
        _take_up(services, spec, tx, op)
        touched = rebind_open_requests(services, tx, model, f"the document {kind} was filed", op.actor)
        return {**answer, "filed": True, "message": said, "requests": touched}

    return op.commit(write)


def _document(form: DocumentForm, kind: str, title: str, text: str, version: int | None) -> JsonObject:
    name, text = " ".join(title.split()) or form.title, plain_text(text)
    if len(name) > MAX_TITLE or not name.isprintable():
        raise RequestError(f"the title is longer than {MAX_TITLE} characters, or not plain text", where=kind)
    sections = check_document(form, text, kind)
    written = [section.to_json() for section in sections]
    return {"kind": kind, "title": name, "text": text, "version": version, "sections": written}


def _bound_to(tx: Transaction, spec: ModelSpec, form: DocumentForm, kind: str, version: int | None) -> _About:
    if version is not None:
        return tx.versions.get(VersionRef(spec.model, version))
    if form.about == "version":
        last = max((each.number for each in tx.versions.all(spec.model)), default=None)
        hint = f"write {spec.model}@{last or 'N'}" if last else "train a version first"
        raise RequestError(f"a {kind} is about one version, not about {spec.model} as a whole", hint=hint)
    return None


def _require_writer(
    services: Services, tx: Transaction, spec: ModelSpec, form: DocumentForm, kind: str, by: str, about: _About
) -> None:
    """Raises PolicyError when this person may not file this kind of document."""
    policy, today = services.policy(), services.clock.now().date()
    holders = sorted(each for each in policy.people if policy.roles_of(each, today) & set(form.roles))
    if OWNER in form.roles:
        holders.append(spec.owner.user)
    if form.roles and by not in holders:
        hint = f"ask {', '.join(holders)}" if holders else "give somebody the role in policy.yaml"
        raise PolicyError(f"{by} has none of the roles {', '.join(form.roles)}", where=f"document {kind}", hint=hint)
    if form.independent and about is not None and (duties := _duties(policy, tx, spec, by, about)):
        hint = "somebody who had no part in the work writes it"
        raise PolicyError(f"{by} {duties} and may not file its {kind}", where=str(about.ref), hint=hint)


def _duties(policy: Policy, tx: Transaction, spec: ModelSpec, by: str, version: ModelVersion) -> str:
    """What this person has to do with the version, in words; empty for nothing."""
    editor = tx.evidence.get(version.evidence["training"]).body.get("editor")
    duties = {
        "owns the model": spec.owner.user,
        "trained the version": person(version.author),
        "changed the model's files last": policy.name_of(editor),
    }
    return " and ".join(duty for duty, name in duties.items() if name == by)


def _take_up(services: Services, spec: ModelSpec, tx: Transaction, op: Operation) -> None:
    """A model about which something was written has a use case, if its file says all that one needs."""
    if tx.events.read(model=spec.model, types=STAGE_EVENTS, limit=1):
        return
    ready = readiness_of(services.stages(), services.policy(), spec, tx, Stage.USE_CASE, None)
    if not ready.missing:
        enter_stage(services, spec, tx, op, Stage.USE_CASE)
