"""A folder of its own for every server process: what one alone may write lies there.

Several workers, and several servers, of one host and one home never share a slot: whoever holds the lock on its file
has it, and the system takes the lock back when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LOCK = "lock"


class Slot:
    """Held until `release` or the end of the process. `alone`: nobody else had a slot when it was claimed."""

    def __init__(self, folder: Path, lock: int, alone: bool) -> None:
        self.folder, self.alone = folder, alone
        self._lock = lock

    def others(self) -> Iterator[tuple[Path, bool]]:
        """The other slots' folders, each with whether a process has it now."""
        for folder in _folders(self.folder.parent):
            if folder != self.folder:
                yield folder, _held(folder)

    def take_newest(self, name: str) -> None:
        """Begin with the file of that name which was written last in any slot: what a sibling knows is better."""
        found = [folder / name for folder in _folders(self.folder.parent) if (folder / name).is_file()]
        newest = max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
        if newest is not None and newest.parent != self.folder:
            partial = self.folder / f"{name}.taken"
            with suppress(FileNotFoundError):
                shutil.copy2(newest, partial)
                partial.replace(self.folder / name)

    def release(self) -> None:
        os.close(self._lock)


def claim(root: Path) -> Slot:
    """The first free slot under `root`, made when there is none."""
    alone = not any(_held(folder) for folder in _folders(root))
    for number in itertools.count():
        folder = root / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        if (lock := _try_lock(folder)) is not None:
            return Slot(folder, lock, alone)
    raise AssertionError("there is always another number")


def _folders(root: Path) -> list[Path]:
    found = root.iterdir() if root.is_dir() else iter(())
    return sorted((folder for folder in found if folder.name.isdecimal()), key=lambda folder: int(folder.name))


def _held(folder: Path) -> bool:
    if (lock := _try_lock(folder)) is None:
        return True
    os.close(lock)
    return False


def _try_lock(folder: Path) -> int | None:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError:  # a file system without locks: no number would ever be free
        os.close(lock)
        raise
    return lock
