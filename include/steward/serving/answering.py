"""From a call to an answer: choose a version, check, predict, fall back to the champion, record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from steward.clock import Clock
from steward.errors import StewardError, UnavailableError
from steward.rollout.routing import choose
from steward.serving.calls import Call
from steward.serving.contract import Batch
from steward.serving.explaining import explain_batch
from steward.serving.failures import RefusedRequestError, VersionFaultError
from steward.serving.metrics import ServerMetrics
from steward.serving.recorder import Answered, PredictionRecorder
from steward.serving.routing_table import ActiveRoute, RoutingTable
from steward.serving.versions import Answer, LoadedVersion
from steward.types import JsonObject, Role, VersionRef

log = logging.getLogger(__name__)

# A call that is expected to take longer than this leaves the event loop to others.
INLINE_SECONDS = 0.02
_THREADS = 8


@dataclass(frozen=True)
class Limits:
    """`canary_time`: how long a request waits for a canary before the champion answers it."""

    body_bytes: int = 8 * 2**20
    rows: int = 10_000
    in_flight: int = 256
    canary_time: timedelta = timedelta(seconds=2)


@dataclass(frozen=True)
class Result:
    version: int
    role: Role
    answer: Answer
    explanations: list[JsonObject] | None = None


RecordTrip = Callable[[str, int, int, str], None]
"""Model, version, epoch, why. Must not block."""


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
        self._canary_pool = ThreadPoolExecutor(_THREADS, "canary")
        self._last_at = datetime.now(UTC)

    async def answer(self, model: str, call: Call) -> Result:
        """Raises RefusedRequestError for the caller's faults, VersionFaultError when no version could answer."""
        active = self.route(model)
        self._check_size(call)
        number, role = _choose(active, call.key)
        required = (active.champion or active.canary).features  # type: ignore[union-attr]  # a route in force has one
        started = time.perf_counter()
        batch = active.contract.check(call.columns, call.rows, required)
        if batch.unseen:
            self._metrics.unseen(model, sum(batch.unseen.values()))
        if role is Role.CANARY:
            try:
                result = await self._by_canary(active, number, call, batch, started)
                return await self._explained(active, active.canary, call, batch, result)
            except VersionFaultError:
                if active.champion is None:
                    raise
            started = time.perf_counter()
        result = await self._by_champion(active, call, batch, started)
        return await self._explained(active, active.champion, call, batch, result)

    async def _explained(
        self, active: ActiveRoute, version: LoadedVersion | None, call: Call, batch: Batch, result: Result
    ) -> Result:
        """In a thread, after the answer was recorded: asking why costs nobody else time, and loses no decision."""
        if not call.explain or version is None:
            return result
        loop, ids = asyncio.get_running_loop(), call.decision_ids
        accounts = await loop.run_in_executor(self._pool, explain_batch, version, active.spec, batch, ids)
        return replace(result, explanations=accounts)

    def route(self, model: str) -> ActiveRoute:
        active = self.table.active.get(model)
        if active is None:
            raise self._retired(model) if model in self.table.closed else self._not_served(model)
        if active.champion is None and active.canary is None:
            raise _retry_later("no version is released", model)
        return active

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

    async def _by_canary(self, active: ActiveRoute, number: int, call: Call, batch: Batch, started: float) -> Result:
        ref = VersionRef(active.route.model, number)
        try:
            answer = await self._ask_canary(active, ref, batch)
        except VersionFaultError as fault:
            self._record(active, number, Role.CANARY, call, batch, started, None, fault)
            self._break(active, ref, time.perf_counter() - started, failed=True)
            raise
        self._record(active, number, Role.CANARY, call, batch, started, answer, None)
        self._break(active, ref, time.perf_counter() - started, failed=False)
        return Result(number, Role.CANARY, answer)

    async def _ask_canary(self, active: ActiveRoute, ref: VersionRef, batch: Batch) -> Answer:
        """In a thread of its own and for a limited time, so that a slow canary holds up nobody else's answer."""
        if active.canary is None:
            raise VersionFaultError(active.canary_fault or "it is not loaded", where=str(ref), kind="not_loaded")
        asked = asyncio.get_running_loop().run_in_executor(self._canary_pool, active.canary.answer, batch)
        limit = self.limits.canary_time.total_seconds()
        try:
            return await asyncio.wait_for(asked, limit)
        except TimeoutError as error:
            raise VersionFaultError(f"no answer after {limit:g} s", where=str(ref), kind="timeout") from error

    async def _by_champion(self, active: ActiveRoute, call: Call, batch: Batch, started: float) -> Result:
        champion = active.champion
        assert champion is not None  # `choose` names a champion only where there is one
        number = champion.ref.number
        try:
            answer = await self._ask(champion, batch)
        except VersionFaultError as fault:
            self._record(active, number, Role.CHAMPION, call, batch, started, None, fault)
            raise
        self._record(active, number, Role.CHAMPION, call, batch, started, answer, None)
        return Result(number, Role.CHAMPION, answer)

    async def _ask(self, version: LoadedVersion, batch: Batch) -> Answer:
        if version.seconds_per_call < INLINE_SECONDS and batch.rows < 100:
            return version.answer(batch)
        return await asyncio.get_running_loop().run_in_executor(self._pool, version.answer, batch)

    def _break(self, active: ActiveRoute, ref: VersionRef, seconds: float, *, failed: bool) -> None:
        if active.breaker.record(failed, seconds):
            self._metrics.tripped(ref.model, ref.number)
            self._record_trip(ref.model, ref.number, active.route.epoch, active.breaker.reason)

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
        seconds, model = time.perf_counter() - started, active.route.model
        arm = self._metrics.arm(model, number, role.value)
        arm.requests.inc()
        arm.seconds.observe(seconds)
        if fault is None:
            arm.rows.inc(call.rows)
        else:
            self._metrics.failed(model, number, role.value, fault.kind)
        self._recorder.record(
            Answered(
                model=model,
                version=number,
                role=role,
                epoch=active.route.epoch,
                key=call.key,
                decision_ids=call.decision_ids,
                at=self._now(),
                recorded_at=datetime.now(UTC),
                latency_ms=seconds * 1000,
                error=fault.kind if fault else None,
                scores=answer.scores if answer else None,
                source=call.source,
                batch=batch,
                layout=active.layout,
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


def _retry_later(what: str, model: str) -> RefusedRequestError:
    hint = "ask again in a moment; GET /v2/health/ready says what is waited for"
    return RefusedRequestError(what, where=model, hint=hint, code="not_ready", status=503, retry_after=1)
