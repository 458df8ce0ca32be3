"""Fakes of the training room's Protocols and of the reporter: models stay in memory, aliases in a dictionary."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steward.errors import IntegrityError, ModelCodeError, NotFoundError, UnavailableError
from steward.gates import Finding
from steward.spec import FeatureType
from steward.training import LoggedModel, TrainingRecord
from steward.types import digest_of

if TYPE_CHECKING:
    import pandas as pd


class FakeTracker:
    """Tracker, model store and registry mirror in one. While `away` is set, the registry does not answer."""

    def __init__(self) -> None:
        self.models: dict[str, Any] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.metrics: dict[str, dict[str, float]] = {}
        self.registered: dict[tuple[str, int], LoggedModel] = {}
        self.aliases: dict[tuple[str, str], int | None] = {}
        self.tampered: set[str] = set()
        self.away = False

    def log(
        self, record: TrainingRecord, model: Any, example: pd.DataFrame, files: Mapping[str, bytes] | None = None
    ) -> LoggedModel:
        run = f"run-{len(self.models) + 1}"
        self.models[run], self.files[run] = model, dict(files or {})
        kept = [[name, content.hex()] for name, content in sorted((files or {}).items())]
        return LoggedModel(run, f"memory:{run}", digest_of([run, record.params, *kept]))

    def log_evaluation(self, run_id: str, metrics: dict[str, float]) -> None:
        self.metrics[run_id] = metrics

    def fetch(self, logged: LoggedModel) -> Path:
        """A folder with a file that names the run, and those that were kept beside the model."""
        if logged.run_id not in self.models:
            raise NotFoundError("there is no such artefact", where=logged.uri)
        self.load(logged)
        folder = Path(tempfile.mkdtemp(prefix="steward-fake-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        (folder / "run.txt").write_text(logged.run_id)
        for name, content in self.files.get(logged.run_id, {}).items():
            (folder / name).write_bytes(content)
        return folder

    def load(self, logged: LoggedModel) -> Any:
        if logged.run_id in self.tampered:
            raise IntegrityError("the artefact has another digest", where=logged.uri)
        return self.models[logged.run_id]

    def register(self, logged: LoggedModel, model: str, number: int, tags: dict[str, str]) -> None:
        self._check()
        self.registered[model, number] = logged

    def assert_aliases(self, model: str, aliases: dict[str, int | None]) -> dict[str, int | None]:
        self._check()
        differing = {a: self.aliases.get((model, a)) for a, n in aliases.items() if self.aliases.get((model, a)) != n}
        self.aliases |= {(model, alias): number for alias, number in aliases.items()}
        return differing

    def listing(self) -> dict[str, dict[str, int | None]]:
        self._check()
        models = {model for model, _ in (*self.registered, *self.aliases)}
        pointing = {key: number for key, number in self.aliases.items() if number is not None}
        return {model: {alias: n for (name, alias), n in pointing.items() if name == model} for model in sorted(models)}

    def _check(self) -> None:
        if self.away:
            raise UnavailableError("the registry does not answer", where="memory", hint="set away = False")


class FakeReporter:
    def __init__(self) -> None:
        self.written: list[Path] = []

    def write(
        self, reference: Any, current: Any, columns: Any, path: Path, title: str, findings: Sequence[Finding]
    ) -> None:
        self.written.append(path)


class FakeTwins:
    """`TwinMaker` that converts nothing until it is given `model`: then that answers for the twin."""

    def __init__(self, model: Any = None) -> None:
        self.model = model

    def make(self, model: Any, features: Mapping[str, FeatureType]) -> bytes:
        if self.model is None:
            raise ModelCodeError("nothing is converted in memory")
        return b"a twin"

    def answers(self, twin: bytes, features: Mapping[str, FeatureType], frame: pd.DataFrame) -> Any:
        asked = self.model.predict_proba if hasattr(self.model, "predict_proba") else self.model.predict
        return asked(frame[list(features)])
