"""Incidents, each change of one with its event: the same whoever finds the trouble, a window, an audit or a person.

What people should hear of it is put in the outbox in the same transaction: a message per opening, rise or end, never
one per window.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from steward.actions.effects import want_message
from steward.actions.operation import Operation
from steward.actions.state import Transaction
from steward.errors import NotFoundError, RequestError
from steward.ledger import EventDraft, EventType
from steward.monitoring.messages import message_of
from steward.monitoring.windows import MONITORED, Incident, IncidentState, LinkKind
from steward.types import JsonObject

NO_VERSION = 0  # of an incident that is about a model as a whole
SHORTEST_ID = 6


def save_incident(
    tx: Transaction,
    kind: EventType,
    incident: Incident,
    actor: str,
    said: str,
    run: str | None = None,
    *,
    rose_from: str | None = None,
    told: bool = True,
) -> Incident:
    """`rose_from`: the severity before, if it rose. `told=False` when people hear of it by a letter of its own."""
    saved = tx.incidents.save(incident)
    body: JsonObject = {
        "incident": saved.id,
        "cause": saved.cause,
        "severity": saved.severity,
        "first_bad": saved.first_bad.to_json(),
        "windows": saved.windows,
        **({"rose_from": rose_from} if rose_from else {}),
        **({} if told else {"told": False}),
        **({"run": run} if run else {}),
    }
    version = saved.version if saved.version != NO_VERSION else None
    event = tx.events.append(EventDraft(kind, saved.model, actor, said, version, saved.evidence, body))
    if message := message_of(event):
        want_message(tx, message)
    return saved


def resolve_incident(
    tx: Transaction,
    incident: Incident,
    actor: str,
    why: str,
    now: datetime,
    run: str | None = None,
    *,
    told: bool = True,
) -> Incident:
    ended = replace(incident, state=IncidentState.RESOLVED, updated_at=now, resolved_at=now)
    return save_incident(tx, EventType.INCIDENT_RESOLVED, ended, actor, f"{incident.cause}: {why}", run, told=told)


def monitored_incidents(tx: Transaction, model: str) -> list[Incident]:
    """What windows may open and close; an audit's or a review's incidents are not theirs to end."""
    return [incident for incident in tx.incidents.unresolved(model) if incident.cause in MONITORED]


def link_incidents(
    tx: Transaction, model: str, kind: LinkKind, ref: str, now: datetime, *, causes: Iterable[str] = MONITORED
) -> None:
    """Note in what is unresolved what was done about it, in the transaction that does it."""
    wanted = set(causes)
    for incident in monitored_incidents(tx, model):
        linked = incident.linked(kind, ref, now)
        if incident.cause in wanted and linked is not incident:
            tx.incidents.save(linked)


def end_with_service(tx: Transaction, op: Operation, version: int, why: str, *, kind: LinkKind, ref: str) -> None:
    """A version serves no more: the troubles that its windows showed are over, and the link says what ended them."""
    now = op.services.clock.now()
    for incident in monitored_incidents(tx, op.model):
        if incident.version == version:
            resolve_incident(tx, incident.linked(kind, ref, now), op.actor, why, now, op.run)


def incident_by_id(tx: Transaction, incident: str) -> Incident:
    """By its id, or the beginning of one. Raises NotFoundError; RequestError for what several begin with."""
    if len(incident) < SHORTEST_ID:
        raise NotFoundError(f"{incident!r} names no incident", hint=f"give at least {SHORTEST_ID} characters of its id")
    found = tx.incidents.find(incident)
    if not found:
        raise NotFoundError(f"there is no incident {incident}", hint="`steward incidents --all` lists them")
    if len(found) > 1:
        raise RequestError(f"{len(found)} incidents begin with {incident}", hint="give more of the id")
    return found[0]
