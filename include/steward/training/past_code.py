"""A model's folder as it was at the commit a version was trained with."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from steward.training.provenance import code_commit

_GIT_SECONDS = 60


@dataclass(frozen=True)
class PastCode:
    """`folder` None: the code is gone. `doubt` says why the folder may not be what was trained with."""

    folder: Path | None
    commit: str
    used: str
    doubt: str | None = None


@contextmanager
def code_at(commit: str, folder: Path) -> Iterator[PastCode]:
    """`folder` is where the model lives today, or lived. The past folder is there inside the block only."""
    if folder.is_dir() and _is_clean(commit) and code_commit(folder) == commit:
        yield PastCode(folder, commit, "the present files, which are those of its commit")
        return
    with tempfile.TemporaryDirectory(prefix="steward-code-") as place:
        past = _unpacked(commit, folder, Path(place)) if _is_clean(commit) else None
        yield PastCode(past, commit, f"the files of commit {commit[:12]}") if past else _present(commit, folder)


def _is_clean(commit: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{7,64}", commit) is not None


def _present(commit: str, folder: Path) -> PastCode:
    if commit == "unknown":
        why = "no commit was recorded"
    elif commit.endswith("+dirty"):
        why = f"it was trained with changes to {commit[:12]} that nobody committed"
    else:
        why = f"commit {commit[:12]} cannot be read from this repository"
    if not folder.is_dir():
        return PastCode(None, commit, "none", f"{why}, and the model's folder is gone")
    return PastCode(folder, commit, "the present files", f"{why}: the present files stand in for its own")


def _unpacked(commit: str, folder: Path, place: Path) -> Path | None:
    """None where git or the commit is not there, or the commit has no such folder."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    below = folder.absolute().relative_to(there.absolute()).as_posix()
    top, prefix = _git(there, "rev-parse", "--show-toplevel"), _git(there, "rev-parse", "--show-prefix")
    if top is None or prefix is None:
        return None
    path = (Path(prefix.decode().strip()) / below).as_posix()
    packed = _git(Path(top.decode().strip()), "archive", "--format=tar", commit, "--", path)
    if packed is None:
        return None
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(place, filter="data")
    return place / path


def _git(folder: Path, *arguments: str) -> bytes | None:
    try:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, timeout=_GIT_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
