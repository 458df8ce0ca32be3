"""The incident about windows that could not be scored. Its own: a monitor that sees only sound rows must not end it."""

from __future__ import annotations

import uuid
from dataclasses import replace

from steward.actions.incidents.changing import resolve_incident, save_incident
from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.gates import Verdict
from steward.ledger import EventType
from steward.monitoring.windows import Incident, IncidentState
from steward.spec import ModelSpec
from steward.types import JsonObject, Window

SCORING = "scoring"


def note_scoring(services: Services, spec: ModelSpec, *, run: str, actor: str, evidence: str) -> JsonObject:
    """One unresolved incident while windows are refused: opened, kept up to date, resolved by the next that is scored.

    `evidence` is of `score_window`.
    """
    op = Operation.begin(services, "note_scoring", spec.model, run, actor, evidence=evidence)

    def write(tx: Transaction) -> JsonObject:
        body = tx.evidence.get(evidence).body
        known = next((each for each in tx.incidents.unresolved(spec.model) if each.cause == SCORING), None)
        if Verdict.from_json(body["verdict"]).passed:
            if known:
                resolve_incident(tx, known, actor, "a window was scored", services.clock.now(), run)
            return {"incidents": [], "resolved": [known.id] if known else []}
        return {"incidents": [_noted(services, spec, tx, op, known, body, evidence).id], "resolved": []}

    return op.commit(write)


def _noted(
    services: Services,
    spec: ModelSpec,
    tx: Transaction,
    op: Operation,
    known: Incident | None,
    body: JsonObject,
    evidence: str,
) -> Incident:
    now = services.clock.now()
    if known:
        incident = replace(known, updated_at=now, windows=known.windows + 1, evidence=evidence)
        said = f"{SCORING} again: {incident.windows} windows were not scored"
        return save_incident(tx, EventType.INCIDENT_UPDATED, incident, op.actor, said, op.run)
    incident = Incident(
        id=uuid.uuid4().hex,
        model=spec.model,
        version=body["version"],
        cause=SCORING,
        severity=spec.risk_tier.value,
        state=IncidentState.OPEN,
        first_bad=Window.from_json(body["window"]),
        opened_at=now,
        updated_at=now,
        windows=1,
        evidence=evidence,
    )
    said = f"{SCORING}: {Verdict.from_json(body['verdict']).reasons[0]}"
    return save_incident(tx, EventType.INCIDENT_OPENED, incident, op.actor, said, op.run)
