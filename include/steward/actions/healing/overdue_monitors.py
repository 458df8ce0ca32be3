"""Monitors that did not run, seen from outside: the silence of a monitor must not pass for good news."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from steward.actions.incidents.from_outside import (
    MONITOR,
    Trouble,
    end_trouble,
    is_from_outside,
    note_trouble,
    severity_by_tier,
    spec_of,
)
from steward.actions.state import Services, Transaction
from steward.ledger import EventType
from steward.monitoring.checks.watch import GRACE, overdue
from steward.monitoring.windows import Incident
from steward.types import JsonObject, format_instant

_NEW_CHAMPION = (EventType.VERSION_PROMOTED, EventType.ROLLOUT_ROLLED_BACK)


@dataclass(frozen=True)
class _Watch:
    """The monitor of one champion: when it judged last, or since when that version serves."""

    model: str
    version: int
    last: datetime


def heal_monitors(services: Services, actor: str, *, dry_run: bool) -> Iterator[JsonObject]:
    """An incident while a monitor does not judge; what it missed it catches up itself, once it runs."""
    with services.database.begin() as tx:
        watches = list(_watches(tx))
        open_ = {(i.model, i.version): i for i in tx.incidents.unresolved_everywhere() if _is_ours(i)}
    silent = {(trouble.model, trouble.version): trouble for trouble in _silent(services, watches)}
    for trouble in silent.values():
        yield from _noted(services, trouble, actor, dry_run)
    for key, incident in open_.items():
        if key not in silent and (dry_run or end_trouble(services, incident, actor, "the monitor judges again")):
            yield {
                "kind": MONITOR,
                "model": incident.model,
                "said": "the monitor judges again",
                "incident": incident.id,
            }


def _watches(tx: Transaction) -> Iterator[_Watch]:
    serves_since = {event.model: event.at for event in tx.events.read(types=_NEW_CHAMPION)}
    judged_at = {(judged.model, judged.version): judged.judged_at for judged in tx.windows.latest_everywhere()}
    for route in tx.routes.all():
        if route.champion is not None and route.model in serves_since:
            last = judged_at.get((route.model, route.champion), serves_since[route.model])
            yield _Watch(route.model, route.champion, max(last, serves_since[route.model]))


def _silent(services: Services, watches: list[_Watch]) -> Iterator[Trouble]:
    now = services.clock.now()
    for watch in watches:
        if now - watch.last <= GRACE:
            continue  # no schedule can have been missed: its spec need not be read
        spec = spec_of(services, watch.model)
        if spec and (said := overdue(spec, watch.last, now)) and not _judged_just_now(services, watch.model):
            expected = f"{said}; its schedule is `{spec.monitoring.schedule}`"
            detail = {"silent_since": format_instant(watch.last)}
            yield Trouble(watch.model, watch.version, MONITOR, severity_by_tier(spec), expected, watch.last, detail)


def _judged_just_now(services: Services, model: str) -> bool:
    """By the clock on the wall: where a calendar is replayed, days pass faster than any monitor runs."""
    with services.database.begin() as tx:
        told = tx.events.read(model=model, types=[EventType.WINDOW_JUDGED, *_NEW_CHAMPION], limit=1)
    return bool(told) and services.wall() - told[0].recorded_at <= GRACE


def _noted(services: Services, trouble: Trouble, actor: str, dry_run: bool) -> Iterator[JsonObject]:
    told = {"kind": MONITOR, "model": trouble.model, "said": trouble.said}
    if dry_run:
        yield told
        return
    with services.database.begin() as tx:
        tx.claim()
        incident = note_trouble(services, tx, trouble, actor)
    if incident:
        yield {**told, "incident": incident.id}


def _is_ours(incident: Incident) -> bool:
    return incident.cause == MONITOR and is_from_outside(incident)
