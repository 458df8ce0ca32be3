"""Whether to train again: decided from windows and events, recorded either way."""

from __future__ import annotations

from datetime import timedelta

from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.approval import RequestState
from steward.ledger import EventType
from steward.retraining.controller import RetrainingHistory, decide
from steward.spec import ModelSpec
from steward.types import JsonObject

ABANDONED_AFTER = timedelta(days=1)


def decide_retraining(services: Services, spec: ModelSpec, *, run: str, actor: str, evidence: str) -> JsonObject:
    """Ask the controller; the answer is an event with its reason, the "no" too."""
    op = Operation.begin(services, "decide_retraining", spec.model, run, actor, evidence=evidence)

    def write(tx: Transaction) -> JsonObject:
        version = tx.evidence.get(evidence).body["version"]
        windows = tx.windows.recent(spec.model, spec.retraining.when.of, version) if version else []
        decision = decide(
            spec.retraining, windows, _history(services, spec, tx), services.clock.now(), champion=version
        )
        kind = EventType.RETRAINING_REQUESTED if decision.requested else EventType.RETRAINING_DECLINED
        tx.events.append(op.event(kind, decision.reason, version=version, evidence=evidence, detail=decision.detail))
        return {"requested": decision.requested, "reason": decision.reason, "detail": decision.detail}

    return op.commit(write)


def _history(services: Services, spec: ModelSpec, tx: Transaction) -> RetrainingHistory:
    now, period = services.clock.now(), spec.retraining.budget.per
    requests = tx.events.read(model=spec.model, types=[EventType.RETRAINING_REQUESTED])
    trained = tx.events.read(model=spec.model, types=[EventType.MODEL_TRAINED], since=now - period)
    promoted = tx.events.read(model=spec.model, types=[EventType.VERSION_PROMOTED], limit=1)
    return RetrainingHistory(
        last_requested_at=requests[-1].at if requests else None,
        last_trained_at=trained[-1].at if trained else None,
        last_promoted_at=promoted[-1].at if promoted else None,
        requests_in_period=sum(event.at > now - period for event in requests),
        cpu_hours_in_period=sum(event.body["cpu_seconds"] for event in trained) / 3600,
        in_flight=_in_flight(services, spec, tx),
    )


def _in_flight(services: Services, spec: ModelSpec, tx: Transaction) -> str | None:
    """What is under way already, in words; None when nothing is."""
    if going := tx.rollouts.running(spec.model):
        return f"version {going.version} is being rolled out"
    now = services.clock.now()
    waiting = [r for r in tx.approvals.find(spec.model, state=RequestState.OPEN) if r.expires_at > now]
    if waiting:
        return f"version {waiting[0].version} waits for approval"
    since = now - ABANDONED_AFTER
    begun = tx.events.read(
        model=spec.model, types=[EventType.SNAPSHOT_TAKEN, EventType.RETRAINING_REQUESTED], since=since
    )
    closed = tx.events.read(model=spec.model, types=[EventType.RUN_CLOSED], since=since)
    if begun and (not closed or begun[-1].seq > closed[-1].seq):
        return f"a training run began at {begun[-1].at:%Y-%m-%d %H:%M} and has not ended"
    return None
