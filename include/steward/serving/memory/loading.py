"""Versions on their way into memory, and out of it: within a bound, the ones that serve before the ones that wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from steward.adapters.skops_models import MODEL_FILE, unpacked_size
from steward.errors import StewardError, UnavailableError
from steward.registry import ModelVersion
from steward.serving.memory.artefact_cache import ArtefactCache
from steward.serving.memory.versions import LoadedVersion, prepare
from steward.serving.routing.saved_table import SavedTable
from steward.serving.routing.sources import ServingSources
from steward.spec import ModelSpec
from steward.training.twins import TWIN_FILE
from steward.types import VersionRef

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
# Each try may fetch and check gigabytes beside live traffic: a version that is at fault itself is tried less and less.
LONGEST_PAUSE = 60.0
# What a version is to the routes that name it: the lower, the later it gives way.
SERVES, SHADOWS, STANDS_BY, UNNAMED = range(4)
_LOADERS = 2


class NoRoomError(StewardError):
    """A version that does not fit beside those that serve."""


@dataclass
class Load:
    """One version on its way in. `again_at` (monotonic) is when a failed one may be tried again.

    `gave_way`: it was, or would have been, in the way of one that serves. `tries` that failed before.
    """

    version: LoadedVersion | None = None
    fault: StewardError | None = None
    again_at: float = 0.0
    gave_way: bool = False
    tries: int = 0

    @property
    def settled(self) -> bool:
        return self.version is not None or self.fault is not None

    @property
    def passing(self) -> bool:
        """Whether the fault says nothing about the version, only that something was away or there was no room."""
        return isinstance(self.fault, (UnavailableError, NoRoomError))


class VersionLoader:
    """`rank(ref)` says what a version is to the routes; `arrived(ref)` is told when one is in, failed or gave way.

    `lock` is the routing table's: whatever is decided here is decided while no route changes.
    """

    def __init__(
        self,
        sources: ServingSources,
        cache: ArtefactCache,
        saved: SavedTable,
        hash_key: bytes,
        memory: int | None,
        lock: threading.RLock,
        rank: Callable[[VersionRef], int],
        arrived: Callable[[VersionRef], None],
    ) -> None:
        self._sources, self._cache, self._saved, self._hash_key = sources, cache, saved, hash_key
        self._memory, self._lock, self._rank, self._arrived = memory, lock, rank, arrived
        self._loads: dict[VersionRef, Load] = {}
        self._reserved: dict[VersionRef, int] = {}
        self._draining: list[LoadedVersion] = []
        self._pool = ThreadPoolExecutor(_LOADERS, "version-loader")

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def loaded(self) -> list[LoadedVersion]:
        """Everything in memory, those that only finish their last answers among them."""
        with self._lock:
            self._draining = [version for version in self._draining if version.in_flight > 0]
            return [load.version for load in self._loads.values() if load.version] + self._draining

    def load(self, ref: VersionRef) -> Load:
        """The load of a version, begun if need be."""
        load = self._loads.get(ref)
        if load is None or (load.fault and self._may_try_again(ref, load)):
            load = self._loads[ref] = Load(again_at=float("inf"), tries=load.tries + 1 if load else 0)
            self._pool.submit(self._bring_in, ref, load)
        return load

    def _may_try_again(self, ref: VersionRef, load: Load) -> bool:
        return time.monotonic() >= load.again_at or (load.gave_way and self._rank(ref) == SERVES)

    def keep_only(self, named: Collection[VersionRef]) -> None:
        """Let go of what no route names. One that still answers is counted until it is done."""
        for ref in set(self._loads) - set(named):
            if version := self._loads.pop(ref).version:
                self._draining.append(version)

    def _bring_in(self, ref: VersionRef, begun: Load) -> None:
        try:
            done = Load(version=self._prepare(ref))
        except StewardError as error:
            done = self._failed(ref, error, begun.tries)
            log.warning("%s cannot be loaded: %s", ref, error)
        except Exception as error:
            done = self._failed(ref, StewardError(f"{type(error).__name__}: {error}"), begun.tries)
            log.exception("%s cannot be loaded", ref)
        with self._lock:
            self._reserved.pop(ref, None)
            if self._loads.get(ref) is begun:  # else no route names it any more, and it is let go of
                self._loads[ref] = done
                self._arrived(ref)

    def _failed(self, ref: VersionRef, error: StewardError, tries: int) -> Load:
        gave_way = isinstance(error, NoRoomError) and self._rank(ref) > SERVES
        load = Load(fault=error, gave_way=gave_way)
        load.tries = 0 if load.passing else tries
        load.again_at = time.monotonic() + min(RETRY_SECONDS * 2 ** min(load.tries, 10), LONGEST_PAUSE)
        return load

    def _prepare(self, ref: VersionRef) -> LoadedVersion:
        """With the control plane away: by the saved digest and spec, from the cache; its smoke rows were tried then."""
        try:
            version = self._sources.version(ref)
            self._sources.check_released(version)
            spec = self._spec(version)
            smoke, reference = self._sources.smoke(version), self._sources.reference(version)
        except UnavailableError:
            digest, spec, smoke = self._saved.digest(ref), self._saved_spec(ref), []
            folder, reference = self._cache.folder(digest, _nothing_to_fetch), self._saved.reference(ref)
        else:
            digest = version.artefact_digest
            folder = self._cache.folder(digest, lambda: self._sources.fetch(version))
        self._reserve(ref, expected := _expected_bytes(folder))
        loaded = _measured(lambda: prepare(ref, digest, folder, spec, smoke, reference, self._hash_key))
        loaded.memory_bytes = max(loaded.memory_bytes, expected)  # what room was made for is what it holds
        return loaded

    def _spec(self, version: ModelVersion) -> ModelSpec:
        """The one it was served by here, where its own cannot be read by this release. Raises what the source does."""
        try:
            return self._sources.spec(version)
        except UnavailableError:
            raise
        except StewardError as error:
            if (kept := self._saved.spec(version.ref)) is None:
                raise
            log.warning("%s: its spec cannot be read, the one it was served by stays: %s", version.ref, error)
            return kept

    def _saved_spec(self, ref: VersionRef) -> ModelSpec:
        if (spec := self._saved.spec(ref)) is None:
            raise UnavailableError("the control plane is away and its spec was not kept here", where=str(ref))
        return spec

    def _reserve(self, ref: VersionRef, needed: int) -> None:
        """Raises NoRoomError. Those that stand by give way first, then shadows; what serves never does."""
        with self._lock:
            if self._memory is None:
                return
            free = self._memory - sum(v.memory_bytes for v in self.loaded()) - sum(self._reserved.values())
            giving = self._giving_way(self._rank(ref), needed - free)
            if giving is None:
                said = f"it takes {needed} bytes, {max(0, free)} of {self._memory} are free"
                raise NoRoomError(said, where=str(ref), hint="raise STEWARD_SERVER_MEMORY, or serve fewer models here")
            self._reserved[ref] = needed
            for other in giving:
                self._give_way(other, ref)

    def _giving_way(self, rank: int, missing: int) -> list[VersionRef] | None:
        """The fewest that must go, those that matter least first; None where all of them are too few."""
        candidates = [(self._rank(ref), ref, load.version) for ref, load in self._loads.items() if load.version]
        giving: list[VersionRef] = []
        for others, ref, version in sorted(candidates, key=lambda each: each[:2], reverse=True):
            if missing <= 0:
                break
            if others > rank:
                giving.append(ref)
                missing -= version.memory_bytes
        return giving if missing <= 0 else None

    def _give_way(self, ref: VersionRef, other: VersionRef) -> None:
        if (load := self._loads.get(ref)) is None:  # the one before it made its route let go of it
            return
        if load.version:
            self._draining.append(load.version)
        fault = NoRoomError(f"it gave way to {other}", where=str(ref), hint="raise STEWARD_SERVER_MEMORY")
        self._loads[ref] = Load(fault=fault, again_at=time.monotonic() + RETRY_SECONDS, gave_way=True)
        log.warning("%s", fault)
        self._arrived(ref)


def _expected_bytes(folder: Path) -> int:
    """From the files alone, before anything of them is built."""
    twin = folder / TWIN_FILE
    return unpacked_size(folder / MODEL_FILE) + (2 * twin.stat().st_size if twin.is_file() else 0)


def _measured(make: Callable[[], LoadedVersion]) -> LoadedVersion:
    before = _resident_bytes()
    version = make()
    version.resident_bytes = max(0, _resident_bytes() - before)
    return version


def _resident_bytes() -> int:
    """Of this process; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 0


def _nothing_to_fetch() -> Path:
    raise UnavailableError(
        "the artefact is not in the cache and the control plane is away", hint="wait for it to return"
    )
