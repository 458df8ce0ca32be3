"""The last retraining of a model: why it was asked for, and what came of it so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from steward.ledger import AuditEvent, EventType
from steward.types import JsonObject

ASKED = (EventType.RETRAINING_REQUESTED, EventType.RETRAINING_ADMITTED)
RETRAINING_EVENTS = (*ASKED, EventType.RETRAINING_DECLINED, EventType.RUN_CLOSED)
"""To be read besides releases and ways back; the newest of each is enough."""

UNDER_WAY = ("requested", "under way", "waits for approval", "being rolled out")
_RELEASED = {EventType.VERSION_PROMOTED: "promoted", EventType.ROLLOUT_ROLLED_BACK: "rolled back"}


@dataclass(frozen=True)
class Work:
    """What goes on now: versions that wait for approval, and the one that is being rolled out."""

    waiting: Sequence[int] = ()
    rolling_out: int | None = None


def last_retraining(events: Iterable[AuditEvent], work: Work) -> JsonObject | None:
    """None of a model that was never retrained; its first training is none. A refusal to retrain counts where something
    asked for one, and nothing is under way.

    `events`: RETRAINING_EVENTS, releases and ways back, ascending.
    """
    known = list(events)
    newest = {event.type: event for event in known}
    asked = max((newest[kind] for kind in ASKED if kind in newest), key=lambda event: event.seq, default=None)
    if asked is not None and not _replaces(asked):
        asked = None
    told = _told(asked, _why(asked, newest), _outcome(asked, known, newest, work)) if asked else None
    declined = newest.get(EventType.RETRAINING_DECLINED)
    if declined is None or declined.body.get("trigger") is None or (told and told["outcome"] in UNDER_WAY):
        return told
    return told if asked and asked.seq > declined.seq else _told(declined, declined.reason, "declined")


def _told(event: AuditEvent, said: str, outcome: str) -> JsonObject:
    return {"at": event.at, "seq": event.seq, "said": said, "outcome": outcome}


def _replaces(asked: AuditEvent) -> bool:
    """Whether there was a champion to be replaced."""
    return (asked.version or asked.body.get("champion")) is not None


def _why(asked: AuditEvent, newest: dict[EventType, AuditEvent]) -> str:
    """A run that answers a request was begun for the reason of the request."""
    request = newest.get(EventType.RETRAINING_REQUESTED)
    answers = request is not None and request.seq in asked.body.get("requests", ())
    return request.reason if request and answers else asked.reason


def _outcome(asked: AuditEvent, known: list[AuditEvent], newest: dict[EventType, AuditEvent], work: Work) -> str:
    """A rollback of the champion that was to be replaced is none of the retraining."""
    after = [event for event in known if event.seq > asked.seq]
    before = asked.version or asked.body.get("champion")
    released = next((e for e in reversed(after) if e.type in _RELEASED and e.version != before), None)
    if released is not None:
        return _RELEASED[released.type]
    if asked.type is EventType.RETRAINING_REQUESTED:
        return "requested"
    if work.rolling_out is not None:
        return "being rolled out"
    if work.waiting:
        return "waits for approval"
    closed = newest.get(EventType.RUN_CLOSED)
    return "ended without a release" if closed and closed.seq > asked.seq else "under way"
