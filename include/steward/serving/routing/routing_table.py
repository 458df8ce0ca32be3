"""The routing table in force, and the thread that follows the control plane.

A new route takes effect only when its versions are loaded, verified, tried and warm; until then, and whenever the
control plane is away, the table stays as it is. Epochs only rise. A server that has nothing to stay with, and whose
champion cannot be loaded, is stood in for by the last good version: users are answered, and everybody is told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from steward.errors import StewardError, UnavailableError
from steward.inventory.estate import STILL_LOADING
from steward.rollout import Route
from steward.serving.memory.artefact_cache import ArtefactCache
from steward.serving.memory.loading import SERVES, SHADOWS, STANDS_BY, UNNAMED, Load, VersionLoader
from steward.serving.memory.versions import LoadedVersion
from steward.serving.routing.active_route import ActiveRoute, index_row, shares
from steward.serving.routing.breaker import CanaryBreaker
from steward.serving.routing.saved_table import SavedTable
from steward.serving.routing.sources import ServingSources
from steward.serving.routing.trip_reports import Trip
from steward.spec import ModelSpec
from steward.types import JsonObject, Role, VersionRef

__all__ = ["ActiveRoute", "RoutingTable"]

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
MOST_STAND_INS = 3
"""Earlier champions that are tried: the newest ones."""
_PRUNE_SECONDS = 3600.0


class RoutingTable:
    """Readers take `active[model]`, an immutable value, without a lock; one follower thread replaces it."""

    def __init__(
        self,
        sources: ServingSources,
        cache: ArtefactCache,
        saved: SavedTable,
        hash_key: bytes = b"",
        on_routed: Callable[[str, int], None] = lambda model, epoch: None,
        known_trip: Callable[[str, int], Trip | None] = lambda model, epoch: None,
        memory: int | None = None,
    ) -> None:
        self.active: dict[str, ActiveRoute] = {}
        self.problems: dict[str, str] = {}
        self.unreachable_since: datetime | None = None
        self.read_once = False
        self._sources, self._cache, self._saved = sources, cache, saved
        self.closed: dict[str, str] = saved.closed
        self._hash_key, self._on_routed, self._known_trip = hash_key, on_routed, known_trip
        self.missing: dict[str, VersionRef] = {}
        self._wanted: dict[str, Route] = {}
        self._stand_ins: dict[str, tuple[int, list[VersionRef]]] = {}
        self._lock = threading.RLock()
        self._loader = VersionLoader(sources, cache, saved, hash_key, memory, self._lock, self._rank, self._arrived)
        self._prune_at = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def models(self) -> list[str]:
        """Those that are served, or will be once their versions are loaded."""
        return sorted(set(self._wanted) - set(self.closed))

    def index(self) -> list[JsonObject]:
        """What is in force, version by version; a routed model whose versions are still loading is UNAVAILABLE."""
        rows = [row for model in sorted(self.active) for row in self.active[model].index()]
        waiting = {model: self._wanted[model] for model in self.models if model not in self.active}
        for model, route in waiting.items():
            reason = self.problems.get(model, STILL_LOADING)
            rows += [index_row(model, number, role, share, None, reason) for number, role, share in shares(route)]
        for model, ref in sorted(self.missing.items()):
            if model in self.active and self.active[model].version(ref.number) is None:
                rows.append(index_row(model, ref.number, Role.CHAMPION, 0, None, self.problems.get(model, "")))
        return rows

    def loaded(self) -> list[LoadedVersion]:
        """Every version in memory."""
        return self._loader.loaded()

    def start(self, wait_for_notice: Callable[[float], object] | None = None) -> None:
        """Follow the control plane; `wait_for_notice(seconds)` may return early when a route was changed."""
        wait = wait_for_notice or self._stopping.wait
        self._thread = threading.Thread(target=self._follow, args=(wait,), name="route-follower", daemon=True)
        self._thread.start()

    def trip(self, trip: Trip) -> None:
        """A server took this version off: so does this one, while it is in the same epoch."""
        active = self.active.get(trip.model)
        if active is not None and active.route.epoch == trip.epoch and active.breaker.trip(trip.reason):
            log.warning("%s is off traffic here too: %s", trip.ref, trip.reason)

    def stop(self) -> None:
        self._stopping.set()
        self._loader.stop()

    def refresh(self) -> None:
        """Read the routes and move towards them. With the control plane away the last table, saved or live, stays."""
        try:
            routes = self._sources.routes()
        except Exception as error:  # noqa: BLE001  # whatever a control plane fails with, traffic goes on
            self._lost(error)
            routes = [] if self._wanted else self._saved.routes()
        else:
            self.unreachable_since, self.read_once = None, True
        with self._lock:
            for route in routes:
                known = self._wanted.get(route.model)
                if known is None or route.epoch > known.epoch:
                    self._wanted[route.model] = route
            for route in list(self._wanted.values()):
                try:
                    self._advance(route)
                except Exception as error:  # the models behind it must not wait for this one
                    self.problems[route.model] = f"epoch {route.epoch} is not in force: {error}"
                    log.exception("the route of %s at epoch %d cannot be put in force", route.model, route.epoch)
        self._prune()

    def _prune(self) -> None:
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + _PRUNE_SECONDS
            self._cache.prune({version.digest for version in self.loaded()} | self._saved.digests)

    def _lost(self, error: Exception) -> None:
        if self.unreachable_since is None:
            self.unreachable_since = datetime.now(UTC)
            surprise = None if isinstance(error, StewardError) else error
            log.warning("the control plane cannot be reached, the last table stays: %s", error, exc_info=surprise)

    def _follow(self, wait: Callable[[float], object]) -> None:
        while not self._stopping.is_set():
            try:
                self.refresh()
            except Exception:
                log.exception("the routing table could not be refreshed; the last one stays")
            self._pause(wait)

    def _pause(self, wait: Callable[[float], object]) -> None:
        try:
            wait(POLL_SECONDS)
        except Exception as error:  # noqa: BLE001  # notices are a convenience, polling goes on
            log.debug("no notices, polling instead: %s", error)
            self._stopping.wait(POLL_SECONDS)

    def _advance(self, route: Route) -> None:
        """Put the route in force if all it needs is in memory; otherwise see to it that it will be."""
        if route.model in self.closed or (_names_nobody(route) and self._close(route.model)):
            return
        active = self.active.get(route.model)
        if active is not None and active.route.epoch >= route.epoch:
            self._complete(active)
            return
        loads = self._loads_of(route)
        champion, canary = loads.get(route.champion or 0), loads.get(route.canary or 0)
        if (champion and champion.fault) or (canary and canary.fault and (canary.passing or route.champion is None)):
            fault = champion.fault if champion and champion.fault else canary and canary.fault
            self.problems[route.model] = f"epoch {route.epoch} is not in force: {fault}"
            if champion and champion.fault and route.champion is not None:
                self._miss(route, VersionRef(route.model, route.champion), champion.fault)
        elif all(load is None or load.settled for load in (champion, canary)):
            self._activate(route, loads)

    def _miss(self, route: Route, champion: VersionRef, fault: StewardError) -> None:
        """Go on with what serves; where nothing does, with the newest earlier champion that can be loaded."""
        self.missing[route.model] = champion
        if active := self.active.get(route.model):
            serving = active.champion or active.canary
            if serving:
                self._say_stand_in(route, champion, serving.ref, fault)
            return
        for ref in self._earlier(route, champion):
            load = self._loader.load(ref)
            if load.version:
                log.error("%s cannot be loaded, %s stands in for it", champion, ref)
                stand_in = Route(route.model, ref.number, None, 0, route.epoch - 1, route.updated_at)
                self._put(stand_in, {ref.number: load.version}, {}, CanaryBreaker(None))
                self._say_stand_in(route, champion, ref, fault)
            if not load.fault:
                return

    def _say_stand_in(self, route: Route, champion: VersionRef, ref: VersionRef, fault: StewardError) -> None:
        """In the same words at every look: whoever reads them takes other words for other news."""
        said = f"{champion} cannot be loaded, {ref} answers instead: {fault}"
        self.problems[route.model] = f"epoch {route.epoch} is not in force: {said}"

    def _earlier(self, route: Route, champion: VersionRef) -> list[VersionRef]:
        """Asked once an epoch. The version that stands by first: it is the one to go back to."""
        epoch, known = self._stand_ins.get(route.model, (0, []))
        if epoch == route.epoch:
            return known
        beside = [VersionRef(route.model, route.standby)] if route.standby is not None else []
        try:
            found = list(dict.fromkeys([*beside, *self._sources.earlier(champion)]))[:MOST_STAND_INS]
        except StewardError as error:
            log.warning("earlier champions of %s are not known: %s", route.model, error)
            return beside
        self._stand_ins[route.model] = route.epoch, found
        return found

    def _loads_of(self, route: Route) -> dict[int, Load]:
        return {number: self._loader.load(VersionRef(route.model, number)) for number in route.versions}

    def _complete(self, active: ActiveRoute) -> None:
        """What stands beside came in, failed or gave way after the route was put in force without it."""
        beside = [number for number in (active.route.shadow, active.route.standby) if number is not None]
        loads = {number: self._loader.load(VersionRef(active.route.model, number)) for number in beside}
        present = {version.ref.number: version for version in (active.champion, active.canary) if version}
        present |= {number: load.version for number, load in loads.items() if load.version}
        faults = {n: said for n, said in active.faults.items() if n not in loads or not loads[n].settled}
        faults |= _faults(loads)
        if set(present) != {version.ref.number for version in active.loaded} or faults != active.faults:
            self._put(active.route, present, faults, active.breaker)

    def _close(self, model: str) -> bool:
        """Whether a route without versions is that of a model switched off for good, not of a first release rolled
        back. Asked until the control plane says so; nothing is loaded for either, and no spec is needed."""
        try:
            said = self._sources.closed(model)
        except UnavailableError:
            return False
        if said is None:
            return False
        log.info("%s: %s", model, said)
        self.closed[model] = said
        self.missing.pop(model, None)
        self.active.pop(model, None)
        self.problems.pop(model, None)
        self._forget_unrouted()
        self._saved.save(self.active.values(), self.closed)
        return True

    def _arrived(self, ref: VersionRef) -> None:
        if ref.model in self._wanted:
            self._advance(self._wanted[ref.model])

    def _rank(self, ref: VersionRef) -> int:
        """What a version is to the routes in force and to those that are wanted."""
        active = self.active.get(ref.model)
        routes = [route for route in (active and active.route, self._wanted.get(ref.model)) if route]
        if active is None and ref in self._stand_ins.get(ref.model, (0, []))[1]:
            return SERVES
        return min((_rank_in(route, ref.number) for route in routes), default=UNNAMED)

    def _activate(self, route: Route, loads: Mapping[int, Load]) -> None:
        present = {number: load.version for number, load in loads.items() if load.version}
        judged = present.get(route.canary or route.shadow or 0)
        self.missing.pop(route.model, None)
        self._stand_ins.pop(route.model, None)
        self._put(route, present, _faults(loads), self._breaker(route, judged.spec if judged else None))
        self._on_routed(route.model, route.epoch)

    def _put(
        self, route: Route, present: Mapping[int, LoadedVersion], faults: Mapping[int, str], breaker: CanaryBreaker
    ) -> None:
        self.active[route.model] = ActiveRoute.of(route, present, faults, breaker, self._hash_key)
        if faults:
            roles = {number: role for number, role, _ in shares(route)}
            said = [f"the {roles[number]} is not loaded: {fault}" for number, fault in faults.items()]
            self.problems[route.model] = "; ".join(said)
        else:
            self.problems.pop(route.model, None)
        self._forget_unrouted()
        self._saved.save(self.active.values(), self.closed)

    def _breaker(self, route: Route, spec: ModelSpec | None) -> CanaryBreaker:
        """Tripped already where this epoch's version was taken off before this server was started, or by another."""
        latency = spec.deployment.guardrails.p99_latency if spec else None
        breaker = CanaryBreaker(latency.max if latency else None)
        if trip := self._known_trip(route.model, route.epoch):
            breaker.trip(trip.reason)
        return breaker

    def _forget_unrouted(self) -> None:
        routes = [active.route for active in self.active.values()] + list(self._wanted.values())
        named = {VersionRef(route.model, number) for route in routes for number in route.versions}
        waiting = {ref for model, (_, refs) in self._stand_ins.items() if model not in self.active for ref in refs}
        self._loader.keep_only(named | waiting)


def _names_nobody(route: Route) -> bool:
    return route.champion is None and route.canary is None


def _faults(loads: Mapping[int, Load]) -> dict[int, str]:
    return {number: str(load.fault) for number, load in loads.items() if load.fault}


def _rank_in(route: Route, number: int) -> int:
    ranks = {route.standby: STANDS_BY, route.shadow: SHADOWS, route.canary: SERVES, route.champion: SERVES}
    return ranks.get(number, UNNAMED)
