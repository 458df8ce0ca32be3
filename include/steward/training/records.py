"""What a training leaves behind, and the tracker that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrainingRecord:
    """All that is needed to name, audit and repeat a training. `cpu_seconds` is process time of the fit."""

    model: str
    run_name: str
    params: JsonObject
    seed: int
    spec_digest: str
    snapshot: JsonObject
    code_commit: str
    environment: dict[str, str]  # distribution → version
    environment_digest: str
    cpu_seconds: float
    rows: int


@dataclass(frozen=True)
class LoggedModel:
    """`uri` locates the artefact folder at the tracker; `digest` is over the names and bytes of all its files."""

    run_id: str
    uri: str
    digest: str


class ExperimentTracker(Protocol):
    """Where runs are recorded (MLflow behind it)."""

    def log(
        self, record: TrainingRecord, model: Any, example: pd.DataFrame, files: Mapping[str, bytes] | None = None
    ) -> LoggedModel:
        """Record parameters, data set, signature, environment and cost, and keep the model (skops).

        `files` by name are kept beside it, under the same digest.
        """
        ...

    def log_evaluation(self, run_id: str, metrics: dict[str, float]) -> None: ...


class ModelStore(Protocol):
    """Where fitted models are fetched from; both methods raise IntegrityError when the digest differs."""

    def fetch(self, logged: LoggedModel) -> Path:
        """Local folder of the artefact, verified."""
        ...

    def load(self, logged: LoggedModel) -> Any:
        """The estimator, loaded without running any code from the artefact."""
        ...


class RegistryMirror(Protocol):
    """An outside registry that shows what the ledger decided."""

    def register(self, logged: LoggedModel, model: str, number: int, tags: dict[str, str]) -> None:
        """Make the version visible under the ledger's number; again is harmless."""
        ...

    def assert_aliases(self, model: str, aliases: dict[str, int | None]) -> dict[str, int | None]:
        """Set the aliases to these; returns those that differed and what they were."""
        ...

    def listing(self) -> dict[str, dict[str, int | None]]:
        """Every model it lists, with the version each alias points at; -1 for one that is not the ledger's."""
        ...
