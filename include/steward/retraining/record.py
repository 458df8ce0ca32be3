"""What the record says about trainings of before: read from events, which may be in any order of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from steward.ledger import AuditEvent, EventType
from steward.retraining.situation import Refused, RetrainingHistory, Trigger
from steward.spec.retraining import Retraining

OPEN_FOR = timedelta(days=1)
"""Beyond the time limit of a training: a run or request without an end counts as open for so long."""

RECENT_EVENTS = (
    EventType.RETRAINING_REQUESTED,
    EventType.RETRAINING_ADMITTED,
    EventType.SNAPSHOT_TAKEN,
    EventType.MODEL_TRAINED,
    EventType.VERSION_PROMOTED,
    EventType.RUN_CLOSED,
)
CANDIDATE_EVENTS = (
    EventType.VERSION_REGISTERED,
    EventType.VERSION_REJECTED,
    EventType.VERSION_PROMOTED,
    EventType.APPROVAL_ANSWERED,
    EventType.APPROVAL_CLOSED,
    EventType.ROLLOUT_ROLLED_BACK,
    EventType.RETRAINING_ALLOWED,
)
_SAID_NO = ("rejected", "expired")


@dataclass(frozen=True)
class Record:
    """`recent`: RECENT_EVENTS since `horizon` of the policy. `declined`: as long as work counts as open.

    `trained`: the last few MODEL_TRAINED, however old. `candidates`: the last CANDIDATE_EVENTS. `by_hand`: the runs
    that persons began. All ascending by sequence.
    """

    recent: Sequence[AuditEvent] = ()
    declined: Sequence[AuditEvent] = ()
    trained: Sequence[AuditEvent] = ()
    candidates: Sequence[AuditEvent] = ()
    by_hand: frozenset[str] = frozenset()


def horizon(policy: Retraining, open_for: timedelta) -> timedelta:
    """How far back events matter to cooldown, budget and open work."""
    return max(policy.budget.per, policy.cooldown, open_for)


def history_of(
    policy: Retraining,
    record: Record,
    now: datetime,
    *,
    open_for: timedelta,
    rollout: str | None = None,
    waiting: str | None = None,
    answering: Iterable[int] = (),
    run: str | None = None,
) -> RetrainingHistory:
    """`waiting` says which version waits for approval. `run` is the one that asks, `answering` the requests it is
    about: neither is in its own way."""
    period = now - policy.budget.per
    trained = [event for event in record.recent if event.type is EventType.MODEL_TRAINED]
    asked = [event for event in record.recent if began_by_itself(event)]
    return RetrainingHistory(
        last_requested_at=_last(asked),
        last_trained_at=_last(trained),
        last_promoted_at=_last(e for e in record.recent if e.type is EventType.VERSION_PROMOTED),
        runs_in_period=sum(event.at > period for event in asked),
        cpu_hours_in_period=sum(cpu_hours(event) for event in trained if event.at > period),
        dearest_run=max((cpu_hours(event) for event in record.trained), default=0.0),
        rollout=rollout,
        open_work=waiting or _open_work(record, now - open_for, {*answering}, run),
        refused=tuple(refused_in_a_row(record)),
    )


def began_by_itself(event: AuditEvent) -> bool:
    """A request of the controller, or a run that the clock began; a run that answers a request is counted already."""
    by_clock = event.type is EventType.RETRAINING_ADMITTED and event.body.get("trigger") == Trigger.SCHEDULE
    return event.type is EventType.RETRAINING_REQUESTED or by_clock


def cpu_hours(event: AuditEvent) -> float:
    return float(event.body["cpu_seconds"]) / 3600


def _last(events: Iterable[AuditEvent]) -> datetime | None:
    return max((event.at for event in events), default=None)


def _open_work(record: Record, since: datetime, answering: set[int], mine: str | None) -> str | None:
    """A request that no run has answered, or a run that has begun and not ended, in words; the newest."""
    answered = {number for event in (*record.recent, *record.declined) for number in event.body.get("requests", ())}
    answered |= _followed_without_citing(record.recent)
    ended = {e.body.get("run"): e.seq for e in record.recent if e.type is EventType.RUN_CLOSED}
    for event in reversed([each for each in record.recent if each.at > since]):
        run, at = event.body.get("run"), f"{event.at:%Y-%m-%d %H:%M}"
        if event.type is EventType.RETRAINING_REQUESTED and event.seq not in answered | answering:
            return f"the request of {at} (event {event.seq}) has not been answered by a run"
        begun = event.type in (EventType.SNAPSHOT_TAKEN, EventType.RETRAINING_ADMITTED)
        if begun and run != mine and ended.get(run, 0) < event.seq:
            return f"a training run began at {at} (event {event.seq}) and has not ended"
    return None


def _followed_without_citing(events: Sequence[AuditEvent]) -> set[int]:
    """Requests of before runs were let in: the next snapshot was taken on them."""
    last = max((event.seq for event in events if event.type is EventType.SNAPSHOT_TAKEN), default=0)
    asked = (event for event in events if event.type is EventType.RETRAINING_REQUESTED)
    return {event.seq for event in asked if "trigger" not in event.body and event.seq < last}


def refused_in_a_row(record: Record) -> Iterator[Refused]:
    """Since the last promotion, or since a person let it go on. What persons tried by hand does not count."""
    made_by = {e.version: e.body.get("run") for e in record.candidates if _is_candidate(e)}
    found: dict[int, Refused] = {}
    for event in record.candidates:
        if event.type in (EventType.VERSION_PROMOTED, EventType.RETRAINING_ALLOWED):
            found = {}
        elif event.version is not None and _is_refusal(event) and made_by.get(event.version) not in record.by_hand:
            found.setdefault(event.version, Refused(event.version, event.seq, event.reason))
    yield from found.values()


def _is_candidate(event: AuditEvent) -> bool:
    return event.type in (EventType.VERSION_REGISTERED, EventType.VERSION_REJECTED)


def _is_refusal(event: AuditEvent) -> bool:
    """By its gates, by people (no answer is a no), by its rollout."""
    if event.type in (EventType.APPROVAL_ANSWERED, EventType.APPROVAL_CLOSED):
        return event.body.get("state") in _SAID_NO
    return event.type in (EventType.VERSION_REJECTED, EventType.ROLLOUT_ROLLED_BACK)
