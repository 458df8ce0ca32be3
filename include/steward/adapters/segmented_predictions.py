"""The prediction log on a local disk: appends go to segments, `maintain` folds them into the Delta tables.

A Delta commit costs what hundreds of small appends to a file cost, so servers never make one. Reads see through: they
take the rows of the segments and of the table, and count each answer once.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from steward.adapters.delta_predictions import DeltaPredictionLog
from steward.adapters.delta_upkeep import fit
from steward.adapters.log_segments import (
    SEALED_BYTES,
    SEALED_SECONDS,
    Segment,
    SegmentFolder,
    TableWriter,
    is_held,
    read_batches,
)
from steward.adapters.prediction_batches import Source
from steward.adapters.prediction_rows import (
    OUTCOMES,
    PREDICTIONS,
    TOLD,
    Scan,
    all_of,
    conform,
    instant,
    kind_of,
    with_day,
)
from steward.adapters.store_refusals import refused
from steward.data import ANSWER_KEY, Forgotten, Upkeep
from steward.errors import UnavailableError
from steward.types import Window, format_instant, parse_instant

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from deltalake import DeltaTable

log = logging.getLogger(__name__)

_FOLDED_AT_ONCE = 256 * 2**20  # bytes of segments
_SEAL_PATIENCE = 5.0  # seconds; a server that lives seals within its flush interval
_STONES = ".forgotten.json"
_QUEUED_AT_MOST = timedelta(days=2)


class _Stone(NamedTuple):
    """What was recorded about a person until then is hidden from reads and left out of folds."""

    until: datetime
    erased: bool


class SegmentedPredictionLog(DeltaPredictionLog):
    """`root` is a folder on a disk of this host. Thread-safe; each process has segments of its own."""

    def __init__(
        self, root: str | Path, sealed_bytes: int = SEALED_BYTES, sealed_seconds: float = SEALED_SECONDS
    ) -> None:
        super().__init__(str(root).removeprefix("file://"))
        self._sealing = sealed_bytes, sealed_seconds
        self._writers: dict[str, TableWriter] = {}
        self._lock, self._process = threading.Lock(), os.getpid()

    def rotate(self) -> None:
        for writer in list(self._writers.values()):
            writer.rotate()

    def close(self) -> None:
        """Seal this process's segments."""
        for writer in list(self._writers.values()):
            writer.close()

    def replace_window(self, model: str, window: Window, version: int, rows: pa.RecordBatchReader, digest: str) -> bool:
        """Never beside a `forget`, which deletes every file that no commit names yet."""
        with self._alone(model):
            return super().replace_window(model, window, version, rows, digest)

    def maintain(self, model: str, keep_from: datetime, *, compact: bool = True) -> Upkeep:
        """Fold first; then as for tables alone. What a `forget` left half done is finished too."""
        with self._alone(model) as names:
            self._seal(names)
            folded = sum(self._fold(name) for name in names)
            for subject, stone in self._stones(names[0]).items():
                if not stone.erased:
                    self._finish_forgetting(model, names, subject)
            self._drop_old_stones(names[0])
            return replace(super().maintain(model, keep_from, compact=compact), folded=folded)

    def forget(self, model: str, subject: str, recorded_until: datetime) -> Forgotten:
        """Hidden from every read at once; then out of the segments and the tables."""
        with self._alone(model) as names:
            self._set_stones(names[0], {**self._stones(names[0]), subject: _Stone(recorded_until, erased=False)})
            return self._finish_forgetting(model, names, subject)

    def _finish_forgetting(self, model: str, names: Sequence[str], subject: str) -> Forgotten:
        """What is half done stays hidden, and the next `maintain` or `forget` goes on with it."""
        held = self._seal(names)
        for name in names:
            self._fold(name)
        erased = self._erase(model, subject, alone=True)
        stones = self._stones(names[0])
        self._set_stones(names[0], {**stones, subject: stones[subject]._replace(erased=not held)})
        return replace(erased, held=held)

    def _drop_old_stones(self, name: str) -> None:
        """Not at once: a server whose store refused may still hold answers of that time in its queue."""
        since = datetime.now(UTC) - _QUEUED_AT_MOST
        stones = self._stones(name)
        kept = {subject: stone for subject, stone in stones.items() if not stone.erased or stone.until > since}
        if kept != stones:
            self._set_stones(name, kept)

    @contextmanager
    def _alone(self, model: str) -> Iterator[Sequence[str]]:
        """One upkeep of a model at a time; the names of its two tables."""
        names = (f"{PREDICTIONS}/{model}", f"{OUTCOMES}/{model}")
        try:
            with self._folder(names[0]).upkeep(), self._folder(names[1]).upkeep():
                yield names
        except OSError as error:
            raise self._refused(names[0], error, "upkeep") from error

    def _seal(self, names: Sequence[str]) -> int:
        """Have every segment of this moment sealed; how many a process still holds when patience ends."""
        folders = [self._folder(name) for name in names]
        written = [segment.path for folder in folders for segment in folder.segments()]
        deadline = time.monotonic() + _SEAL_PATIENCE
        while held := [path for path in written if is_held(path)]:
            if time.monotonic() > deadline:
                log.warning("%d segments are held by a process that does not seal them, %s first", len(held), held[0])
                break
            for folder in folders:
                folder.request_seal()
            self.rotate()
            time.sleep(0.05)
        return len(held)

    # --- folding ----------------------------------------------------------------------------------

    def _fold(self, name: str) -> int:
        """Sealed segments into the table, each exactly once: the commit names the last segment of each writer.

        Who is still to be erased goes with them: the table knows which outcomes are theirs. Who was, is left out.
        """
        groups = _groups(self._folder(name).sealed())
        return sum(self._fold_some(name, group) for group in groups)

    def _fold_some(self, name: str, segments: Sequence[Segment]) -> int:
        table, began = self._open(name), time.time_ns() - 10**9
        known = {segment.writer: table.transaction_version(segment.writer) for segment in segments} if table else {}
        new = [segment for segment in segments if (known.get(segment.writer) or 0) < segment.sequence]
        rows = self._rows_of(name, new, Scan(), self._without(name, erased=True))
        count = 0
        if rows is not None:
            kept = _once(rows, name)
            self._store(name, with_day(_table_types(kept, table), name), _last_of(new))
            _sync(Path(self.root) / name, began)
            count = kept.num_rows
        for segment in segments:
            segment.path.unlink(missing_ok=True)
        return count

    # --- reading ----------------------------------------------------------------------------------

    def _scan_once(self, name: str, asked: Scan) -> pa.Table | None:
        """Segments before the table: one that is folded in between is then found twice, never not at all."""
        shown = self._unforgotten(name)
        waiting = self._rows_of(name, self._folder(name).segments(), asked, shown)
        stored = super()._scan_once(name, asked)
        found = [rows for rows in (stored, waiting) if rows is not None]
        return fit(found, {}) if found else None

    def _source(self, name: str) -> Source | None:
        """Segments before the table, as in every read; they are an hour's rows at most, and stay in memory."""
        shown = self._unforgotten(name)
        waiting = self._rows_of(name, self._folder(name).segments(), Scan(), shown)
        stored = super()._source(name)
        return Source(name, stored and stored.stored, waiting, shown) if stored or waiting is not None else None

    def _rows_of(
        self, name: str, segments: Sequence[Segment], asked: Scan, shown: ds.Expression | None
    ) -> pa.Table | None:
        """None when there are no segments; rows in the order in which each process wrote them."""
        import pyarrow as pa

        condition, tables = all_of(asked.wanted, shown), []
        for segment in segments:
            try:
                batches = read_batches(segment.path)
            except FileNotFoundError:
                continue  # folded meanwhile: the table has it
            if batches:
                rows = conform(pa.Table.from_batches(batches), name)
                rows = asked.of_texts(rows if condition is None else rows.filter(condition))
                tables.append(asked.select(rows))
        return fit(tables, {}) if tables else None

    # --- who is to be forgotten -------------------------------------------------------------------

    def _unforgotten(self, name: str) -> ds.Expression | None:
        return self._without(name, erased=False)

    def _without(self, name: str, *, erased: bool) -> ds.Expression | None:
        """Rows of nobody who is to be forgotten; `erased`: only of nobody whose rows were erased already."""
        import pyarrow.dataset as ds

        stones = {who: stone for who, stone in self._stones(name).items() if stone.erased or not erased}
        later = {who: ds.field("recorded_at") > instant(stone.until) for who, stone in stones.items()}
        return all_of(*(~ds.field("subject").isin([subject]) | after for subject, after in later.items()))

    def _stones(self, name: str) -> dict[str, _Stone]:
        try:
            read = json.loads((self._folder(name).path / _STONES).read_text())
        except FileNotFoundError:
            return {}
        return {subject: _Stone(parse_instant(until), erased) for subject, (until, erased) in read.items()}

    def _set_stones(self, name: str, stones: Mapping[str, _Stone]) -> None:
        path = self._folder(name).path / _STONES
        try:
            if not stones:
                return path.unlink(missing_ok=True)
            fresh = path.with_suffix(".new")
            fresh.write_text(
                json.dumps({subject: [format_instant(until), e] for subject, (until, e) in stones.items()})
            )
            fresh.replace(path)
        except OSError as error:
            raise self._refused(name, error) from error

    # --- writing ----------------------------------------------------------------------------------

    def _append(self, name: str, rows: pa.Table) -> None:
        """Outcomes are acknowledged to their sender, so they are on the disk first; predictions within seconds."""
        try:
            self._writer(name).append(rows, durable=kind_of(name) == OUTCOMES)
        except OSError as error:
            raise self._refused(name, error) from error

    def _refused(self, name: str, error: OSError, what: str = "rows") -> UnavailableError:
        return refused(what, error, str(self._folder(name).path))

    def _writer(self, name: str) -> TableWriter:
        with self._lock:
            if self._process != os.getpid():  # a fork: its parent goes on with the segments that are open
                self._process, self._writers = os.getpid(), {}
            if name not in self._writers:
                self._writers[name] = TableWriter(self._folder(name), *self._sealing)
            return self._writers[name]

    def _folder(self, name: str) -> SegmentFolder:
        return SegmentFolder(Path(self.root) / "segments" / name)


