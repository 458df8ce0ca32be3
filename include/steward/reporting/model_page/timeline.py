"""What happened to a model, newest first, by day: what decides stands alone, what comes every night is folded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from steward.gates import Outcome
from steward.ledger import AuditEvent, EventType, person_of
from steward.types import JsonObject

MOST_ENTRIES = 150

TOLD = (
    EventType.VERSION_REGISTERED,
    EventType.VERSION_REJECTED,
    EventType.VERSION_PROMOTED,
    EventType.APPROVAL_REQUESTED,
    EventType.APPROVAL_ANSWERED,
    EventType.APPROVAL_REFUSED,
    EventType.APPROVAL_CLOSED,
    EventType.APPROVAL_VOIDED,
    EventType.ROLLOUT_STARTED,
    EventType.ROLLOUT_ADVANCED,
    EventType.ROLLOUT_ROLLED_BACK,
    EventType.ROLLBACK_PROVED,
    EventType.ROLLBACK_REHEARSED,
    EventType.RELEASE_REFUSED,
    EventType.GLASS_BROKEN,
    EventType.INCIDENT_OPENED,
    EventType.INCIDENT_ACKNOWLEDGED,
    EventType.INCIDENT_RESOLVED,
    EventType.RETRAINING_REQUESTED,
    EventType.RETRAINING_DECLINED,
    EventType.RETRAINING_ADMITTED,
    EventType.RETRAINING_ALLOWED,
    EventType.SERVER_FELL_BACK,
    EventType.STAGE_ENTERED,
    EventType.DOCUMENT_FILED,
    EventType.WAIVER_GRANTED,
    EventType.WAIVER_REVOKED,
    EventType.MODEL_REVIEWED,
    EventType.VERSION_REPRODUCED,
    EventType.SUBJECT_FORGOTTEN,
    EventType.RETIREMENT_STARTED,
    EventType.RETIREMENT_CALLED_OFF,
    EventType.CONSUMER_CONFIRMED,
    EventType.ENDPOINT_CLOSED,
    EventType.MODEL_ARCHIVED,
    EventType.MODEL_RETIRED,
)
"""What a person would tell of a model's life; `window.judged` is read beside them."""

_HEADS: dict[EventType, str] = {
    EventType.VERSION_REJECTED: "{v} was refused",
    EventType.VERSION_PROMOTED: "{v} is the champion",
    EventType.APPROVAL_REQUESTED: "People were asked about {v}",
    EventType.APPROVAL_REFUSED: "An answer about {v} did not count",
    EventType.APPROVAL_CLOSED: "The request about {v} ended",
    EventType.APPROVAL_VOIDED: "Answers about {v} no longer count",
    EventType.ROLLOUT_STARTED: "The rollout of {v} began",
    EventType.ROLLOUT_ROLLED_BACK: "{v} was rolled back",
    EventType.ROLLBACK_PROVED: "The servers were asked after the rollback",
    EventType.ROLLBACK_REHEARSED: "A way back was rehearsed",
    EventType.RELEASE_REFUSED: "A step towards release was refused",
    EventType.GLASS_BROKEN: "{v} may be released without its approvals",
    EventType.INCIDENT_OPENED: "Incident opened",
    EventType.INCIDENT_ACKNOWLEDGED: "Incident taken on",
    EventType.INCIDENT_RESOLVED: "Incident resolved",
    EventType.RETRAINING_REQUESTED: "Retraining requested",
    EventType.RETRAINING_DECLINED: "Retraining declined",
    EventType.RETRAINING_ADMITTED: "A training run was let in",
    EventType.RETRAINING_ALLOWED: "Retraining may go on",
    EventType.SERVER_FELL_BACK: "A server fell back",
    EventType.WAIVER_GRANTED: "Waiver granted",
    EventType.WAIVER_REVOKED: "Waiver ended",
    EventType.MODEL_REVIEWED: "The model was reviewed",
    EventType.VERSION_REPRODUCED: "{v} was trained again from its record",
    EventType.SUBJECT_FORGOTTEN: "Predictions about a person were erased",
    EventType.RETIREMENT_STARTED: "Retirement began",
    EventType.RETIREMENT_CALLED_OFF: "Retirement was called off",
    EventType.CONSUMER_CONFIRMED: "A consumer confirmed",
    EventType.ENDPOINT_CLOSED: "The endpoint was closed",
    EventType.MODEL_ARCHIVED: "Archived",
    EventType.MODEL_RETIRED: "Retired for good",
}
_GOOD = frozenset({EventType.VERSION_PROMOTED, EventType.INCIDENT_RESOLVED})
_BAD = frozenset(
    {
        EventType.VERSION_REJECTED,
        EventType.ROLLOUT_ROLLED_BACK,
        EventType.INCIDENT_OPENED,
        EventType.GLASS_BROKEN,
        EventType.RELEASE_REFUSED,
        EventType.APPROVAL_REFUSED,
        EventType.SERVER_FELL_BACK,
    }
)


