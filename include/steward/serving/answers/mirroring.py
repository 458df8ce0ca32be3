"""Copies of requests for a shadow: off the answer's path, bounded in number, time and processor, and never seen.

A copy that finds no room is dropped and counted: what cannot keep up is sampled, and nobody waits for it. What the
shadow answers is recorded under the decision id of the champion's answer, so that the two can be compared.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import NamedTuple

from steward.serving.answers.contract import Batch
from steward.serving.answers.failures import RefusedRequestError, VersionFaultError
from steward.serving.log.answered_rows import Answered
from steward.serving.memory.versions import Answer, LoadedVersion
from steward.serving.protocols.calls import Call
from steward.serving.routing.routing_table import ActiveRoute
from steward.serving.telemetry.metrics import ServerMetrics
from steward.types import Role

log = logging.getLogger(__name__)

_BURST, _LEAST_REST = 0.005, 0.01  # seconds
RecordTrip = Callable[[str, int, int, str], None]
"""Model, version, epoch, why. Must not block."""


@dataclass(frozen=True)
class MirrorLimits:
    """`requests` and `rows` may wait. `seconds` is how long an answer may take, `stuck` when nothing more is expected.

    `share` of one processor is what copies may cost: a thread that is busy all the time rests for the remainder.
    `workers` that never came back are replaced so often, then mirroring ends until a restart.
    """

    requests: int = 256
    rows: int = 5_000
    seconds: float = 2.0
    stuck: float = 10.0
    share: float = 0.25
    workers: int = 4


@dataclass(eq=False)
class _Copy:
    """A request on its way to the shadow. `asked_at` (monotonic) once a worker has it; `settled` once it counted."""

    active: ActiveRoute
    shadow: LoadedVersion
    call: Call
    batch: Batch
    answer: Answer
    loop: asyncio.AbstractEventLoop
    asked_at: float | None = None
    settled: bool = False


class _Done(NamedTuple):
    copy: _Copy
    answer: Answer | None
    fault: VersionFaultError | None
    seconds: float


class _Worker:
    """One thread that asks shadows; `asking` is the copy it is busy with.

    It works in bursts and rests between them: every change between it and the thread that answers users costs both of
    them more than a copy does.
    """

    def __init__(self, done: deque[_Done], settle: Callable[[], None], share: float) -> None:
        self.queue: SimpleQueue[_Copy | None] = SimpleQueue()
        self.asking: _Copy | None = None
        self._done, self._settle, self._rest = done, settle, (1 - share) / share
        threading.Thread(target=self._run, name="shadow", daemon=True).start()

    def _run(self) -> None:
        while (copy := self.queue.get()) is not None:
            cpu = time.thread_time()
            ended = self._burst(copy)
            with suppress(RuntimeError):  # the loop is closed: the process ends
                copy.loop.call_soon_threadsafe(self._settle)
            if ended:
                return
            time.sleep(max(_LEAST_REST, (time.thread_time() - cpu) * self._rest))

    def _burst(self, copy: _Copy | None) -> bool:
        """True when there will be no more."""
        until = time.monotonic() + _BURST
        while copy is not None:
            copy.asked_at, self.asking = time.monotonic(), copy
            answer, fault = _ask(copy)
            self.asking = None
            self._done.append(_Done(copy, answer, fault, time.monotonic() - copy.asked_at))
            if time.monotonic() > until or self.queue.empty():
                return False
            copy = self.queue.get()
        return True


def _ask(copy: _Copy) -> tuple[Answer | None, VersionFaultError | None]:
    """Checked by the shadow's own contract: a request that only the champion's spec allows is one it cannot answer."""
    shadow = copy.shadow
    try:
        return shadow.answer(shadow.contract.check(copy.call.columns, copy.call.rows, shadow.features)), None
    except VersionFaultError as fault:
        return None, fault
    except RefusedRequestError as refusal:
        return None, VersionFaultError(refusal.what, where=str(shadow.ref), kind="refused")
    except Exception as error:
        log.exception("the shadow %s failed beside its model", shadow.ref)
        return None, VersionFaultError(f"{type(error).__name__}: {error}", where=str(shadow.ref), kind="internal")


class Mirror:
    """For the event loop's thread: all but asking the shadow happens there."""

    def __init__(
        self,
        record: Callable[[Answered], None],
        metrics: ServerMetrics,
        now: Callable[[], datetime],
        record_trip: RecordTrip,
        limits: MirrorLimits | None = None,
    ) -> None:
        self._record, self._metrics, self._now, self._record_trip = record, metrics, now, record_trip
        self._limits = limits or MirrorLimits()
        self._worker: _Worker | None = None
        self._started = 0
        self._done: deque[_Done] = deque()
        self.waiting_requests = self.waiting_rows = 0

    def offer(self, active: ActiveRoute, call: Call, batch: Batch, answer: Answer) -> None:
        """A copy for the shadow of the route, if there is one and there is room. `answer` is what the user was told."""
        shadow = active.shadow
        if shadow is None:
            return
        self._settle()
        self._give_up_the_stuck()
        if active.breaker.tripped:
            return
        worker, limits = self._ready_worker(), self._limits
        full = self.waiting_requests >= limits.requests or self.waiting_rows + batch.rows > limits.rows
        if worker is None or full:
            self._metrics.shadow_dropped(shadow.ref.model, shadow.ref.number)
            return
        self.waiting_requests += 1
        self.waiting_rows += batch.rows
        shadow.in_flight += 1
        worker.queue.put(_Copy(active, shadow, call, batch, answer, asyncio.get_running_loop()))

    def stop(self) -> None:
        """No more copies; those that wait are forgotten with the process."""
        if self._worker is not None:
            self._worker.queue.put(None)

    def _give_up_the_stuck(self) -> None:
        if self._worker is not None and self._is_stuck(self._worker):
            self._abandon(self._worker)
            self._worker = None

    def _ready_worker(self) -> _Worker | None:
        """None when too many threads were lost."""
        if self._worker is None and self._started < self._limits.workers:
            self._started += 1
            self._worker = _Worker(self._done, self._settle, self._limits.share)
        return self._worker

    def _is_stuck(self, worker: _Worker) -> bool:
        """An answer that is late counts as a failure at once, before it comes, or in case it never does."""
        copy = worker.asking
        if copy is None or copy.asked_at is None:
            return False
        seconds = time.monotonic() - copy.asked_at
        if seconds > self._limits.seconds and not copy.settled:
            self._count(copy, None, None, seconds)
        return seconds > self._limits.stuck

    def _abandon(self, worker: _Worker) -> None:
        """Its thread cannot be ended, so it is left behind with the version it asked; what waited for it is dropped."""
        copy = worker.asking
        while not worker.queue.empty():
            if (left := worker.queue.get()) is not None:
                self._metrics.shadow_dropped(left.shadow.ref.model, left.shadow.ref.number)
                self._leave(left)
        worker.queue.put(None)
        if copy is not None:
            self._trip(copy, f"it has not answered a copy for {self._limits.stuck:g} s")

    def _settle(self) -> None:
        """Count what was answered since; after a burst, and before a copy, in case a burst never ends."""
        while self._done:
            copy, answer, fault, seconds = self._done.popleft()
            self._leave(copy)
            if not copy.settled:
                self._count(copy, answer, fault, seconds)

    def _leave(self, copy: _Copy) -> None:
        self.waiting_requests -= 1
        self.waiting_rows -= copy.batch.rows
        copy.shadow.in_flight -= 1

    def _count(self, copy: _Copy, answer: Answer | None, fault: VersionFaultError | None, seconds: float) -> None:
        """One copy, once: metrics, the log, the breaker. Too late is as good as not at all."""
        copy.settled = True
        if seconds > self._limits.seconds:
            said = f"no answer after {self._limits.seconds:g} s"
            answer, fault = None, VersionFaultError(said, where=str(copy.shadow.ref), kind="timeout")
        ref = copy.shadow.ref
        tally = self._metrics.tally(ref.model, ref.number, Role.SHADOW.value)
        tally.asked(seconds)
        if answer is not None:
            tally.answered(copy.call.rows)
            self._metrics.shadow_differed(ref.model, ref.number, _differing(answer, copy.answer))
        elif fault is not None:
            self._metrics.failed(ref.model, ref.number, Role.SHADOW.value, fault.kind)
        self._record(self._row(copy, answer, fault, seconds))
        if copy.active.breaker.record(fault is not None, seconds):
            self._tell_trip(copy)

    def _row(self, copy: _Copy, answer: Answer | None, fault: VersionFaultError | None, seconds: float) -> Answered:
        layout = copy.shadow.layout
        return Answered(
            model=copy.shadow.ref.model,
            version=copy.shadow.ref.number,
            role=Role.SHADOW,
            epoch=copy.active.route.epoch,
            key=copy.call.key,
            decision_ids=copy.call.decision_ids,
            at=self._now(),
            recorded_at=datetime.now(UTC),
            latency_ms=seconds * 1000,
            error=fault.kind if fault else None,
            scores=answer.scores if answer else None,
            source=copy.call.source,
            logged=layout.keep(copy.batch),
            layout=layout,
            subjects=layout.whom(copy.batch, copy.call.subjects),
            probabilities=answer.probabilities if answer else None,
        )

    def _trip(self, copy: _Copy, reason: str) -> None:
        if copy.active.breaker.trip(reason):
            self._tell_trip(copy)

    def _tell_trip(self, copy: _Copy) -> None:
        ref, breaker = copy.shadow.ref, copy.active.breaker
        self._metrics.tripped(ref.model, ref.number)
        self._record_trip(ref.model, ref.number, copy.active.route.epoch, breaker.reason)


def _differing(answer: Answer, champion: Answer) -> int:
    """Rows that were decided otherwise. A regression decides nothing: it is compared by the analysis, in numbers."""
    if answer.labels is None or champion.labels is None:
        return 0
    return sum(mine != theirs for mine, theirs in zip(answer.labels, champion.labels, strict=True))
