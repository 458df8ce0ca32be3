"""Whether monitors judged when it was their turn: asked by whoever heals, and by whoever counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from steward.actions.incidents.from_outside import spec_of
from steward.actions.state import Services, Transaction
from steward.ledger import EventType
from steward.monitoring.checks.watch import GRACE, overdue
from steward.spec import ModelSpec

NEW_CHAMPION = (EventType.VERSION_PROMOTED, EventType.ROLLOUT_ROLLED_BACK)


@dataclass(frozen=True)
class Watch:
    """The monitor of one champion: when it judged last, or since when that version serves."""

    model: str
    version: int
    last: datetime


@dataclass(frozen=True)
class Turn:
    """`missed` says which turn was missed; None where none was. Not `known` where the spec cannot be read."""

    known: bool
    missed: str | None = None
    spec: ModelSpec | None = None


def serving_since(tx: Transaction) -> dict[str, datetime]:
    """By model, when its champion changed last: a rollback makes one too."""
    return {event.model: event.at for event in tx.events.read(types=NEW_CHAMPION)}


def watches(tx: Transaction, since: Mapping[str, datetime]) -> Iterator[Watch]:
    """Of every model that serves; `since` as `serving_since` tells it."""
    judged_at = {(judged.model, judged.version): judged.judged_at for judged in tx.windows.latest_everywhere()}
    for route in tx.routes.all():
        if route.champion is not None and route.model in since:
            last = judged_at.get((route.model, route.champion), since[route.model])
            yield Watch(route.model, route.champion, max(last, since[route.model]))


def turn_of(services: Services, watch: Watch) -> Turn:
    now = services.clock.now()
    if now - watch.last <= GRACE:
        return Turn(known=True)  # no schedule can have been missed: its spec need not be read
    spec = spec_of(services, watch.model)
    missed = overdue(spec, watch.last, now) if spec else None
    if missed and _judged_just_now(services, watch.model):
        missed = None
    return Turn(spec is not None, missed, spec)


def _judged_just_now(services: Services, model: str) -> bool:
    """By the clock on the wall: where a calendar is replayed, days pass faster than any monitor runs."""
    with services.database.begin() as tx:
        told = tx.events.read(model=model, types=[EventType.WINDOW_JUDGED, *NEW_CHAMPION], limit=1)
    return bool(told) and services.wall() - told[0].recorded_at <= GRACE
