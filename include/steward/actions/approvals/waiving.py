"""A gate's no set aside by a named person: dated, signed, expiring, never silent."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase

from steward.actions.approvals.dossiers import rebind_open_requests
from steward.actions.operation import Operation, person
from steward.actions.state import Services, Transaction
from steward.approval.entitlement import workers
from steward.approval.policy import Policy
from steward.approval.waivers import set_aside, signing_role, why_not_sign
from steward.errors import NotFoundError, PolicyError, RequestError
from steward.gates import Verdict
from steward.ledger import EventType, Waiver, live_waivers
from steward.ledger.governance import WAIVER_EVENTS
from steward.registry import ModelVersion, State
from steward.spec import ModelSpec
from steward.types import JsonObject, VersionRef, format_instant, parse_instant


def grant_waiver(  # noqa: PLR0913  what a waiver is made of, and the person and door of every decision
    services: Services,
    *,
    model: str,
    gate: str,
    until: str,
    by: str,
    via: str,
    reason: str,
    version: int | None = None,
    slice: str | None = None,
) -> JsonObject:
    """Set a gate's no aside for the candidates to come (or for one version), until a date. The same again is harmless.

    Raises PolicyError when this person may not, RequestError for a gate the model's evaluation does not have.
    """
    said, ends_at = said_why(reason), _instant(until)
    op = Operation.begin(
        services, "grant_waiver", model, None, f"person:{by}", version=version, gate=gate, slice=slice, until=ends_at
    )

    def write(tx: Transaction) -> JsonObject:
        now, policy, spec = services.clock.now(), services.policy(), services.specs.get(model)
        about = _version_about(tx, model, version)
        if refusal := why_not_sign(policy, by, gate, now, ends_at) or _own_work(tx, policy, spec, about, by):
            raise PolicyError(refusal, where=f"waiver of {gate} for {model}", hint=f"see `steward policy who {model}`")
        _require_known(tx, about, gate, slice)
        role = signing_role(policy, by, now)
        if known := _granted(tx, model, now, (gate, slice, version, by, ends_at)):
            return _answer(known)
        event = tx.events.append(
            op.event(
                EventType.WAIVER_GRANTED,
                said,
                version=version,
                waiver=uuid.uuid4().hex[:12],
                gate=gate,
                slice=slice,
                role=role,
                expires_at=ends_at,
                via=via,
            )
        )
        rebind_open_requests(services, tx, model, f"a waiver of {gate} was granted", op.actor)
        return _answer(Waiver.of(event))

    return op.commit(write)


def _granted(tx: Transaction, model: str, now: datetime, wanted: tuple[object, ...]) -> Waiver | None:
    live = live_waivers(tx.events.read(model=model, types=WAIVER_EVENTS), now)
    return next((w for w in live if (w.gate, w.slice, w.version, w.by, w.expires_at) == wanted), None)


def revoke_waiver(services: Services, *, model: str, waiver: str, by: str, via: str, reason: str) -> JsonObject:
    """End a waiver before its date: who may sign one may end one, and so may who signed it. Twice is harmless.

    Raises NotFoundError without such a waiver, PolicyError for anybody else, RequestError without a reason.
    """
    said = said_why(reason)
    op = Operation.begin(services, "revoke_waiver", model, None, f"person:{by}", waiver=waiver)

    def write(tx: Transaction) -> JsonObject:
        now, events = services.clock.now(), tx.events.read(model=model, types=WAIVER_EVENTS)
        granted = [Waiver.of(e) for e in events if e.type is EventType.WAIVER_GRANTED and e.body["waiver"] == waiver]
        if not granted:
            raise NotFoundError(f"{model} has no waiver {waiver!r}", hint=f"`steward waiver list {model}` shows them")
        found = granted[0]
        if signing_role(services.policy(), by, now) is None and by != found.by:
            raise PolicyError(f"{by} may not end a waiver that {found.by} signed", where=f"{model}, waiver {waiver}")
        if not any(live.id == waiver for live in live_waivers(events, now)):
            return {**_answer(found), "ended": True}
        tx.events.append(
            op.event(EventType.WAIVER_REVOKED, said, version=found.version, waiver=waiver, gate=found.gate, via=via)
        )
        rebind_open_requests(services, tx, model, f"the waiver of {found.gate} was revoked", op.actor)
        return {**_answer(found), "ended": True}

    return op.commit(write)


def settle_verdict(
    services: Services, spec: ModelSpec, tx: Transaction, verdict: Verdict, training: JsonObject
) -> tuple[Verdict, list[Waiver], int | None]:
    """The verdict on a candidate as live waivers leave it, those it took, and the number they were matched with."""
    live = live_waivers(tx.events.read(model=spec.model, types=WAIVER_EVENTS), services.clock.now())
    if not live or verdict.passed:
        return verdict, [], None
    policy, number = services.policy(), max((each.number for each in tx.versions.all(spec.model)), default=0) + 1
    effective, used = set_aside(verdict, live, number, policy, _workers(policy, spec, training))
    return effective, used, number


def require_waivers(services: Services, tx: Transaction, candidate: ModelVersion) -> None:
    """What let a version proceed must still hold when it is released. Raises PolicyError."""
    events = tx.events.read(model=candidate.model, types=(*WAIVER_EVENTS, EventType.VERSION_REGISTERED))
    registered = [e for e in events if e.type is EventType.VERSION_REGISTERED and e.version == candidate.number]
    taken = registered[-1].body.get("waivers", []) if registered else []
    live = {waiver.id for waiver in live_waivers(events, services.clock.now())}
    if ended := [each["gate"] for each in taken if each["id"] not in live]:
        raise PolicyError(
            f"{candidate.ref} passed under a waiver of {', '.join(ended)} that has ended",
            where=candidate.model,
            hint="have a new waiver signed and train again, or release a version that passes by itself",
        )


def _answer(waiver: Waiver) -> JsonObject:
    return {"waiver": waiver.id, **{key: value for key, value in waiver.to_json().items() if key != "id"}}


def said_why(reason: str, shortest: int = 1) -> str:
    """A reason worth keeping. Raises RequestError."""
    said = reason.strip()
    if len(said) < shortest:
        wanted = "is empty" if shortest == 1 else f"has {len(said)} characters; {shortest} are the least"
        raise RequestError(f"the reason {wanted}", hint="say why: it is kept in the ledger under your name")
    return said


def _instant(until: str) -> datetime:
    try:
        return parse_instant(until)
    except (ValueError, TypeError):
        hint = "write a date (2026-12-31) or an ISO instant; it ends at its beginning, UTC"
        raise RequestError(f"{until!r} is not a date", where="until", hint=hint) from None


def _version_about(tx: Transaction, model: str, version: int | None) -> ModelVersion | None:
    """The version a waiver is about; for candidates to come the latest: its evaluation says which gates there are."""
    latest = max(tx.versions.all(model), key=lambda each: each.number, default=None)
    if version is None or version == (latest.number if latest else 0) + 1:
        return latest
    found = tx.versions.get(VersionRef(model, version))
    if found.state is not State.CHALLENGER:
        raise PolicyError(
            f"{found.ref} is {found.state}: a waiver cannot bring it back",
            where=f"waiver for {model}",
            hint="leave the version out and train again: the waiver is then for the candidates to come",
        )
    return found


def _own_work(tx: Transaction, policy: Policy, spec: ModelSpec, about: ModelVersion | None, by: str) -> str | None:
    training = tx.evidence.get(about.evidence["training"]).body if about else {}
    if by in _workers(policy, spec, training):
        return f"{by} owns, trained or changed {spec.model} and may not waive its gates"
    return None


def _workers(policy: Policy, spec: ModelSpec, training: JsonObject) -> Sequence[str | None]:
    author = training.get("author")
    return workers(policy, spec.owner.user, person(author) if author else None, training.get("editor"))


def _require_known(tx: Transaction, about: ModelVersion | None, gate: str, slice_: str | None) -> None:
    """A misspelt gate would be a waiver of nothing."""
    if about is None:
        return
    findings = tx.evidence.get(about.evidence["evaluation"]).verdict.findings
    gates = sorted({each.gate for each in findings})
    met = [each for each in findings if fnmatchcase(each.gate, gate)]
    if not met:
        raise _unknown("gate", gate, gates, about)
    if slice_ is not None and not any(each.slice == slice_ for each in met):
        raise _unknown("slice", slice_, sorted({each.slice for each in met}), about)


def _unknown(what: str, given: str, known: list[str], about: ModelVersion) -> RequestError:
    nearest = get_close_matches(given, known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"it has {', '.join(known)}"
    return RequestError(f"the evaluation of {about.ref} has no {what} {given!r}", where=what, hint=hint)


def waivers_on_record(waivers: Sequence[Waiver]) -> list[JsonObject]:
    """As the event of a version names those it proceeded under."""
    return [
        {"id": w.id, "gate": w.gate, "slice": w.slice, "by": w.by, "expires_at": format_instant(w.expires_at)}
        for w in waivers
    ]