def timeline_of(events: Sequence[AuditEvent], nights: Sequence[AuditEvent]) -> list[JsonObject]:
    """One item per day: `{day, entries}`. Nights that judged alike, one after another, are one entry on the last of
    them; so are refusals to retrain for the same reason."""
    since = events[0].at if len(nights) and events else None
    told = [*events, *(night for night in nights if since is None or night.at >= since)]
    entries = [_entry(run) for run in _folded(sorted(told, key=lambda event: event.seq))]
    newest = list(reversed(entries))[:MOST_ENTRIES]
    return [{"day": day, "entries": list(found)} for day, found in groupby(newest, key=lambda each: f"{each['at']:%F}")]


def _folded(events: Iterable[AuditEvent]) -> Iterator[list[AuditEvent]]:
    """A run of nights is broken by a night of another outcome, not by a refusal to retrain between two nights."""
    open_runs: dict[EventType, list[AuditEvent]] = {}
    for event in events:
        if event.type not in (EventType.WINDOW_JUDGED, EventType.RETRAINING_DECLINED):
            yield from _closed(open_runs)
            yield [event]
            continue
        run = open_runs.get(event.type, [])
        if run and _alike(run[-1]) != _alike(event):
            yield from _closed(open_runs)
        open_runs.setdefault(event.type, []).append(event)
    yield from _closed(open_runs)


def _closed(runs: dict[EventType, list[AuditEvent]]) -> list[list[AuditEvent]]:
    found = sorted(runs.values(), key=lambda run: run[-1].seq)
    runs.clear()
    return found


def _alike(event: AuditEvent) -> tuple[object, ...]:
    if event.type is EventType.WINDOW_JUDGED:
        return event.version, event.body.get("outcome"), tuple(sorted(event.body.get("causes", ())))
    return event.version, event.body.get("trigger"), event.reason.split(":", 1)[0]


def _entry(run: Sequence[AuditEvent]) -> JsonObject:
    last = run[-1]
    return {
        "seq": last.seq,
        "at": last.at,
        "event": last.type.value,
        "head": _head(run),
        "tone": _tone(last),
        "version": last.version,
        "actor": person_of(last.actor),
        "reason": last.reason,
        "evidence": last.evidence,
        "count": len(run),
        "since": run[0].at if len(run) > 1 else None,
        "first_seq": run[0].seq,
    }


def _head(run: Sequence[AuditEvent]) -> str:
    event, version = run[-1], f"@{run[-1].version}" if run[-1].version else "a version"
    if event.type is EventType.WINDOW_JUDGED:
        return _nights(run)
    if event.type in _TOLD_BY_BODY:
        return _TOLD_BY_BODY[event.type](event, version)
    head = _HEADS.get(event.type, event.type.value.replace(".", " ").replace("_", " ")).format(v=version)
    return head if len(run) == 1 else f"{head} {len(run)} times"


def _answered(event: AuditEvent, version: str) -> str:
    return f"{person_of(event.actor)} {'approved' if event.body.get('approved') else 'rejected'} {version}"


def _advanced(event: AuditEvent, version: str) -> str:
    step = event.body.get("step", event.body.get("percent"))
    return f"{version} has {step} % of traffic" if step else f"{version} answers copies, unseen"


def _entered(event: AuditEvent, _version: str) -> str:
    return f"Entered the stage {event.body.get('stage', '')}".replace("_", " ")


def _filed(event: AuditEvent, _version: str) -> str:
    return f"Document filed: {event.body.get('kind', '')}".replace("_", " ")


def _registered(event: AuditEvent, version: str) -> str:
    """A version may go on with gates that nobody could judge, where people decide, or under a waiver."""
    if event.body.get("waivers"):
        return f"{version} was registered under a waiver"
    return f"{version} {'passed its gates' if _passed(event) else 'was registered; not every gate could be judged'}"


def _passed(event: AuditEvent) -> bool:
    return not event.body.get("waivers") and event.body.get("outcome", "PASSED") == Outcome.PASSED


_TOLD_BY_BODY: dict[EventType, Callable[[AuditEvent, str], str]] = {
    EventType.VERSION_REGISTERED: _registered,
    EventType.APPROVAL_ANSWERED: _answered,
    EventType.ROLLOUT_ADVANCED: _advanced,
    EventType.STAGE_ENTERED: _entered,
    EventType.DOCUMENT_FILED: _filed,
}


def _nights(run: Sequence[AuditEvent]) -> str:
    outcome, causes = run[-1].body.get("outcome"), ", ".join(run[-1].body.get("causes", ()))
    said = {"PASSED": "passed", "FAILED": "failed"}.get(str(outcome), "could not be judged in full")
    windows = "A window" if len(run) == 1 else f"{len(run)} windows"
    of = f" of @{run[-1].version}" if run[-1].version else ""
    return f"{windows}{of} {said}" + (f": {causes}" if causes else "")


def _tone(event: AuditEvent) -> str:
    """good, bad, wait or quiet."""
    if event.type is EventType.WINDOW_JUDGED:
        return {Outcome.FAILED.value: "bad", Outcome.PASSED.value: "good"}.get(str(event.body.get("outcome")), "wait")
    if event.type is EventType.APPROVAL_ANSWERED:
        return "good" if event.body.get("approved") else "bad"
    if event.type is EventType.VERSION_REGISTERED:
        return "good" if _passed(event) else "wait"
    if event.type in _GOOD or event.type in _BAD:
        return "good" if event.type in _GOOD else "bad"
    return "wait" if event.type in (EventType.APPROVAL_REQUESTED, EventType.APPROVAL_VOIDED) else "quiet"
