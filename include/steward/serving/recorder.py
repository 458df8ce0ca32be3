"""The prediction log's way out of the server: a bounded queue, and one thread that stores it.

Answers never wait for it. Rows are stored every flush interval; a store that refuses keeps them in the queue, first in
line, until the queue is full: what no longer fits is lost and counted. A count that survives the process tells the next
one how many rows a crash took.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import mmap
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steward.data import PREDICTION_COLUMNS, PredictionLog
from steward.serving.contract import NUMERIC, Batch
from steward.spec import FeatureType, ModelSpec
from steward.types import Role

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

FULL_BATCH = 20_000
_LONGEST_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class Answered:
    """One request as one version answered it (or failed to: `error` set, `scores` None)."""

    model: str
    version: int
    role: Role
    epoch: int
    key: str
    decision_ids: list[str]
    at: datetime
    recorded_at: datetime
    latency_ms: float
    error: str | None
    scores: Any
    source: str | None
    batch: Batch
    layout: FeatureLayout


class FeatureLayout:
    """Which feature columns are logged and how: the spec's `data.privacy`; what no spec declares is never logged.

    `hash` writes a keyed BLAKE2 of the value: equal values stay equal, and without the key nobody tries them all.
    """

    def __init__(self, spec: ModelSpec, hash_key: bytes) -> None:
        self._key = hash_key[:64]
        self._model = spec.model.encode()
        self._columns: dict[str, tuple[FeatureType, bool]] = {}
        for name, feature in spec.data.features.items():
            if (rule := spec.data.privacy.get(name, "keep")) != "drop":
                self._columns[name] = (feature.type, rule == "hash")

    def columns(self, batches: Sequence[Batch]) -> dict[str, pa.Array]:
        """The logged features of all rows of the batches, as `f_<name>`; what a batch left out is null."""
        import pyarrow as pa

        logged = {}
        for name, (type_, hashed) in self._columns.items():
            values = [value for batch in batches for value in batch.columns.get(name) or [None] * batch.rows]
            if type_ in NUMERIC or (type_ is FeatureType.BOOLEAN and not hashed):
                values = [None if value is None else float(value) for value in values]
            if hashed:
                logged[f"f_{name}"] = pa.array([self._hash(value) for value in values], pa.string())
            elif type_ in NUMERIC or type_ is FeatureType.BOOLEAN:
                logged[f"f_{name}"] = pa.array(values, pa.float64(), from_pandas=True)
            else:
                logged[f"f_{name}"] = pa.array(values, pa.string())
        return logged

    def _hash(self, value: Any) -> str | None:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        return hashlib.blake2b(str(value).encode(), digest_size=16, key=self._key, salt=_salt(self._model)).hexdigest()


def _salt(model: bytes) -> bytes:
    return hashlib.blake2b(model, digest_size=16).digest()


class RowCount:
    """Rows taken and rows settled (stored, or counted as lost), in a file that outlives the process.

    A crash between storing and settling counts stored rows as lost: it never counts too few.
    """

    _FORM = struct.Struct("<QQ")

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.truncate(self._FORM.size)
            self._map = mmap.mmap(file.fileno(), self._FORM.size)
        self.taken, self.settled = self._FORM.unpack(self._map[:])
        self.lost_before = self.taken - self.settled
        self.settle(self.lost_before)

    def take(self, rows: int) -> None:
        self.taken += rows
        self._FORM.pack_into(self._map, 0, self.taken, self.settled)

    def settle(self, rows: int) -> None:
        self.settled += rows
        self._FORM.pack_into(self._map, 0, self.taken, self.settled)


class PredictionRecorder:
    """`record` from any one thread; `start` and `stop` by the server. `capacity` in rows."""

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
        self._wake = threading.Event()
        self._stopping = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self.pending_rows = 0
        self.failing_since: datetime | None = None

    def record(self, answered: Answered) -> None:
        rows = len(answered.decision_ids)
        if self.pending_rows + rows > self._capacity:
            self._on_lost(answered.model, rows)
            return
        with self._lock:
            self._count.take(rows)
            self.pending_rows += rows
        self._queue.append(answered)
        if self.pending_rows >= FULL_BATCH and self.failing_since is None:
            self._wake.set()

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience: float = 10.0) -> None:
        """Store what is left, for at most `patience` seconds; the rest is counted as lost."""
        self._stopping = True
        self._wake.set()
        self._thread.join(patience)
        for answered in list(self._queue):
            self._on_lost(answered.model, len(answered.decision_ids))

    def flush(self) -> None:
        """Store the queue as it is now, one append per model. What the store refuses goes back to its head."""
        waiting = [self._queue.popleft() for _ in range(len(self._queue))]
        for model in dict.fromkeys(answered.model for answered in waiting):
            group = [answered for answered in waiting if answered.model == model]
            if not self._store(model, group):
                self._queue.extendleft(reversed(group))

    def _store(self, model: str, group: list[Answered]) -> bool:
        rows = sum(len(answered.decision_ids) for answered in group)
        try:
            table = to_table(group)
        except Exception:
            log.exception("%d predictions of %s have no table form and are lost", rows, model)
            self._on_lost(model, rows)
            self._settle(rows)
            return True
        try:
            self._predictions.append(model, table)
        except Exception:
            if self.failing_since is None:
                log.exception("predictions of %s are not stored; they wait and are tried again", model)
            self.failing_since = self.failing_since or group[0].recorded_at
            return False
        self.failing_since = None
        self._settle(rows)
        return True

    def _settle(self, rows: int) -> None:
        with self._lock:
            self._count.settle(rows)
            self.pending_rows -= rows

    def _run(self) -> None:
        """A store that refuses is asked less and less often: each try builds the whole queue again."""
        pause = self._interval
        while not self._stopping:
            self._wake.wait(pause)
            self._wake.clear()
            self.flush()
            pause = min(pause * 2, _LONGEST_PAUSE) if self.failing_since else self._interval
        self.flush()


def to_table(group: Sequence[Answered]) -> pa.Table:
    """One row per decision: PREDICTION_COLUMNS and the logged features. Built by column: row by row costs ten times."""
    import pyarrow as pa

    runs = [list(run) for _, run in itertools.groupby(group, key=lambda answered: id(answered.layout))]
    return pa.concat_tables([_run_table(run) for run in runs], promote_options="default")


def _run_table(run: Sequence[Answered]) -> pa.Table:
    import pyarrow as pa

    values: dict[str, list[Any]] = {name: [] for name in PREDICTION_COLUMNS}
    for answered in run:
        rows = len(answered.decision_ids)
        values["decision_id"] += answered.decision_ids
        values["score"] += [None] * rows if answered.scores is None else answered.scores.tolist()
        for name, read in _SAME_FOR_ALL_ROWS.items():
            values[name] += [read(answered)] * rows
    columns = {name: pa.array(values[name], _TYPES[type_]()) for name, type_ in PREDICTION_COLUMNS.items()}
    return pa.table({**columns, **run[0].layout.columns([answered.batch for answered in run])})


_SAME_FOR_ALL_ROWS: dict[str, Callable[[Answered], Any]] = {
    "request_key": attrgetter("key"),
    **{name: attrgetter(name) for name in PREDICTION_COLUMNS if name not in {"decision_id", "score", "request_key"}},
}


def _instant() -> pa.DataType:
    import pyarrow as pa

    return pa.timestamp("us", "UTC")


def _alias(name: str) -> Callable[[], pa.DataType]:
    def type_() -> pa.DataType:
        import pyarrow as pa

        return pa.type_for_alias(name)

    return type_


_TYPES = {name: _instant if name.startswith("timestamp") else _alias(name) for name in PREDICTION_COLUMNS.values()}
