"""Model servers that do not serve what the route says: without the champion, behind the route, or away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from steward.actions.incidents.changing import NO_VERSION
from steward.actions.incidents.from_outside import (
    SERVING,
    Trouble,
    end_trouble,
    known_incident,
    note_trouble,
    severity_by_tier,
    spec_of,
)
from steward.actions.state import Services, Transaction
from steward.inventory import MissingChampion, ServerStanding
from steward.ledger import ALL_MODELS, EventDraft, EventType
from steward.monitoring.severity import worst
from steward.monitoring.windows import Incident
from steward.rollout import Route
from steward.types import JsonObject

FOLLOWS_WITHIN = timedelta(minutes=10)
"""A server loads, checks and warms a new version before it follows the route; longer than this is a trouble."""

AWAY, MISSING, BEHIND = "away", "without the champion", "behind the route"

_Key = tuple[str, int]
_EVERY_SERVER = (ALL_MODELS, NO_VERSION)


@dataclass
class _Fault:
    """What is wrong about one champion, by server: a sentence, and what stays the same while it lasts."""

    said: dict[str, str] = field(default_factory=dict)
    states: dict[str, JsonObject] = field(default_factory=dict)

    def add(self, endpoint: str, said: str, state: JsonObject) -> None:
        self.said[endpoint], self.states[endpoint] = said, state


def heal_servers(services: Services, actor: str, *, dry_run: bool) -> Iterator[JsonObject]:
    """One incident per champion that is not served everywhere, and one about servers that do not answer at all."""
    with services.database.begin() as tx:
        routes = {route.model: route for route in tx.routes.all() if route.champion is not None}
        open_ = [each for each in tx.incidents.unresolved_everywhere() if each.cause == SERVING]
    if not routes and not open_:
        return
    found = services.served.standing()
    faults = _faults(services, found, routes)
    _keep_unknown(faults, open_, routes, {each.endpoint for each in found if each.fault})
    for key, fault in faults.items():
        yield from _noted(services, actor, key, fault, routes, dry_run)
    for incident in open_:
        if (incident.model, incident.version) not in faults:
            yield from _ended(services, actor, incident, routes, dry_run)


def _faults(services: Services, found: list[ServerStanding], routes: Mapping[str, Route]) -> dict[_Key, _Fault]:
    faults: dict[_Key, _Fault] = defaultdict(_Fault)
    for server in found:
        if server.fault:
            faults[_EVERY_SERVER].add(server.endpoint, f"does not answer: {server.fault}", {"trouble": AWAY})
            continue
        for missing in server.missing:
            if missing.model in routes and routes[missing.model].champion == missing.version:
                state = {"trouble": MISSING, "answering": missing.answering}
                faults[missing.model, missing.version].add(server.endpoint, _without(missing), state)
        gone = {missing.model for missing in server.missing}
        for key, said in _behind(services, server, routes, gone):
            faults[key].add(server.endpoint, said, {"trouble": BEHIND})
    return dict(faults)


def _without(missing: MissingChampion) -> str:
    stand_in = f"version {missing.answering} answers instead" if missing.answering is not None else "nothing answers"
    why = missing.reason.rpartition("answers instead: ")[2]
    return f"cannot load version {missing.version}, {stand_in}: {why}"


def _behind(
    services: Services, server: ServerStanding, routes: Mapping[str, Route], gone: set[str]
) -> Iterator[tuple[_Key, str]]:
    for route in routes.values():
        epoch = server.epochs.get(route.model)
        late = epoch is not None and epoch < route.epoch and route.model not in gone
        if late and route.champion is not None and _is_old(services, route):
            minutes = FOLLOWS_WITHIN // timedelta(minutes=1)
            said = f"is at epoch {epoch} of the route, which is at {route.epoch} for more than {minutes} minutes"
            yield (route.model, route.champion), said


def _is_old(services: Services, route: Route) -> bool:
    """By the clock on the wall: a route keeps the time of the calendar its model lives in."""
    with services.database.begin() as tx:
        told = tx.events.read(model=route.model, limit=200)
    moved = [event.recorded_at for event in told if event.body.get("epoch") == route.epoch]
    return not moved or services.wall() - min(moved) > FOLLOWS_WITHIN


def _keep_unknown(
    faults: dict[_Key, _Fault], open_: list[Incident], routes: Mapping[str, Route], away: set[str]
) -> None:
    """What was wrong at a server that does not answer now stays wrong until it says otherwise."""
    for incident in open_:
        key, servers = (incident.model, incident.version), (incident.detail or {}).get("servers", {})
        serves = incident.model in routes and routes[incident.model].champion == incident.version
        for endpoint in sorted(away & set(servers)) if serves else ():
            fault = faults.setdefault(key, _Fault())
            fault.add(endpoint, f"was {servers[endpoint]['trouble']} and does not answer now", servers[endpoint])


def _noted(
    services: Services, actor: str, key: _Key, fault: _Fault, routes: Mapping[str, Route], dry_run: bool
) -> Iterator[JsonObject]:
    trouble = _trouble(services, key, fault, routes)
    told: JsonObject = {"kind": SERVING, "model": trouble.model, "said": trouble.said}
    if dry_run:
        yield told
        return
    with services.database.begin() as tx:
        tx.claim()
        heard = _heard(tx, key)
        incident = note_trouble(services, tx, trouble, actor)
        if incident:
            _tell_fallen_back(tx, actor, incident, fault, heard)
    if incident:
        yield {**told, "incident": incident.id}


def _trouble(services: Services, key: _Key, fault: _Fault, routes: Mapping[str, Route]) -> Trouble:
    severity, now = severity_by_tier(spec_of(services, key[0])), services.clock.now()
    if key == _EVERY_SERVER:
        severity = "low"
        for model in routes:
            severity = worst(severity, severity_by_tier(spec_of(services, model)))
    said = "; ".join(f"{endpoint} {what}" for endpoint, what in sorted(fault.said.items()))
    return Trouble(*key, SERVING, severity, said, now, {"servers": fault.states})


def _heard(tx: Transaction, key: _Key) -> set[str]:
    """Servers of which it was told already that they cannot load this champion."""
    known = known_incident(tx, *key, SERVING)
    servers = (known.detail or {}).get("servers", {}) if known else {}
    return {endpoint for endpoint, state in servers.items() if state["trouble"] == MISSING}


def _tell_fallen_back(tx: Transaction, actor: str, incident: Incident, fault: _Fault, heard: set[str]) -> None:
    """Once per server and champion while the trouble lasts."""
    for endpoint, state in sorted(fault.states.items()):
        if state["trouble"] == MISSING and endpoint not in heard:
            body = {"server": endpoint, "answering": state["answering"], "incident": incident.id}
            said = f"{endpoint} {fault.said[endpoint]}"
            kind = EventType.SERVER_FELL_BACK
            tx.events.append(EventDraft(kind, incident.model, actor, said, incident.version, incident.evidence, body))


def _ended(
    services: Services, actor: str, incident: Incident, routes: Mapping[str, Route], dry_run: bool
) -> Iterator[JsonObject]:
    route = routes.get(incident.model)
    why = "every server answers and has what it should serve"
    if incident.model != ALL_MODELS and (route is None or route.champion != incident.version):
        why = f"version {incident.version} no longer serves"
    if dry_run or end_trouble(services, incident, actor, why):
        yield {"kind": SERVING, "model": incident.model, "said": why, "incident": incident.id}
