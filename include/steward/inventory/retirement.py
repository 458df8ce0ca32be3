"""How far a retirement has come and what it waits for. Views of audit events, and rules without side effects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from steward.ledger import AuditEvent, EventType, person_of
from steward.types import JsonObject, format_instant, parse_instant, to_json

RETIREMENT_EVENTS = (
    EventType.RETIREMENT_STARTED,
    EventType.RETIREMENT_CALLED_OFF,
    EventType.CONSUMER_CONFIRMED,
    EventType.ENDPOINT_CLOSED,
    EventType.MODEL_ARCHIVED,
    EventType.MODEL_RETIRED,
)


@dataclass(frozen=True)
class Confirmation:
    """`replacement` is what the consumer asks from now on; None: it needs no answer any more."""

    by: str
    at: datetime
    replacement: str | None = None


@dataclass(frozen=True)
class Archived:
    """`manifest` is the digest of the evidence that names every file with its own digest."""

    at: datetime
    address: str
    manifest: str
    keep_until: datetime


@dataclass(frozen=True)
class Retirement:
    """Under way, or done. `consumers` maps each name to an address; `quiet` must pass without a request."""

    model: str
    started_at: datetime
    by: str
    reason: str
    owner: str
    replacement: str | None
    consumers: dict[str, str]
    quiet: timedelta
    keep: timedelta
    confirmations: dict[str, Confirmation] = field(default_factory=dict)
    closed_at: datetime | None = None
    archived: Archived | None = None
    retired_at: datetime | None = None

    @property
    def unconfirmed(self) -> list[str]:
        return [name for name in self.consumers if name not in self.confirmations]

    @property
    def contacts(self) -> list[str]:
        """Everybody who is told, once each."""
        return list(dict.fromkeys([*self.consumers.values(), self.owner]))

    def to_json(self) -> JsonObject:
        said = {name: vars(given) for name, given in self.confirmations.items()}
        return to_json({**vars(self), "confirmations": said, "archived": self.archived and vars(self.archived)})


class Asked(Protocol):
    """Who called a model (`steward.data.Traffic`): requests by source, the last by business time."""

    @property
    def requests(self) -> int: ...

    @property
    def last_at(self) -> datetime | None: ...

    @property
    def sources(self) -> dict[str, int]: ...


def retirement_of(events: Iterable[AuditEvent]) -> Retirement | None:
    """The one under way or done; None before the first, and after one that was called off. Events of one model."""
    found: Retirement | None = None
    for event in events:
        if event.type is EventType.RETIREMENT_STARTED:
            found = _started(event)
        elif event.type is EventType.RETIREMENT_CALLED_OFF:
            found = None
        elif found is not None:
            found = _advanced(found, event)
    return found


def waiting_for_consumers(retirement: Retirement, replaced: bool) -> list[str]:
    """Why the endpoint may not close yet. `replaced`: the replacement answers users already."""
    if replaced:
        return []
    waiting = [f"{name} ({retirement.consumers[name]}) has not confirmed" for name in retirement.unconfirmed]
    if waiting and retirement.replacement:
        waiting.append(f"its replacement {retirement.replacement} has no champion here")
    return waiting


def waiting_for_quiet(retirement: Retirement, asked: Asked) -> list[str]:
    """`asked`: what came in over the last `quiet`. Every request begins the wait anew."""
    if asked.last_at is None:
        return []
    quiet_at = format_instant(asked.last_at + retirement.quiet)
    return [f"last asked at {format_instant(asked.last_at)} ({_callers(asked)}); quiet at {quiet_at} at the earliest"]


def _callers(asked: Asked) -> str:
    named = [f"{name} {count}" for name, count in sorted(asked.sources.items())]
    unnamed = asked.requests - sum(asked.sources.values())
    return ", ".join([*named, *([f"{unnamed} without a name"] if unnamed else [])])


def _started(event: AuditEvent) -> Retirement:
    body = event.body
    return Retirement(
        model=event.model,
        started_at=event.at,
        by=person_of(event.actor),
        reason=event.reason,
        owner=body["owner"],
        replacement=body["replacement"],
        consumers={consumer["name"]: consumer["contact"] for consumer in body["consumers"]},
        quiet=timedelta(seconds=body["quiet"]),
        keep=timedelta(seconds=body["keep"]),
    )


def _advanced(found: Retirement, event: AuditEvent) -> Retirement:
    body = event.body
    match event.type:
        case EventType.CONSUMER_CONFIRMED:
            said = Confirmation(person_of(event.actor), event.at, body.get("replacement"))
            return replace(found, confirmations={**found.confirmations, body["consumer"]: said})
        case EventType.ENDPOINT_CLOSED:
            return replace(found, closed_at=event.at)
        case EventType.MODEL_ARCHIVED:
            kept = Archived(event.at, body["archive"], event.evidence or "", parse_instant(body["keep_until"]))
            return replace(found, archived=kept)
        case EventType.MODEL_RETIRED:
            return replace(found, retired_at=event.at)
    return found
