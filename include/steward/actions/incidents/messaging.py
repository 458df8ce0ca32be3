"""Messages on their way to people: addressed by the rules, then delivered channel by channel.

A message is addressed once and becomes one effect per channel, so a channel that fails holds up no other and loses
nothing: it is tried again, less and less often, and what it said is kept with the message. A crash between sending and
noting it sends again; the id of the message tells.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from steward.actions.state import Database, Notifier, Services
from steward.errors import NotFoundError, StewardError, UnavailableError
from steward.ledger.outbox import PendingEffect
from steward.monitoring.messages import Message, letter
from steward.monitoring.notifications import NOTICES, Dispatch, Notifications, digest, dispatch_to_json, dispatches
from steward.spec import FaultsError, ModelSpec
from steward.types import JsonObject, parse_instant

log = logging.getLogger(__name__)

NOTICE, CHANNEL = "notice", "notice.channel"
PAGE = 100
LEASE = timedelta(minutes=5)  # a delivery that was begun and never ended is begun again
FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=1), timedelta(hours=1)


def pending_effects(database: Database) -> Iterator[PendingEffect]:
    """All of them, page by page: effects that cannot be delivered for long do not hide those behind them."""
    after = 0
    while True:
        with database.begin() as tx:
            page = tx.outbox.pending(PAGE, after)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].id


def address_message(services: Services, effect: PendingEffect) -> None:
    """One effect per channel instead of the message. Raises UnavailableError while the rules cannot be read: it waits
    for them, for a guess could tell the wrong people."""
    rules = _rules(services)
    planned = planned_dispatches(services, rules, _message(services, effect))
    now = services.wall()
    with services.database.begin() as tx:
        tx.claim()
        if tx.outbox.take(effect.id, now, now):  # unless another process addressed it meanwhile
            for one in planned:
                tx.outbox.put(CHANNEL, dispatch_to_json(one))
            tx.outbox.delivered(effect.id)


def planned_dispatches(services: Services, rules: Notifications, message: Message) -> list[Dispatch]:
    """Where and when a message goes by these rules."""
    spec = _spec(services, message.model)
    addressed = message if message.to or spec is None else replace(message, to=(spec.owner.email,))
    return dispatches(rules, addressed, spec.owner.team if spec else None)


def _rules(services: Services) -> Notifications:
    try:
        return services.notifications()
    except FaultsError as error:
        lines = ", ".join(str(fault.line) for fault in error.faults)
        # Not the faults themselves: what was written where an address does not belong must reach no log.
        said = f"the rules for notifications cannot be read: faults in line {lines}"
        raise UnavailableError(said, hint="`steward notices check` shows them; nothing is lost meanwhile") from None


def _message(services: Services, effect: PendingEffect) -> Message:
    if "message" in effect.body:
        return Message.from_json(effect.body["message"])
    body, at = effect.body, services.clock.now()
    to, severity = tuple(body["to"]), body.get("severity", "medium")
    return letter(f"letter:{effect.id}", to, body["title"], body["body"], severity, at)


def _spec(services: Services, model: str | None) -> ModelSpec | None:
    try:
        return services.specs.get(model) if model else None
    except (FaultsError, NotFoundError):
        return None


def deliver_messages(services: Services, notifier: Notifier | None = None) -> int:
    """Deliver what is due to the channels that `notifier` reaches; returns how many messages a channel did not take."""
    waiting = [effect for effect in pending_effects(services.database) if effect.kind == CHANNEL]
    if not waiting:
        return 0
    try:
        rules = _rules(services)
    except UnavailableError as error:
        log.warning("%d messages wait: %s", len(waiting), error)
        return len(waiting)
    courier, left = notifier or services.notifier, 0
    for name in dict.fromkeys(effect.body["channel"] for effect in waiting):
        theirs = [effect for effect in waiting if effect.body["channel"] == name]
        if name not in rules.channels and name != NOTICES:
            _drop(services, name, theirs)
        elif courier.reaches(name, rules.channels.get(name)):
            left += _deliver_to(services, courier, rules, name, theirs)
    return left


def _drop(services: Services, name: str, effects: Sequence[PendingEffect]) -> None:
    """The channel was taken out of the rules. What it would have said is in the file of notices."""
    log.warning("%d messages for %s are dropped: there is no such channel any more", len(effects), name)
    with services.database.begin() as tx:
        for effect in effects:
            tx.outbox.delivered(effect.id)


def _deliver_to(
    services: Services, courier: Notifier, rules: Notifications, name: str, effects: Sequence[PendingEffect]
) -> int:
    """One at a time, but what waited for the end of the quiet hours together. The first refusal ends the attempt."""
    due = [effect for effect in effects if _is_due(services, effect)]
    waited = [effect for effect in due if effect.body["not_before"]]
    batches = [*([waited] if waited else []), *([effect] for effect in due if not effect.body["not_before"])]
    for place, batch in enumerate(batches):
        if not _attempt(services, courier, rules, name, batch):
            return sum(len(rest) for rest in batches[place:])
    return sum(effect.error is not None for effect in effects if effect not in due)


def _is_due(services: Services, effect: PendingEffect) -> bool:
    not_before = effect.body["not_before"]
    if not_before and parse_instant(not_before) > services.clock.now():
        return False
    return effect.retry_at is None or effect.retry_at <= services.wall()


def _attempt(
    services: Services, courier: Notifier, rules: Notifications, name: str, batch: Sequence[PendingEffect]
) -> bool:
    """False when the channel refused. What another process delivers at this moment is left to it."""
    now = services.wall()
    with services.database.begin() as tx:
        mine = [effect for effect in batch if tx.outbox.take(effect.id, now, now + LEASE)]
    if not mine:
        return True
    try:
        told = digest([Message.from_json(effect.body["message"]) for effect in mine])
        courier.notify(name, rules.channels.get(name), told)
    except StewardError as error:
        log.warning("channel %s did not take a message: %s", name, error)
        _note_failure(services, mine, error.what)
        return False
    with services.database.begin() as tx:
        for effect in mine:
            tx.outbox.delivered(effect.id)
    return True


def _note_failure(services: Services, effects: Sequence[PendingEffect], said: str) -> None:
    with services.database.begin() as tx:
        for effect in effects:
            tx.outbox.failed(effect.id, said, services.wall() + retry_after(effect.attempts + 1))


def retry_after(attempts: int) -> timedelta:
    """A minute after the first failure, twice as long after each, an hour at most."""
    return min(FIRST_RETRY * 2 ** min(attempts - 1, 10), LONGEST_RETRY)


def waiting_messages(database: Database) -> list[JsonObject]:
    """What is not delivered yet, and why, oldest first."""
    return [_waiting(effect) for effect in pending_effects(database) if effect.kind in (NOTICE, CHANNEL)]


def _waiting(effect: PendingEffect) -> JsonObject:
    message = cast("JsonObject", effect.body.get("message") or effect.body)
    return {
        "channel": effect.body.get("channel"),
        "id": message.get("id"),
        "model": message.get("model"),
        "title": message["title"],
        "at": message.get("at"),
        "not_before": effect.body.get("not_before"),
        "attempts": effect.attempts,
        "error": effect.error,
        "retry_at": _said(effect.retry_at),
    }


def _said(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
