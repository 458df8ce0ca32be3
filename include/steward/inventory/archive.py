"""Where what a retired model leaves behind is kept."""

from __future__ import annotations

from typing import Protocol


class ArchiveStore(Protocol):
    """Files by name (`toy/manifest.json`), in a place that outlives registry, snapshots and servers."""

    def put(self, name: str, content: bytes) -> None:
        """Write or replace in one step. Raises UnavailableError when the store refuses."""
        ...

    def get(self, name: str) -> bytes:
        """Raises NotFoundError."""
        ...

    def address(self, name: str) -> str:
        """For people: where the file, or the folder, is."""
        ...
