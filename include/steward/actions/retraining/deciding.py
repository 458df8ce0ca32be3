"""Whether a training begins: asked by windows, the clock or a person, decided from the record, recorded either way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from steward.actions.approvals.waiving import said_why
from steward.actions.incidents.changing import link_incidents
from steward.actions.operation import Operation
from steward.actions.retraining.facts import counts_as_open, situation_of
from steward.actions.state import Services, Transaction
from steward.approval.entitlement import why_not_allow_retraining
from steward.errors import ConflictError, PolicyError
from steward.gates import Outcome
from steward.ledger import AuditEvent, EventDraft, EventType
from steward.monitoring.windows import Cause
from steward.retraining import Decision, Trigger, decide
from steward.spec import ModelSpec
from steward.types import JsonObject

UNKNOWN_REQUEST = "no request on record asks for this run: an asset event alone, from wherever it came, starts nothing"


def decide_retraining(services: Services, spec: ModelSpec, *, run: str, actor: str, evidence: str) -> JsonObject:
    """Ask the controller after a window was judged; the answer is an event with all it looked at, the "no" too.

    `request` is the event's number: a training run must cite it to be let in.
    """
    op = Operation.begin(services, "decide_retraining", spec.model, run, actor, evidence=evidence)

    def write(tx: Transaction) -> JsonObject:
        situation = situation_of(services, spec, tx)
        decision = decide(situation)
        kind = EventType.RETRAINING_REQUESTED if decision.requested else EventType.RETRAINING_DECLINED
        event = tx.events.append(
            op.event(
                kind,
                decision.reason,
                version=situation.champion,
                evidence=evidence,
                trigger=decision.trigger,
                detail=decision.detail,
            )
        )
        if decision.requested:
            now, loss = services.clock.now(), [Cause.PERFORMANCE]
            link_incidents(tx, spec.model, "retraining", str(event.seq), now, causes=loss)
        return {
            "requested": decision.requested,
            "reason": decision.reason,
            "request": event.seq if decision.requested else None,
            "detail": decision.detail,
        }

    return op.commit(write)


@dataclass(frozen=True)
class Beginning:
    """How a training run began: `requests` are events that an asset event cited, `said` is a person's own reason."""

    trigger: Trigger
    requests: tuple[int, ...] = ()
    said: str = ""

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        return cls(Trigger(value["trigger"]), tuple(value.get("requests", ())), str(value.get("reason") or "").strip())


def admit_training(services: Services, spec: ModelSpec, *, run: str, actor: str, began: JsonObject) -> JsonObject:
    """The first step of a training run. A no ends the run green, with its reason.

    On a request of the controller: it must be on record, of this champion, unused, and not so old that another may have
    been made in its place. On the clock: the controller is asked. By hand: whatever speaks against it is put on record,
    and a reason goes beyond all but a running rollout.
    A run of the release before, which let none in, goes on: Airflow adds this step to it.
    """
    op = Operation.begin(services, "admit_training", spec.model, run, actor, began=began)

    def write(tx: Transaction) -> JsonObject:
        beginning = Beginning.from_json(began)
        if begun := _had_begun(tx, op):
            said = f"it had begun (event {begun.seq}) before runs were let in"
            champion = tx.versions.champion(spec.model)
            return _admitted(op, tx, Decision(True, said, beginning.trigger), champion.number if champion else None)
        if beginning.trigger is Trigger.REQUEST:
            return _admit_request(op, spec, tx, beginning.requests)
        situation = situation_of(services, spec, tx, run, asked=beginning.trigger, said=beginning.said)
        return _admitted(op, tx, decide(situation), situation.champion)

    return op.commit(write)


def _had_begun(tx: Transaction, op: Operation) -> AuditEvent | None:
    taken = tx.events.read(model=op.model, types=[EventType.SNAPSHOT_TAKEN])
    return next((event for event in taken if event.body.get("run") == op.run), None)


