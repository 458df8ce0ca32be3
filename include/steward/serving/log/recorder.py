"""The prediction log's way out of the server: a bounded queue, and one thread that stores it.

Answers never wait for it. Rows are stored every flush interval; a store that refuses keeps them in the queue, first in
line, until the queue is full: what no longer fits is lost and counted. A count that survives the process tells the next
one how many rows a crash took.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from steward.data import PredictionLog
from steward.serving.log.answered_rows import Answered, to_table
from steward.serving.log.row_counts import RowCount

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

FULL_BATCH = 20_000
AT_ONCE = 128
_LONGEST_PAUSE = 10.0


class _Rows(NamedTuple):
    """Requests of one model as a table: what waits for the store."""

    model: str
    table: pa.Table
    since: datetime


class PredictionRecorder:
    """`record` from any thread; `start` and `stop` by the server. `capacity` in rows.

    Whoever records the AT_ONCE-th row makes a table of them all, while they are still in the processor's caches:
    the thread that stores would fetch each from memory again, and take Python's lock from the answers meanwhile.
    """

    def __init__(
        self,
        predictions: PredictionLog,
        count: RowCount,
        on_lost: Callable[[str, int], None],
        interval: float = 1.0,
        capacity: int = 200_000,
    ) -> None:
        self._predictions, self._count, self._on_lost = predictions, count, on_lost
        self._interval, self._capacity = interval, capacity
        self._queue: deque[Answered] = deque()
        self._waiting: deque[_Rows] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._queued_rows = 0
        self.pending_rows = 0
        self.flushes, self.flush_seconds = 0, 0.0
        self._failing: dict[str, datetime] = {}

    def record(self, answered: Answered) -> None:
        rows = len(answered.decision_ids)
        if self.pending_rows + rows > self._capacity:
            self._on_lost(answered.model, rows)
            return
        with self._lock:
            self._count.take(rows)
            self.pending_rows += rows
            self._queued_rows += rows
        self._queue.append(answered)
        if self._queued_rows >= AT_ONCE:
            self._tabulate()
            if self.pending_rows >= FULL_BATCH and not self._failing:
                self._wake.set()

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience: float = 10.0) -> None:
        """Store what is left, for at most `patience` seconds; the rest is counted as lost, here and by the next start:
        what this process has counted may never be looked at."""
        self._stopping = True
        self._wake.set()
        self._thread.join(patience)
        self._tabulate()
        for rows in list(self._waiting):
            self._on_lost(rows.model, rows.table.num_rows)

    def flush(self) -> None:
        """Store what was recorded until now, some thousand rows of a model at a time. What the store refuses goes
        back to the head of the line."""
        started = time.perf_counter()
        self._tabulate()
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        groups: dict[str, list[_Rows]] = {}
        for rows in taken:
            groups.setdefault(rows.model, []).append(rows)
        refused = list(chain.from_iterable(map(self._store_all, groups.values())))
        self._waiting.extendleft(reversed(refused))
        if taken:
            self.flushes, self.flush_seconds = self.flushes + 1, self.flush_seconds + time.perf_counter() - started

    def _tabulate(self) -> None:
        """Of what is in the queue now. Two threads that do it at once take different requests."""
        groups: dict[str, list[Answered]] = {}
        self._queued_rows = 0
        with suppress(IndexError):
            for _ in range(len(self._queue)):
                answered = self._queue.popleft()
                groups.setdefault(answered.model, []).append(answered)
        for model, group in groups.items():
            try:
                self._waiting.append(_Rows(model, to_table(group), group[0].recorded_at))
            except Exception:  # whatever Arrow objects to: one model's rows hold up nobody else's
                rows = sum(len(answered.decision_ids) for answered in group)
                log.exception("%d predictions of %s have no table form and are lost", rows, model)
                self._on_lost(model, rows)
                self._settle(rows)

    def _store_all(self, group: list[_Rows]) -> list[_Rows]:
        """What the store refused, and what stood behind it."""
        while group:
            part = _up_to(group, FULL_BATCH)
            if not self._store(part):
                break
            group = group[len(part) :]
        return group

    def _store(self, part: list[_Rows]) -> bool:
        import pyarrow as pa

        model, since = part[0].model, part[0].since
        try:
            table = pa.concat_tables([rows.table for rows in part], promote_options="default")
            self._predictions.append(model, table)
        except Exception:  # whatever a store raises, the rows wait and the thread goes on
            if self.failing_since is None:
                log.exception("predictions of %s are not stored; they wait and are tried again", model)
            self._failing.setdefault(model, since)
            return False
        self._failing.pop(model, None)
        self._settle(table.num_rows)
        return True

    @property
    def failing_since(self) -> datetime | None:
        return min(list(self._failing.values()), default=None)

    def _settle(self, rows: int) -> None:
        with self._lock:
            self._count.settle(rows)
            self.pending_rows -= rows

    def _run(self) -> None:
        """A store that refuses is asked less and less often."""
        pause = self._interval
        while not self._stopping:
            self._wake.wait(pause)
            self._wake.clear()
            self.flush()
            self._rotate()
            pause = min(pause * 2, _LONGEST_PAUSE) if self.failing_since else self._interval
        self.flush()

    def _rotate(self) -> None:
        try:
            self._predictions.rotate()
        except Exception:  # the next flush asks again
            log.exception("the prediction log's files were not handed on this time")


def _up_to(group: Sequence[_Rows], rows: int) -> list[_Rows]:
    """The first tables with about so many rows, at least one."""
    part: list[_Rows] = []
    for waiting in group:
        part.append(waiting)
        rows -= waiting.table.num_rows
        if rows <= 0:
            break
    return part
