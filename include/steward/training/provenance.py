"""Which code, by whom, and which packages a training ran with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import distributions
from pathlib import Path

from steward.errors import RequestError
from steward.types import format_instant, parse_instant

FILES = ("--", ".", ":(exclude)documents")  # what people write about a model is no part of it


def environment() -> dict[str, str]:
    """Installed distributions by name → version; `python` is the interpreter's own."""
    found = [("python", platform.python_version()), *((d.metadata["Name"], d.version) for d in distributions())]
    return dict(sorted((name.lower(), version) for name, version in found if name))


def code_commit(folder: Path) -> str:
    """Commit of the repository the model lives in, `+dirty` when the folder has uncommitted changes.

    `STEWARD_CODE_COMMIT` wins (an image has no .git); `unknown` outside a repository.
    """
    if given := os.environ.get("STEWARD_CODE_COMMIT"):
        return given
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    return f"{commit}+dirty" if _git(folder, "status", "--porcelain", *FILES) else commit


def code_editor(folder: Path) -> str | None:
    """Address of who changed the folder last in version control; None while it has changes that nobody committed.

    `STEWARD_CODE_EDITOR` wins (an image has no .git); None outside a repository too.
    """
    if given := os.environ.get("STEWARD_CODE_EDITOR"):
        return given
    if _git(folder, "status", "--porcelain", *FILES):
        return None
    return _git(folder, "log", "-1", "--format=%ae", *FILES) or None


def committed_at(folder: Path) -> str | None:
    """When the folder was changed last in version control (ISO instant); None while it has changes that nobody
    committed, and outside a repository.

    `STEWARD_CODE_COMMITTED_AT` wins (an image has no .git). Raises RequestError for one that is no instant.
    """
    given = os.environ.get("STEWARD_CODE_COMMITTED_AT")
    if not given and (_git(folder, "status", "--porcelain", *FILES) or os.environ.get("STEWARD_CODE_COMMIT")):
        return None
    committed = given or _git(folder, "log", "-1", "--format=%cI", *FILES)
    try:
        return format_instant(parse_instant(committed)) if committed else None
    except ValueError as error:
        said = f"{committed!r} is no instant"
        hint = "write the time of the commit: `git log -1 --format=%cI`"
        raise RequestError(said, where="STEWARD_CODE_COMMITTED_AT", hint=hint) from error


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
