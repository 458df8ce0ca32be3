"""What model servers really serve, as they say themselves, and what they answer when they are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from steward.types import JsonObject


@dataclass(frozen=True)
class ServedVersion:
    """One version an endpoint answers with. `digest` is of the artefact in its memory."""

    endpoint: str
    model: str
    version: int
    digest: str
    role: str


@dataclass(frozen=True)
class TriedVersion:
    """What one endpoint made of rows put to one version by its number, as a tester.

    `fault` says why there are no scores; `reached` tells an endpoint that refused from one that is not there.
    `role` and `digest` are what it says of that version, None where it does not hold it. `seconds` is for all rows.
    Of a multiclass model a score is the probability of each class.
    """

    endpoint: str
    role: str | None = None
    digest: str | None = None
    scores: tuple[float | Mapping[str, float], ...] = ()
    seconds: float = 0.0
    reached: bool = True
    fault: str = ""


STILL_LOADING = "its versions are being loaded"
"""What a server says of a champion that it has not tried to serve yet; anything else is a fault."""


@dataclass(frozen=True)
class MissingChampion:
    """A champion that a server cannot load, and the version that answers in its place; None: none does."""

    model: str
    version: int
    reason: str
    answering: int | None = None


@dataclass(frozen=True)
class ServerStanding:
    """How one endpoint stands. `epochs` are of the routes in force there; `fault` says why it could not be asked."""

    endpoint: str
    missing: tuple[MissingChampion, ...] = ()
    epochs: Mapping[str, int] = field(default_factory=dict)
    fault: str = ""


class ServedEstate(Protocol):
    def served(self) -> list[ServedVersion]:
        """Of every known endpoint. Raises UnavailableError when one cannot be asked: silence is not emptiness."""
        ...

    def followed(self, model: str, epoch: int, patience: timedelta) -> Mapping[str, float | None]:
        """Seconds until each endpoint had this epoch of the model's route, or a newer one, in force; None: it has not,
        or does not answer."""
        ...

    def tried(self, model: str, version: int, rows: Sequence[JsonObject]) -> list[TriedVersion]:
        """Ask every known endpoint for this version's answer to the rows; it is nobody's traffic. Never raises for an
        endpoint that is away: it says so."""
        ...

    def standing(self) -> list[ServerStanding]:
        """How every known endpoint stands. Never raises: one that is away says so."""
        ...
