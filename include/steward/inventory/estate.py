"""What model servers really serve, as they say themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ServedVersion:
    """One version an endpoint answers with. `digest` is of the artefact in its memory."""

    endpoint: str
    model: str
    version: int
    digest: str
    role: str


class ServedEstate(Protocol):
    def served(self) -> list[ServedVersion]:
        """Of every known endpoint. Raises UnavailableError when one cannot be asked: silence is not emptiness."""
        ...
