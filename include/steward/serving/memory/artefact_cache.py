"""Artefacts on a server's own disk: what it starts from when the tracker is away."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path

from steward.adapters.skops_models import folder_digest
from steward.errors import IntegrityError

KEPT_SECONDS = 24 * 3600.0


class ArtefactCache:
    """Verified copies of artefacts under `<root>/<digest>`: what a server starts from when the tracker is away."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, digest: str, fetch: Callable[[], Path]) -> Path:
        """The cached folder, filled by `fetch` if absent or altered. Raises IntegrityError, or what `fetch` raises."""
        kept = self.root / digest
        if kept.is_dir() and folder_digest(kept) == digest:
            return kept
        source = fetch()
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root) as partial:
            copied = Path(shutil.copytree(source, Path(partial) / "model"))
            if (found := folder_digest(copied)) != digest:
                said = f"the artefact has digest {found[:12]}…, not {digest[:12]}… as approved"
                raise IntegrityError(said, where=str(source), hint="do not serve it; find out who changed it")
            self._put(copied, kept, digest)
        return kept

    def _put(self, copied: Path, kept: Path, digest: str) -> None:
        """Servers of a host share the folder: what another has put there meanwhile may be being loaded, and stays."""
        with self.root.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if kept.is_dir() and folder_digest(kept) == digest:
                return
            if kept.exists():
                shutil.rmtree(kept)
            copied.rename(kept)

    def prune(self, named: Collection[str], now: float | None = None) -> list[str]:
        """Remove copies that nobody named for a day: → their digests. `now`: seconds since 1970.

        A copy's own time says when it was last named: servers of a host may share the folder.
        """
        present, gone = now if now is not None else time.time(), []
        for kept in sorted(self.root.iterdir()) if self.root.is_dir() else []:
            if kept.name in named:
                kept.touch()
            elif present - kept.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(kept, ignore_errors=True)
                gone.append(kept.name)
        return gone
