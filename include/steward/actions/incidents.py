"""Incidents, each change of one with its event: the same whoever finds the trouble, a window, an audit or a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from steward.actions.state import Transaction
from steward.ledger import EventDraft, EventType
from steward.monitoring.windows import Incident, IncidentState

NO_VERSION = 0  # of an incident that is about a model as a whole


def save_incident(
    tx: Transaction, kind: EventType, incident: Incident, actor: str, said: str, run: str | None = None
) -> Incident:
    saved = tx.incidents.save(incident)
    body = {
        "incident": saved.id,
        "cause": saved.cause,
        "severity": saved.severity,
        "first_bad": saved.first_bad.to_json(),
        **({"run": run} if run else {}),
    }
    version = saved.version if saved.version != NO_VERSION else None
    tx.events.append(EventDraft(kind, saved.model, actor, said, version, saved.evidence, body))
    return saved


def resolve_incident(
    tx: Transaction, incident: Incident, actor: str, why: str, now: datetime, run: str | None = None
) -> Incident:
    ended = replace(incident, state=IncidentState.RESOLVED, updated_at=now, resolved_at=now)
    return save_incident(tx, EventType.INCIDENT_RESOLVED, ended, actor, f"{incident.cause}: {why}", run)
