"""Incidents about what no judged window can show: a server, a run, the monitor itself. Found again, each says so once.

They are noted and ended by whoever looks from outside; a window ends none of them, but for the monitor's own.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from steward.actions.incidents.changing import resolve_incident, save_incident
from steward.actions.state import Services, Transaction
from steward.errors import StewardError
from steward.gates import Evidence
from steward.ledger import EventType
from steward.monitoring.windows import Cause, Incident, IncidentState
from steward.spec import ModelSpec
from steward.types import JsonObject, RiskTier, Window, to_json

SERVING, RUN = "serving", "run"
MONITOR = Cause.MONITOR.value
_SHORTEST = timedelta(seconds=1)


@dataclass(frozen=True)
class Trouble:
    """`detail` decides whether it is still the same: `said` may count hours."""

    model: str
    version: int
    cause: str
    severity: str
    said: str
    since: datetime
    detail: JsonObject = field(default_factory=dict)


def note_trouble(services: Services, tx: Transaction, trouble: Trouble, actor: str) -> Incident | None:
    """Opened, or updated where it changed; None when that is known. Call it as the only writer (`tx.claim`)."""
    known = known_incident(tx, trouble.model, trouble.version, trouble.cause)
    if known is not None and (not is_from_outside(known) or known.detail == to_json(trouble.detail)):
        return None
    now = services.clock.now()
    body = {"said": trouble.said, "since": trouble.since, "detail": trouble.detail}
    digest = tx.evidence.put(Evidence("healing", trouble.model, body))
    if known is not None:
        changed = replace(known, updated_at=now, evidence=digest, detail=trouble.detail)
        said = f"{trouble.cause}: {trouble.said}"
        return save_incident(tx, EventType.INCIDENT_UPDATED, changed.linked("evidence", digest, now), actor, said)
    opened = _opened(trouble, digest, now).linked("evidence", digest, now)
    return save_incident(tx, EventType.INCIDENT_OPENED, opened, actor, f"{trouble.cause}: {trouble.said}")


def _opened(trouble: Trouble, digest: str, now: datetime) -> Incident:
    return Incident(
        id=uuid.uuid4().hex,
        model=trouble.model,
        version=trouble.version,
        cause=trouble.cause,
        severity=trouble.severity,
        state=IncidentState.OPEN,
        first_bad=Window(min(trouble.since, now - _SHORTEST), now),
        opened_at=now,
        updated_at=now,
        windows=0,
        evidence=digest,
        detail=trouble.detail,
    )


def end_trouble(services: Services, incident: Incident, actor: str, why: str) -> bool:
    """False when somebody ended it meanwhile."""
    with services.database.begin() as tx:
        tx.claim()
        known = known_incident(tx, incident.model, incident.version, incident.cause)
        if known is None or known.id != incident.id or not is_from_outside(known):
            return False
        resolve_incident(tx, known, actor, why, services.clock.now())
        return True


def known_incident(tx: Transaction, model: str, version: int, cause: str) -> Incident | None:
    key = (version, cause)
    return next((each for each in tx.incidents.unresolved(model) if (each.version, each.cause) == key), None)


def is_from_outside(incident: Incident) -> bool:
    """Whether no window has shown it: once one has, the windows say when it is over."""
    return incident.windows == 0


def spec_of(services: Services, model: str) -> ModelSpec | None:
    """None for one that is broken or gone: another's trouble, which its DAG or the audit tells of."""
    try:
        return services.specs.get(model)
    except StewardError:
        return None


def severity_by_tier(spec: ModelSpec | None) -> str:
    """That of the model's tier; where nobody can say which, the highest."""
    return (spec.risk_tier if spec else RiskTier.HIGH).value
