"""Incidents that judged windows open, keep up to date and end."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

from steward.actions.incidents import resolve_incident, save_incident
from steward.actions.operation import Operation
from steward.actions.state import Services, Transaction
from steward.gates import Outcome, Verdict
from steward.ledger import EventType
from steward.monitoring.windows import MONITORED, Cause, Incident, IncidentState
from steward.spec import ModelSpec
from steward.types import JsonObject, RiskTier, Window, parse_instant

REPORT_AGAIN_AFTER = timedelta(days=7)


def open_incident(services: Services, spec: ModelSpec, *, run: str, actor: str, evidence: str) -> JsonObject:
    """One unresolved incident per cause: opened, kept up to date, or resolved, by what the window showed."""
    op = Operation.begin(services, "open_incident", spec.model, run, actor, evidence=evidence)

    def write(tx: Transaction) -> JsonObject:
        body = tx.evidence.get(evidence).body
        verdict = Verdict.from_json(body["verdict"])
        unresolved = {incident.cause: incident for incident in monitored_incidents(tx, spec.model)}
        failed = {Cause(cause) for cause in body["causes"]}
        touched = [
            _note(services, spec, tx, op, unresolved.get(cause), cause, body, evidence) for cause in sorted(failed)
        ]
        resolved = [
            _resolve(services, tx, op, incident, "a window passed")
            for cause, incident in unresolved.items()
            if Cause(cause) not in failed and verdict.outcome is not Outcome.INCONCLUSIVE
        ]
        wanted = any(_report_wanted(services, incident) for incident in touched)
        return {
            "incidents": [i.id for i in touched],
            "resolved": [i.id for i in resolved],
            "report_wanted": wanted,
        }

    return op.commit(write)


def monitored_incidents(tx: Transaction, model: str) -> list[Incident]:
    """What windows may open and close; an audit's or a review's incidents are not theirs to end."""
    return [incident for incident in tx.incidents.unresolved(model) if incident.cause in MONITORED]


def _note(
    services: Services,
    spec: ModelSpec,
    tx: Transaction,
    op: Operation,
    known: Incident | None,
    cause: Cause,
    body: JsonObject,
    evidence: str,
) -> Incident:
    now = services.clock.now()
    if known and known.version == body["version"]:
        incident = replace(known, updated_at=now, windows=known.windows + 1, evidence=evidence)
        kind, said = EventType.INCIDENT_UPDATED, f"{cause} again: {incident.windows} windows now"
    else:
        if known:
            _resolve(services, tx, op, known, f"version {known.version} no longer serves")
        incident = Incident(
            id=uuid.uuid4().hex,
            model=spec.model,
            version=body["version"],
            cause=cause.value,
            severity=_severity(spec.risk_tier, cause),
            state=IncidentState.OPEN,
            first_bad=Window.from_json(body["window"]),
            opened_at=now,
            updated_at=now,
            windows=1,
            evidence=evidence,
        )
        kind, said = EventType.INCIDENT_OPENED, f"{cause}: {_first_reason(body, cause)}"
    return save_incident(tx, kind, incident, op.actor, said, op.run)


def _first_reason(body: JsonObject, cause: Cause) -> str:
    failed = Verdict.from_json(body["verdict"]).failed()
    return next(f.reason for f in failed if f.gate.startswith(f"{cause.value}."))


def _severity(tier: RiskTier, cause: Cause) -> str:
    """Drift alone is for watching; a loss or a broken input weighs as much as the model does."""
    if cause is Cause.DRIFT:
        return "low"
    return {RiskTier.LOW: "low", RiskTier.MEDIUM: "medium", RiskTier.HIGH: "high"}[tier]


def _resolve(services: Services, tx: Transaction, op: Operation, incident: Incident, why: str) -> Incident:
    return resolve_incident(tx, incident, op.actor, why, services.clock.now(), op.run)


def _report_wanted(services: Services, incident: Incident) -> bool:
    """A person looks when trouble begins, then weekly while it lasts."""
    made_at = (incident.detail or {}).get("report_at")
    return made_at is None or services.clock.now() - parse_instant(made_at) >= REPORT_AGAIN_AFTER
