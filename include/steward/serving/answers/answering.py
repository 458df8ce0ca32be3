"""From a call to an answer: choose a version, check, predict, fall back to the champion, record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

from steward.clock import Clock
from steward.errors import StewardError, UnavailableError
from steward.rollout.routing import choose
from steward.serving.answers.contract import Batch
from steward.serving.answers.daemon_threads import DaemonThreads
from steward.serving.answers.explaining import explain_batch
from steward.serving.answers.failures import RefusedRequestError, VersionFaultError
from steward.serving.answers.mirroring import Mirror, RecordTrip
from steward.serving.log.answered_rows import Answered
from steward.serving.log.recorder import PredictionRecorder
from steward.serving.memory.versions import Answer, LoadedVersion
from steward.serving.protocols.calls import Call
from steward.serving.routing.routing_table import ActiveRoute, RoutingTable
from steward.serving.telemetry.metrics import ServerMetrics
from steward.types import JsonObject, Role, VersionRef

log = logging.getLogger(__name__)

T = TypeVar("T")

# A call that is expected to take longer than this leaves the event loop to others.
INLINE_SECONDS = 0.02
_THREADS = 8


@dataclass(frozen=True)
class Limits:
    """`canary_time`: how long a request waits for a canary before the champion answers it. `body_seconds`: how long a
    body may take to arrive. `in_flight` is of all models together; each has its own limit in its spec."""

    body_bytes: int = 8 * 2**20
    body_seconds: float = 10.0
    rows: int = 10_000
    in_flight: int = 256
    canary_time: timedelta = timedelta(seconds=2)


class Result(NamedTuple):
    version: int
    role: Role
    answer: Answer
    explanations: list[JsonObject] | None = None


class Answering:
    def __init__(
        self,
        table: RoutingTable,
        recorder: PredictionRecorder,
        metrics: ServerMetrics,
        clock: Clock,
        limits: Limits,
        record_trip: RecordTrip,
    ) -> None:
        self.table, self.limits = table, limits
        self._recorder, self._metrics, self._clock, self._record_trip = recorder, metrics, clock, record_trip
        self._pool = ThreadPoolExecutor(_THREADS, "answering")
        self._threads: dict[VersionRef, DaemonThreads] = {}
        self._last_at = datetime.now(UTC)
        self._mirror = Mirror(recorder.record, metrics, self._now, record_trip)

    def stop(self) -> None:
        """Nothing more will be asked. Whatever hangs is left behind."""
        self._mirror.stop()
        for threads in (self._pool, *self._threads.values()):
            threads.shutdown(wait=False)

    async def answer(self, active: ActiveRoute, call: Call, wanted: str | bytes | None = None) -> Result:
        """`wanted` is the version a tester names; otherwise the route chooses.

        Raises RefusedRequestError for the caller's faults, VersionFaultError when no version could answer.
        """
        self._check_size(call)
        number, role = _choose(active, call.key) if wanted is None else _named(active, wanted)
        started = time.perf_counter()
        batch = self._check(active, call)
        if role is Role.CHAMPION or (role is Role.CANARY and _stalls(active)):
            return await self._by_champion(active, call, batch, started)
        try:
            return await self._by_other(active, number, role, call, batch, started)
        except VersionFaultError:
            if role is Role.TESTER or active.champion is None:
                self._break(active, number, role, started, failed=True)
                raise
        result = await self._by_champion(active, call, batch, time.perf_counter())
        # What the champion cannot answer either is not held against the canary: one caller could end every release.
        self._break(active, number, role, started, failed=True)
        return result

    def _check(self, active: ActiveRoute, call: Call) -> Batch:
        batch = active.contract.check(call.columns, call.rows, active.promised.features)
        if batch.unseen:
            self._metrics.unseen(active.route.model, sum(batch.unseen.values()))
        return batch

    async def _explained(self, version: LoadedVersion, call: Call, batch: Batch, result: Result) -> Result:
        """In a thread, after the answer was recorded: asking why costs nobody else time, and loses no decision."""
        asked = partial(explain_batch, version, version.spec, batch, call.decision_ids)
        return result._replace(explanations=await self._in_thread(self._pool, version, asked))

    def route(self, model: str) -> ActiveRoute:
        active = self.table.active.get(model)
        if active is None:
            raise self._retired(model) if model in self.table.closed else self._not_served(model)
        if active.champion is None and not active.loaded:
            raise _retry_later("no version is released", model)
        return active

    def version(self, model: str, wanted: str) -> LoadedVersion:
        """A version in memory, by its number as a caller writes it. Raises RefusedRequestError."""
        return self.for_tester(self.route(model), wanted).promised

    def for_tester(self, active: ActiveRoute, wanted: str | bytes) -> ActiveRoute:
        """The route as a tester meets it, who names a version. Raises RefusedRequestError."""
        named = active.version(_named(active, wanted)[0])
        assert named is not None  # `_named` refuses what is not loaded
        return active.for_tester(named)

    def _retired(self, model: str) -> RefusedRequestError:
        """410: it was here and will not come back, so that a caller stops asking instead of trying again."""
        hint = "do not ask again; its owner told every declared consumer what to ask instead"
        return RefusedRequestError(self.table.closed[model], where=model, hint=hint, code="retired", status=410)

    def _not_served(self, model: str) -> RefusedRequestError:
        known = self.table.models
        if model in known or not (known or self.table.read_once):
            return _retry_later(self.table.problems.get(model, "its versions are being loaded"), model)
        hint = f"known here: {', '.join(known[:20])}" if known else "no model is released yet"
        return RefusedRequestError(
            "no such model is served here", where=model, hint=hint, code="unknown_model", status=404
        )

    def _check_size(self, call: Call) -> None:
        if call.rows > self.limits.rows:
            said, hint = f"{call.rows} rows in one request", f"send at most {self.limits.rows} at a time"
            raise RefusedRequestError(said, hint=hint, code="too_many_rows", status=413)

    async def _by_champion(self, active: ActiveRoute, call: Call, batch: Batch, started: float) -> Result:
        champion = active.champion
        assert champion is not None  # `choose` names a champion only where there is one
        number = champion.ref.number
        try:
            if champion.seconds_per_call < INLINE_SECONDS and batch.rows < champion.inline_rows:
                answer = champion.answer(batch)
            else:
                answer = await self._in_thread(self._pool, champion, partial(champion.answer, batch))
        except VersionFaultError as fault:
            self._record(active, number, Role.CHAMPION, call, batch, started, None, fault)
            raise
        self._record(active, number, Role.CHAMPION, call, batch, started, answer, None)
        if active.shadow is not None:
            self._mirror.offer(active, call, batch, answer)
        result = Result(number, Role.CHAMPION, answer)
        return await self._explained(champion, call, batch, result) if call.why else result

    async def _by_other(
        self, active: ActiveRoute, number: int, role: Role, call: Call, batch: Batch, started: float
    ) -> Result:
        """A canary, or the version a tester named."""
        ref = VersionRef(active.route.model, number)
        try:
            version, answer = await self._ask_other(active, ref, batch)
        except VersionFaultError as fault:
            self._record(active, number, role, call, batch, started, None, fault)
            raise
        self._record(active, number, role, call, batch, started, answer, None)
        self._break(active, number, role, started, failed=False)
        result = Result(number, role, answer)
        return await self._explained(version, call, batch, result) if call.why else result

    async def _ask_other(self, active: ActiveRoute, ref: VersionRef, batch: Batch) -> tuple[LoadedVersion, Answer]:
        """In a thread of its own and for a limited time, so that a slow version holds up nobody else's answer."""
        version = active.version(ref.number)
        if version is None:
            raise VersionFaultError(active.canary_fault or "it is not loaded", where=str(ref), kind="not_loaded")
        asked = self._in_thread(self._threads_of(version), version, partial(version.answer, batch))
        limit = self.limits.canary_time.total_seconds()
        try:
            return version, await asyncio.wait_for(asked, limit)
        except TimeoutError as error:
            raise VersionFaultError(f"no answer after {limit:g} s", where=str(ref), kind="timeout") from error

    def _threads_of(self, version: LoadedVersion) -> DaemonThreads:
        """Its own: what a hanging version never gives back is missed by no other, of this model or of another."""
        if version.ref not in self._threads:
            loaded = {each.ref for active in list(self.table.active.values()) for each in active.loaded}
            for ref in self._threads.keys() - loaded:
                self._threads.pop(ref).shutdown()
            self._threads[version.ref] = DaemonThreads(_THREADS, str(version.ref))
        return self._threads[version.ref]

    async def _in_thread(self, pool: Executor, version: LoadedVersion, ask: Callable[[], T]) -> T:
        """The version counts as in use until the thread is done with it, also when nobody waits any longer."""
        left = partial(_leave, asyncio.get_running_loop(), version)
        version.in_flight += 1
        asked = pool.submit(ask)
        asked.add_done_callback(left)
        return await asyncio.wrap_future(asked)

    def _break(self, active: ActiveRoute, number: int, role: Role, started: float, *, failed: bool) -> None:
        """What a tester asks says nothing about what users meet."""
        if role is not Role.CANARY or not active.breaker.record(failed, time.perf_counter() - started):
            return
        model = active.route.model
        self._metrics.tripped(model, number)
        self._record_trip(model, number, active.route.epoch, active.breaker.reason)
        # If it comes back under a newer epoch, it is not by threads that it never gave back.
        if threads := self._threads.pop(VersionRef(model, number), None):
            threads.shutdown()

    def _record(
        self,
        active: ActiveRoute,
        number: int,
        role: Role,
        call: Call,
        batch: Batch,
        started: float,
        answer: Answer | None,
        fault: VersionFaultError | None,
    ) -> None:
        seconds, model, layout = time.perf_counter() - started, active.route.model, active.layout
        tally = self._metrics.tally(model, number, role.value)
        tally.asked(seconds)
        if fault is None:
            tally.answered(call.rows)
        else:
            self._metrics.failed(model, number, role.value, fault.kind)
            about = {"epoch": active.route.epoch, "decision_id": call.decision_ids[0]}
            log.info("%s could not answer: %s", VersionRef(model, number), fault.kind, extra=about)
        self._recorder.record(
            Answered(
                model,
                number,
                role,
                active.route.epoch,
                call.key,
                call.decision_ids,
                self._now(),
                datetime.now(UTC),
                seconds * 1000,
                fault.kind if fault else None,
                answer.scores if answer else None,
                call.source,
                layout.keep(batch),
                layout,
                layout.whom(batch, call.subjects),
                answer.probabilities if answer else None,
            )
        )

    def _now(self) -> datetime:
        """Business time; the last one known while the calendar cannot be read."""
        try:
            self._last_at = self._clock.now()
        except StewardError as error:
            log.debug("the calendar cannot be read: %s", error)
        return self._last_at


