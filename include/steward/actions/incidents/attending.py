"""What people do about an incident: take it on, or say that it is over."""

from __future__ import annotations

from dataclasses import replace

from steward.actions.approvals.overriding import REVIEW_DUE
from steward.actions.approvals.waiving import said_why
from steward.actions.incidents.changing import incident_by_id, resolve_incident, save_incident
from steward.actions.operation import Operation, person
from steward.actions.state import Services, Transaction
from steward.errors import ConflictError, PolicyError
from steward.ledger import EventType
from steward.monitoring.windows import Incident, IncidentState
from steward.types import JsonObject


def acknowledge_incident(services: Services, *, incident: str, by: str, note: str = "") -> JsonObject:
    """`by` takes it on. Done again by the same person it changes nothing.

    Raises NotFoundError, and ConflictError for an incident that is over or that somebody else took on.
    """
    op = _operation(services, "acknowledge_incident", incident, by)

    def write(tx: Transaction) -> JsonObject:
        known = _unresolved(tx, incident)
        if known.state is IncidentState.ACKNOWLEDGED:
            return _again(known, by)
        now = services.clock.now()
        taken = replace(
            known, state=IncidentState.ACKNOWLEDGED, acknowledged_at=now, acknowledged_by=by, updated_at=now
        )
        said = f"{known.cause}: {note.strip() or f'{by} looks at it'}"
        return _told(save_incident(tx, EventType.INCIDENT_ACKNOWLEDGED, taken, op.actor, said))

    return op.commit(write)


def resolve_by_hand(services: Services, *, incident: str, by: str, reason: str) -> JsonObject:
    """`by` says that it is over, and why. A window that fails later opens a new one.

    Raises NotFoundError; RequestError without a reason; ConflictError for one that is over; PolicyError for a review
    that is due, which a review alone ends.
    """
    said = said_why(reason)
    op = _operation(services, "resolve_by_hand", incident, by)

    def write(tx: Transaction) -> JsonObject:
        known = _unresolved(tx, incident)
        if known.cause == REVIEW_DUE:
            hint = f"steward review {known.model} --reason …"
            raise PolicyError("only the review that is due ends this incident", where=known.model, hint=hint)
        ended = resolve_incident(tx, known, op.actor, f"{said} ({person(op.actor)})", services.clock.now())
        return _told(ended)

    return op.commit(write)


def _operation(services: Services, action: str, incident: str, by: str) -> Operation:
    with services.database.begin() as tx:
        model = incident_by_id(tx, incident).model
    return Operation.begin(services, action, model, None, f"person:{by}")


def _unresolved(tx: Transaction, incident: str) -> Incident:
    known = incident_by_id(tx, incident)
    if not known.unresolved:
        raise ConflictError(f"incident {known.id} was resolved on {known.resolved_at:%Y-%m-%d %H:%M} UTC")
    return known


def _again(known: Incident, by: str) -> JsonObject:
    if known.acknowledged_by not in (None, by):
        hint = "ask them, or resolve it with a reason"
        raise ConflictError(f"{known.acknowledged_by} looks at incident {known.id} already", hint=hint)
    return _told(known)


def _told(incident: Incident) -> JsonObject:
    return {"incident": incident.id, "model": incident.model, "state": incident.state.value, "cause": incident.cause}
