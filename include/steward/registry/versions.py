"""Versions and the only transitions they may make."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from steward.errors import ConflictError
from steward.types import JsonObject, VersionRef, Window


class State(StrEnum):
    CHALLENGER = "challenger"  # passed its gates; may be approved and rolled out
    CHAMPION = "champion"  # serves by default
    SUPERSEDED = "superseded"  # was champion; may come back by a rollback
    REJECTED = "rejected"  # will not serve
    RETIRED = "retired"  # its model is retired


TRANSITIONS: dict[State, frozenset[State]] = {
    State.CHALLENGER: frozenset({State.CHAMPION, State.REJECTED, State.RETIRED}),
    State.CHAMPION: frozenset({State.SUPERSEDED, State.REJECTED, State.RETIRED}),
    State.SUPERSEDED: frozenset({State.CHAMPION, State.RETIRED}),
    State.REJECTED: frozenset(),
    State.RETIRED: frozenset(),
}


@dataclass(frozen=True)
class NewVersion:
    """Everything a version is bound to when it is registered. Digests are SHA-256 hex."""

    model: str
    state: State
    author: str
    spec_digest: str
    run_id: str
    artefact_uri: str
    artefact_digest: str
    training_window: Window
    evidence: dict[str, str] = field(default_factory=dict)  # kind → digest: snapshot, validation, training, evaluation
    profile: str | None = None  # digest of the profile evidence that monitoring compares with
    params: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class ModelVersion(NewVersion):
    number: int = 0
    created_at: datetime | None = None

    @property
    def ref(self) -> VersionRef:
        return VersionRef(self.model, self.number)


class VersionTable(Protocol):
    """Versions inside a transaction. Numbers rise by one per model; one champion per model at most."""

    def add(self, new: NewVersion) -> ModelVersion: ...

    def get(self, ref: VersionRef) -> ModelVersion:
        """Raises NotFoundError."""
        ...

    def all(self, model: str) -> list[ModelVersion]: ...

    def everywhere(self) -> list[ModelVersion]:
        """Of every model, by model and number."""
        ...

    def champion(self, model: str) -> ModelVersion | None: ...

    def move(self, ref: VersionRef, expected: State, to: State) -> ModelVersion:
        """Compare and set. Raises ConflictError when the state is not `expected` or there would be two champions."""
        ...


def check_transition(ref: VersionRef, current: State, to: State) -> None:
    """Raise ConflictError for a move the table does not allow."""
    if to not in TRANSITIONS[current]:
        allowed = ", ".join(sorted(TRANSITIONS[current])) or "nothing: it is final"
        raise ConflictError(
            f"{ref} is {current} and cannot become {to}", hint=f"from {current} it may become {allowed}"
        )
