"""Monitors that did not run, seen from outside: the silence of a monitor must not pass for good news."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from steward.actions.incidents.from_outside import (
    MONITOR,
    Trouble,
    end_trouble,
    is_from_outside,
    note_trouble,
    severity_by_tier,
)
from steward.actions.state import Services
from steward.actions.windows.turns import Watch, serving_since, turn_of, watches
from steward.monitoring.windows import Incident
from steward.types import JsonObject, format_instant


def heal_monitors(services: Services, actor: str, *, dry_run: bool) -> Iterator[JsonObject]:
    """An incident while a monitor does not judge; what it missed it catches up itself, once it runs."""
    with services.database.begin() as tx:
        watched = list(watches(tx, serving_since(tx)))
        open_ = {(i.model, i.version): i for i in tx.incidents.unresolved_everywhere() if _is_ours(i)}
    silent = {(trouble.model, trouble.version): trouble for trouble in _silent(services, watched)}
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


def _silent(services: Services, watched: Iterable[Watch]) -> Iterator[Trouble]:
    for watch in watched:
        turn = turn_of(services, watch)
        if turn.missed and turn.spec:
            expected = f"{turn.missed}; its schedule is `{turn.spec.monitoring.schedule}`"
            detail = {"silent_since": format_instant(watch.last)}
            severity = severity_by_tier(turn.spec)
            yield Trouble(watch.model, watch.version, MONITOR, severity, expected, watch.last, detail)


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