def _choose(active: ActiveRoute, key: str) -> tuple[int, Role]:
    if active.breaker.tripped and active.champion is not None:
        return active.champion.ref.number, Role.CHAMPION
    try:
        return choose(active.route, key)
    except UnavailableError as error:
        raise _retry_later(error.what, active.route.model) from error


def _stalls(active: ActiveRoute) -> bool:
    """A canary that answers nobody may not use up what the champion's answers need: beyond half, users are spared."""
    if active.champion is None or active.canary is None:
        return False
    return active.canary.in_flight >= max(1, active.spec.deployment.max_in_flight // 2)


def _named(active: ActiveRoute, wanted: str | bytes) -> tuple[int, Role]:
    """What a tester asked for by number, if it is in memory."""
    text = wanted.decode("latin-1") if isinstance(wanted, bytes) else wanted
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if active.version(number) is None:
        hint = "GET /v2/repository/index lists the versions that are loaded"
        said = f"version {text[:20]!r} is not loaded here"
        raise RefusedRequestError(said, where=active.route.model, hint=hint, code="unknown_version", status=404)
    return number, Role.TESTER


def _leave(loop: asyncio.AbstractEventLoop, version: LoadedVersion, _: object) -> None:
    """On the loop's own thread, where it was counted in: two threads would lose counts."""

    def left() -> None:
        version.in_flight -= 1

    with suppress(RuntimeError):  # the loop is closed: the process ends
        loop.call_soon_threadsafe(left)


def _retry_later(what: str, model: str) -> RefusedRequestError:
    hint = "ask again in a moment; GET /v2/health/ready says what is waited for"
    return RefusedRequestError(what, where=model, hint=hint, code="not_ready", status=503, retry_after=1)
