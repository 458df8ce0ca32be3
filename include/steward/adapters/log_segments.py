"""Segments of the prediction log: files of Arrow record batches that a process appends to, one after the other.

`<root>/segments/<table>/<writer>-<sequence>.arrows`, each a plain Arrow IPC stream that any Arrow reader opens. A
batch is one write; a stream that a killed process left torn is read up to its last whole batch. Who writes a segment
holds a lock on it, which the system drops when the process ends in any way: a segment nobody holds is sealed.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from steward.errors import UnavailableError

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

SUFFIX = ".arrows"
SEALED_BYTES = 64 * 2**20
SEALED_SECONDS = 300.0
_SEAL_REQUEST = ".seal"
_UPKEEP_LOCK = ".upkeep"
_LOCK_PATIENCE = 60.0


class Segment(NamedTuple):
    """One file; `writer` is unique to a process, `sequence` rises with every segment of it."""

    path: Path
    writer: str
    sequence: int

    @classmethod
    def of(cls, path: Path) -> Segment:
        writer, _, sequence = path.name.removesuffix(SUFFIX).rpartition("-")
        return cls(path, writer, int(sequence))


class SegmentFolder:
    """The segments of one table, as readers and upkeep see them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def segments(self) -> list[Segment]:
        """In the order each process wrote them. What has another kind of name is somebody else's."""
        if not self.path.is_dir():
            return []
        ours = (path for path in self.path.glob(f"[!.]*{SUFFIX}") if path.stem.rpartition("-")[2].isdecimal())
        found = [Segment.of(path) for path in ours]
        return sorted(found, key=lambda segment: (segment.writer, segment.sequence))

    def sealed(self) -> list[Segment]:
        return [segment for segment in self.segments() if not is_held(segment.path)]

    def request_seal(self) -> None:
        """Ask every writer to go on in a new segment; each does so within a flush interval."""
        if self.path.is_dir():
            (self.path / _SEAL_REQUEST).touch()

    @contextmanager
    def upkeep(self) -> Iterator[None]:
        """One at a time folds or erases. Raises UnavailableError when another takes longer than a minute."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / _UPKEEP_LOCK).open("ab") as file:
            deadline = time.monotonic() + _LOCK_PATIENCE
            while not _locked(file.fileno()):
                if time.monotonic() > deadline:
                    hint = "wait for the other maintenance, or look for a process that hangs"
                    raise UnavailableError("another maintenance is at it", where=str(self.path), hint=hint)
                time.sleep(0.05)
            self._clean()
            yield

    def _clean(self) -> None:
        """Segments that were never named: their process ended while it made them. They hold no rows."""
        for path in self.path.glob(f".*{SUFFIX}"):
            if not is_held(path):
                path.unlink(missing_ok=True)


class TableWriter:
    """One process's way into the segments of one table. Thread-safe."""

    def __init__(self, folder: SegmentFolder, sealed_bytes: int = SEALED_BYTES, sealed_seconds: float = SEALED_SECONDS):
        self._folder, self._sealed_bytes, self._sealed_seconds = folder, sealed_bytes, sealed_seconds
        self._writer, self._sequence = uuid.uuid4().hex[:16], 0
        self._lock = threading.Lock()
        self._open: _OpenSegment | None = None

    def append(self, rows: pa.Table, *, durable: bool = False) -> None:
        """All rows, or none and OSError. `durable`: on the disk, not only with the operating system, on return."""
        batches = rows.combine_chunks().to_batches()
        with self._lock:
            for batch in batches:
                self._segment(batch.schema).append(batch.serialize())
            if durable and self._open is not None:
                self._open.sync()

    def rotate(self) -> None:
        """Seal a segment that is large or old enough, or that upkeep asked for."""
        with self._lock:
            if self._open is not None and self._done(self._open):
                self._seal()

    def close(self) -> None:
        with self._lock:
            self._seal()

    def _segment(self, schema: pa.Schema) -> _OpenSegment:
        if self._open is not None and (self._full() or not self._open.takes(schema)):
            self._seal()
        if self._open is None:
            self._sequence += 1
            self._open = _OpenSegment(self._folder.path, f"{self._writer}-{self._sequence:06d}{SUFFIX}", schema)
        return self._open

    def _full(self) -> bool:
        return self._open is not None and self._open.size >= self._sealed_bytes

    def _done(self, segment: _OpenSegment) -> bool:
        if self._full() or segment.broken or time.monotonic() - segment.opened > self._sealed_seconds:
            return True
        with suppress(OSError):
            return (self._folder.path / _SEAL_REQUEST).stat().st_mtime_ns >= segment.opened_ns
        return False

    def _seal(self) -> None:
        """What cannot be synchronised is still with the operating system, and is read from there."""
        if self._open is None:
            return
        segment, self._open = self._open, None
        try:
            segment.close()
        except OSError as error:
            log.warning("segment %s may not be on the disk: %s", segment.path, error)


class _OpenSegment:
    """Held, and appended to by this process only. It gets its name when it is locked and has its first bytes."""

    def __init__(self, folder: Path, name: str, schema: pa.Schema) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.schema, self.size, self.broken = folder / name, schema, 0, False
        self.opened, self.opened_ns = time.monotonic(), time.time_ns()
        unnamed = folder / f".{name}"
        self._file = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.append(schema.serialize())
            unnamed.rename(self.path)
        except BaseException:
            os.close(self._file)
            unnamed.unlink(missing_ok=True)
            raise

    def takes(self, schema: pa.Schema) -> bool:
        """Not when it is gone: a folder that was removed or mounted over would swallow what is written."""
        return not self.broken and self.schema.equals(schema) and self._in_place()

    def _in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except OSError:
            return False

    def append(self, message: pa.Buffer) -> None:
        """One message of the stream, whole. What a full disk cut off is taken back, so that nothing follows it."""
        try:
            self._write(memoryview(message))
        except OSError:
            try:
                os.ftruncate(self._file, self.size)
                os.lseek(self._file, self.size, os.SEEK_SET)
            except OSError:
                self.broken = True
            raise
        self.size += len(message)

    def _write(self, left: memoryview) -> None:
        while left:
            left = left[os.write(self._file, left) :]

    def sync(self) -> None:
        os.fsync(self._file)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)


def read_batches(path: Path) -> list[pa.RecordBatch]:
    """The whole batches of a segment; a torn end is left out. Raises FileNotFoundError when it was folded meanwhile.

    Read, not mapped: its writer may cut a torn end off at any moment.
    """
    import pyarrow as pa

    stored, broken = path.read_bytes(), (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, EOFError)
    try:
        reader = pa.ipc.open_stream(stored)
    except broken as error:
        log.warning("segment %s has no readable beginning: %s", path, error)
        return []
    batches = []
    while True:
        try:
            batches.append(reader.read_next_batch())
        except StopIteration:
            return batches
        except broken as error:
            log.info("segment %s ends in the middle of a batch, which is left out: %s", path, error)
            return batches


def is_held(path: Path) -> bool:
    """Whether a living process writes it. One that is gone is held by nobody."""
    try:
        with path.open("rb") as file:
            return not _locked(file.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _locked(file: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
