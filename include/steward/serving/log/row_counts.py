"""How many rows a server took and settled, in files that outlive it: what a crash took is counted by the next start."""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import uuid
from pathlib import Path

log = logging.getLogger(__name__)

_FORM = struct.Struct("<QQ")


class RowCount:
    """Rows taken and rows settled (stored, or counted as lost) by this process.

    Each process has a file beside `path`, and a lock on it while it lives. Whoever starts takes the files of dead ones
    into `lost_before`, each exactly once. A crash between storing and settling counts stored rows as lost: it never
    counts too few.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.lost_before = sum(_take_over(left) for left in [*path.parent.glob(f"{path.name}.*"), path])
        name = f"{path.name}.{uuid.uuid4().hex[:16]}"
        unnamed = path.with_name(f".{name}")  # nobody takes over what has no name yet
        self._file = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._map = self._mapped(path)
        unnamed.rename(path.with_name(name))
        self.taken = self.settled = 0

    def _mapped(self, path: Path) -> mmap.mmap:
        """Written once first: to write through a map where the disk has no room ends the process."""
        try:
            os.pwrite(self._file, bytes(_FORM.size), 0)
            return mmap.mmap(self._file, _FORM.size)
        except OSError as error:
            log.warning("rows that a crash takes will not be counted: %s cannot be kept: %s", path, error)
            return mmap.mmap(-1, _FORM.size)

    def take(self, rows: int) -> None:
        self.taken += rows
        _FORM.pack_into(self._map, 0, self.taken, self.settled)

    def settle(self, rows: int) -> None:
        self.settled += rows
        _FORM.pack_into(self._map, 0, self.taken, self.settled)

    def close(self) -> None:
        """As if the process had ended: what is not settled is for the next start to count."""
        self._map.close()
        os.close(self._file)


def _take_over(path: Path) -> int:
    """Rows that a dead process took and did not settle; its file goes. 0 for one that lives."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file).st_nlink == 0:  # another start was faster
            return 0
        read = os.pread(file, _FORM.size, 0)
        path.unlink()
    except BlockingIOError:
        return 0
    finally:
        os.close(file)
    if len(read) < _FORM.size:
        return 0
    taken, settled = _FORM.unpack(read)
    return int(taken - settled)
