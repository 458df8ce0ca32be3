"""What people are told of an incident: made from its audit events, so the past can be told again word for word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

from steward.ledger import ALL_MODELS, AuditEvent, EventType
from steward.types import JsonObject, VersionRef, format_instant, parse_instant

Occasion = Literal["opened", "rose", "acknowledged", "resolved", "fault", "letter"]
"""`fault`: a task of a generated DAG failed. `letter`: written to named people, as to those who must approve."""

LONGEST_ERROR = 300


@dataclass(frozen=True)
class Message:
    """`id` is the same however often it is delivered. `to` are addresses; of none, whoever owns the model."""

    id: str
    occasion: Occasion
    model: str | None
    cause: str
    severity: str
    at: datetime
    title: str
    body: str
    to: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        return {**vars(self), "at": format_instant(self.at), "to": list(self.to)}

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        return cls(**{**value, "at": parse_instant(value["at"]), "to": tuple(value["to"])})


_TOLD: dict[EventType, Occasion] = {
    EventType.INCIDENT_OPENED: "opened",
    EventType.INCIDENT_ACKNOWLEDGED: "acknowledged",
    EventType.INCIDENT_RESOLVED: "resolved",
}
INCIDENT_EVENTS = (*_TOLD, EventType.INCIDENT_UPDATED)


def message_of(event: AuditEvent) -> Message | None:
    """None for what is no news: one more bad window, or what people hear of by a letter of its own."""
    body = event.body
    occasion = _TOLD.get(event.type) or ("rose" if body.get("rose_from") else None)
    if occasion is None or body.get("told") is False:
        return None
    return Message(
        id=f"{body['incident']}:{event.seq}",
        occasion=occasion,
        model=event.model,
        cause=body["cause"],
        severity=body["severity"],
        at=event.at,
        title=f"{_named(event)}: {body['cause']} incident {_what(occasion, body)}",
        body="\n".join(_lines(event)),
    )


def _named(event: AuditEvent) -> str:
    if event.model == ALL_MODELS:
        return "Steward"
    return str(VersionRef(event.model, event.version)) if event.version is not None else event.model


def _what(occasion: str, body: JsonObject) -> str:
    if occasion == "rose":
        return f"rose from {body['rose_from']} to {body['severity']}"
    return f"{occasion} [{body['severity']}]"


def _lines(event: AuditEvent) -> list[str]:
    body, first_bad = event.body, event.body["first_bad"]
    lines = [event.reason, f"First bad window: {first_bad['start'][:10]} to {first_bad['end'][:10]}."]
    if event.type is EventType.INCIDENT_OPENED:
        lines.append(f"Take it on: steward incident acknowledge {body['incident']}")
    else:
        lines.append(f"By {event.actor}, {event.at:%Y-%m-%d %H:%M} UTC.")
    return [*lines, f"All of it: steward incident show {body['incident']}"]


def letter(id: str, to: tuple[str, ...], title: str, body: str, severity: str, at: datetime) -> Message:
    """About a matter of its own, to people who are named."""
    return Message(id, "letter", None, "letter", severity, at, title, body, to)


def fault_of(dag: str, run: str, task: str, model: str | None, severity: str, error: str, at: datetime) -> Message:
    """A task failed for good: no verdict, a fault. The error is the first line of it and no more."""
    said = error.strip().split("\n", 1)[0][:LONGEST_ERROR] or "no reason was given"
    after = "Its log in Airflow says more. Once the cause is mended, clear the task: nothing is done twice."
    body = f"{task} of {run} failed: {said}\n{after}"
    return Message(f"fault:{dag}:{run}", "fault", model, "fault", severity, at, f"{dag}: {task} failed", body)