def _groups(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """In their order, so many at a time that memory holds them."""
    group: list[Segment] = []
    size = 0
    for segment in segments:
        group.append(segment)
        size += segment.path.stat().st_size
        if size >= _FOLDED_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _last_of(segments: Sequence[Segment]) -> dict[str, int]:
    return {segment.writer: segment.sequence for segment in segments}


def _once(rows: pa.Table, name: str) -> pa.Table:
    """Of an answer or an outcome that was recorded twice in these rows the newest; a correction is no repetition."""
    key = ["decision_id", *TOLD, "observed_at"] if kind_of(name) == OUTCOMES else list(ANSWER_KEY)
    keys = rows.select([*key, "recorded_at"]).to_pandas().sort_values("recorded_at", kind="stable")
    newest = keys.drop_duplicates(key, keep="last").index.sort_values()
    return rows if len(newest) == rows.num_rows else rows.take(newest.to_numpy())


def _table_types(rows: pa.Table, table: DeltaTable | None) -> pa.Table:
    import pyarrow as pa

    if table is None:
        return rows
    schema = pa.schema(table.to_pyarrow_dataset().schema)
    return fit([rows], {field.name: field.type for field in schema})


def _sync(table: Path, since: int) -> None:
    """A segment goes when the files that replace it are on the disk."""
    for path in table.rglob("*"):
        if path.is_file() and path.stat().st_mtime_ns >= since:
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)