def _admit_request(op: Operation, spec: ModelSpec, tx: Transaction, cited: Sequence[int]) -> JsonObject:
    """Asset events coalesce: one run may answer several requests, and is about the newest."""
    champion = tx.versions.champion(spec.model)
    number = champion.number if champion else None
    requested = {e.seq: e for e in tx.events.read(model=spec.model, types=[EventType.RETRAINING_REQUESTED])}
    known = [requested[seq] for seq in sorted({*cited}) if seq in requested]
    if not known:
        return _admitted(op, tx, Decision(False, UNKNOWN_REQUEST, Trigger.REQUEST), number)
    used = _answered_by(tx, spec.model, known)
    free = [event for event in known if event.seq not in used]
    if not free:
        seq, by = next(iter(used.items()))
        said = f"the request (event {seq}) was answered before, by run {by}: it starts one training, not two"
        return _admitted(op, tx, Decision(False, said, Trigger.REQUEST), number)
    newest, numbers = free[-1], [event.seq for event in free]
    if newest.at <= op.services.clock.now() - counts_as_open(spec):
        said = f"the request (event {newest.seq}) is of {newest.at:%Y-%m-%d %H:%M}, too old: the next window asks anew"
        return _admitted(op, tx, Decision(False, said, Trigger.REQUEST), number, numbers)
    situation = situation_of(
        op.services, spec, tx, op.run, asked=Trigger.REQUEST, said=newest.reason, requests=numbers, of=newest.version
    )
    return _admitted(op, tx, decide(situation), number, numbers)


def _answered_by(tx: Transaction, model: str, requests: Sequence[AuditEvent]) -> dict[int, str]:
    wanted = {event.seq for event in requests}
    kinds = (EventType.RETRAINING_ADMITTED, EventType.RETRAINING_DECLINED)
    return {
        seq: event.body["run"]
        for event in tx.events.read(model=model, types=kinds, after_seq=min(wanted))
        for seq in event.body.get("requests", ())
        if seq in wanted
    }


def _admitted(
    op: Operation, tx: Transaction, decision: Decision, champion: int | None, requests: Sequence[int] = ()
) -> JsonObject:
    kind = EventType.RETRAINING_ADMITTED if decision.requested else EventType.RETRAINING_DECLINED
    tx.events.append(
        op.event(
            kind,
            decision.reason,
            champion=champion,
            trigger=decision.trigger,
            requests=list(requests),
            detail=decision.detail,
        )
    )
    return {
        "admitted": decision.requested,
        "outcome": (Outcome.PASSED if decision.requested else Outcome.FAILED).value,
        "trigger": decision.trigger.value if decision.trigger else None,
        "requests": list(requests),
        "reasons": [] if decision.requested else [f"declined: {decision.reason}"],
        "reason": decision.reason,
    }


def allow_retraining(services: Services, *, model: str, by: str, via: str, reason: str) -> JsonObject:
    """A person has looked at why candidates were refused, and lets retraining go on by itself.

    The owner may, and who may approve; else PolicyError. Raises ConflictError when none was refused: a permission is
    for what happened, not for what may come.
    """
    said = said_why(reason)
    op = Operation.begin(services, "allow_retraining", model, None, f"person:{by}")

    def write(tx: Transaction) -> JsonObject:
        spec, now = services.specs.get(model), services.clock.now()
        if why_not := why_not_allow_retraining(services.policy(), spec.owner.user, by, now):
            raise PolicyError(why_not, where=f"retraining of {model}", hint=f"see `steward policy who {model}`")
        refused = situation_of(services, spec, tx).history.refused
        if not refused:
            raise ConflictError(
                f"no candidate of {model} was refused since the last promotion: there is nothing to let go on",
                hint=f"see `steward why {model}`",
            )
        versions = [each.version for each in refused]
        draft = EventDraft(EventType.RETRAINING_ALLOWED, model, op.actor, said, body={"refused": versions, "via": via})
        tx.events.append(draft)
        return {"model": model, "refused": versions, "reason": said}

    return op.commit(write)
