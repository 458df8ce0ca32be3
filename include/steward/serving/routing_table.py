"""The routing table in force, and the thread that follows the control plane.

A new route takes effect only when its versions are loaded, verified, tried and warm; until then, and whenever the
control plane is away, the table stays as it is. Epochs only rise.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from steward.errors import StewardError, UnavailableError
from steward.rollout import Route
from steward.serving.breaker import CanaryBreaker
from steward.serving.contract import RequestContract
from steward.serving.recorder import FeatureLayout
from steward.serving.saved_table import SavedTable
from steward.serving.sources import ServingSources
from steward.serving.trip_reports import Trip
from steward.serving.versions import ArtefactCache, LoadedVersion, prepare
from steward.spec import ModelSpec
from steward.types import JsonObject, Role, VersionRef

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
RETRY_SECONDS = 5.0
_LOADERS = 2


@dataclass(frozen=True)
class ActiveRoute:
    """A route whose versions are in memory. `canary` is None when it could not be loaded: `canary_fault` says why."""

    route: Route
    spec: ModelSpec
    contract: RequestContract
    layout: FeatureLayout
    champion: LoadedVersion | None
    canary: LoadedVersion | None
    canary_fault: str | None
    breaker: CanaryBreaker = field(default_factory=CanaryBreaker)

    def index(self) -> list[JsonObject]:
        loaded = {version.ref.number: version.digest for version in (self.champion, self.canary) if version}
        return [
            _index_row(self.route.model, number, role, share, loaded.get(number), self._problem(role))
            for number, role, share in _shares(self.route)
        ]

    def _problem(self, role: Role) -> str:
        if role is Role.CHAMPION:
            return ""
        return self.breaker.reason if self.breaker.tripped else self.canary_fault or ""


def _shares(route: Route) -> list[tuple[int, Role, int]]:
    """(version, role, percent of request keys) of every version the route names."""
    named = [(route.champion, Role.CHAMPION, 100 - route.percent), (route.canary, Role.CANARY, route.percent)]
    return [(number, role, share) for number, role, share in named if number is not None]


def _index_row(model: str, number: int, role: Role, percent: int, digest: str | None, reason: str) -> JsonObject:
    return {
        "name": model,
        "version": str(number),
        "state": "READY" if digest else "UNAVAILABLE",
        "reason": reason,
        "role": role.value,
        "percent": percent,
        "digest": digest,
    }


@dataclass
class _Load:
    """One version on its way in. `again_at` (monotonic) is when a failed one may be tried again."""

    version: LoadedVersion | None = None
    fault: StewardError | None = None
    again_at: float = 0.0

    @property
    def passing(self) -> bool:
        """Whether the fault says nothing about the version, only that something was away."""
        return isinstance(self.fault, UnavailableError)


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
    ) -> None:
        self.active: dict[str, ActiveRoute] = {}
        self.problems: dict[str, str] = {}
        self.unreachable_since: datetime | None = None
        self.read_once = False
        self._sources, self._cache, self._saved = sources, cache, saved
        self.closed: dict[str, str] = saved.closed
        self._hash_key, self._on_routed, self._known_trip = hash_key, on_routed, known_trip
        self._wanted: dict[str, Route] = {}
        self._loads: dict[VersionRef, _Load] = {}
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(_LOADERS, "version-loader")
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
            reason = self.problems.get(model, "its versions are being loaded")
            rows += [_index_row(model, number, role, share, None, reason) for number, role, share in _shares(route)]
        return rows

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
        self._pool.shutdown(wait=False, cancel_futures=True)

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
                self._advance(route)

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
            return
        champion, canary = self._load_for(route, route.champion), self._load_for(route, route.canary)
        if (champion and champion.fault) or (canary and canary.fault and (canary.passing or route.champion is None)):
            fault = champion.fault if champion and champion.fault else canary and canary.fault
            self.problems[route.model] = f"epoch {route.epoch} is not in force: {fault}"
            return
        if all(load is None or load.version or load.fault for load in (champion, canary)):
            self._activate(route, champion, canary)

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
        self.active.pop(model, None)
        self.problems.pop(model, None)
        self._forget_unrouted()
        self._saved.save(self.active.values(), self.closed)
        return True

    def _load_for(self, route: Route, number: int | None) -> _Load | None:
        """The load of a version, begun if need be. None: the route does not name one."""
        if number is None:
            return None
        ref = VersionRef(route.model, number)
        load = self._loads.get(ref)
        if load is None or (load.fault and time.monotonic() >= load.again_at):
            load = self._loads[ref] = _Load(again_at=float("inf"))
            self._pool.submit(self._bring_in, ref)
        return load

    def _bring_in(self, ref: VersionRef) -> None:
        try:
            done = _Load(version=self._prepare(ref))
        except StewardError as error:
            done = _Load(fault=error, again_at=time.monotonic() + RETRY_SECONDS)
            log.warning("%s cannot be loaded: %s", ref, error)
        except Exception as error:
            done = _Load(
                fault=StewardError(f"{type(error).__name__}: {error}"), again_at=time.monotonic() + RETRY_SECONDS
            )
            log.exception("%s cannot be loaded", ref)
        with self._lock:
            self._loads[ref] = done
            if ref.model in self._wanted:
                self._advance(self._wanted[ref.model])

    def _prepare(self, ref: VersionRef) -> LoadedVersion:
        """With the control plane away: by the saved digest, from the cache, its smoke rows tried before."""
        spec = self._sound_spec(ref.model)
        try:
            version = self._sources.version(ref)
            smoke, reference = self._sources.smoke(version), self._sources.reference(version)
        except UnavailableError:
            digest = self._saved.digest(ref)
            folder = self._cache.folder(digest, _nothing_to_fetch)
            return prepare(ref, digest, folder, spec, [], self._saved.reference(ref))
        folder = self._cache.folder(version.artefact_digest, lambda: self._sources.fetch(version))
        return prepare(ref, version.artefact_digest, folder, spec, smoke, reference)

    def _activate(self, route: Route, champion: _Load | None, canary: _Load | None) -> None:
        spec = self._sound_spec(route.model)
        fault = str(canary.fault) if canary and canary.fault else None
        self.active[route.model] = ActiveRoute(
            route,
            spec,
            RequestContract(spec),
            FeatureLayout(spec, self._hash_key),
            champion.version if champion else None,
            canary.version if canary else None,
            fault,
            self._breaker(route, spec),
        )
        if fault:
            self.problems[route.model] = f"the canary is not loaded: {fault}"
        else:
            self.problems.pop(route.model, None)
        self._on_routed(route.model, route.epoch)
        self._forget_unrouted()
        self._saved.save(self.active.values(), self.closed)

    def _breaker(self, route: Route, spec: ModelSpec) -> CanaryBreaker:
        """Tripped already where this epoch's version was taken off before this server was started, or by another."""
        latency = spec.deployment.guardrails.p99_latency
        breaker = CanaryBreaker(latency.max if latency else None)
        if trip := self._known_trip(route.model, route.epoch):
            breaker.trip(trip.reason)
        return breaker

    def _sound_spec(self, model: str) -> ModelSpec:
        """The one it was last served by while the file is broken: what was released, and the way back, do not wait for
        a mended file. Raises what the source raises when there is none."""
        try:
            return self._sources.spec(model)
        except StewardError as error:
            known = self._saved.spec(model)
            if known is None:
                raise
            log.warning("%s: its spec cannot be read, the last one stays: %s", model, error)
            return known

    def _forget_unrouted(self) -> None:
        routes = [active.route for active in self.active.values()] + list(self._wanted.values())
        named = {VersionRef(r.model, n) for r in routes for n in (r.champion, r.canary) if n is not None}
        for ref in set(self._loads) - named:
            del self._loads[ref]


def _names_nobody(route: Route) -> bool:
    return route.champion is None and route.canary is None


def _nothing_to_fetch() -> Path:
    raise UnavailableError(
        "the artefact is not in the cache and the control plane is away", hint="wait for it to return"
    )
