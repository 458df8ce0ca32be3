"""A control plane for model servers, in memory: releases go in by hand, and it can go away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steward.adapters.skops_models import folder_digest, save_model
from steward.errors import NotFoundError, PolicyError, UnavailableError
from steward.registry import ModelVersion, State
from steward.rollout import Route
from steward.spec import ModelSpec
from steward.training.twins import TWIN_FILE
from steward.types import JsonObject, VersionRef, Window

_NEW_YEAR = datetime(2013, 1, 1, tzinfo=UTC)


class FakeServingSources:
    """`ServingSources` over a folder of real artefacts. While `away` is set, ledger and tracker are not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.away = False
        self.table: dict[str, Route] = {}
        self.versions: dict[VersionRef, ModelVersion] = {}
        self.specs: dict[str, ModelSpec] = {}
        self.smoke_rows: dict[VersionRef, list[JsonObject]] = {}
        self.registered: dict[VersionRef, ModelSpec] = {}
        self.unreleased: dict[VersionRef, str] = {}
        self.references: dict[VersionRef, JsonObject] = {}
        self.switched_off: dict[str, str] = {}
        self.fetched: list[VersionRef] = []
        self.champions: list[int] = []  # of every model, newest first

    def register(
        self,
        spec: ModelSpec,
        number: int,
        estimator: Any,
        smoke: Sequence[JsonObject] = (),
        twin: bytes | None = None,
    ) -> ModelVersion:
        """Save a fitted estimator, and the ONNX twin given beside it, as a version of the spec's model."""
        ref = VersionRef(spec.model, number)
        digest = save_model(estimator, self.folder / str(ref))
        if twin is not None:
            (self.folder / str(ref) / TWIN_FILE).write_bytes(twin)
            digest = folder_digest(self.folder / str(ref))
        version = ModelVersion(
            model=spec.model,
            state=State.CHALLENGER,
            author="ada",
            spec_digest=spec.digest,
            run_id=f"run-{number}",
            artefact_uri=str(self.folder / str(ref)),
            artefact_digest=digest,
            training_window=Window(_NEW_YEAR, datetime(2013, 4, 1, tzinfo=UTC)),
            number=number,
        )
        self.specs[spec.model] = self.registered[ref] = spec
        self.versions[ref], self.smoke_rows[ref] = version, list(smoke)
        return version

    def route(
        self,
        model: str,
        champion: int | None,
        canary: int | None = None,
        percent: int = 0,
        shadow: int | None = None,
        standby: int | None = None,
    ) -> Route:
        """Change the route under the next epoch."""
        epoch = self.table[model].epoch + 1 if model in self.table else 1
        self.table[model] = Route(model, champion, canary, percent, epoch, datetime.now(UTC), shadow, standby)
        return self.table[model]

    def routes(self) -> list[Route]:
        self._check()
        return list(self.table.values())

    def version(self, ref: VersionRef) -> ModelVersion:
        self._check()
        if ref not in self.versions:
            raise NotFoundError("there is no such version", where=str(ref))
        return self.versions[ref]

    def spec(self, version: ModelVersion) -> ModelSpec:
        self._check()
        return self.registered[version.ref]

    def check_released(self, version: ModelVersion) -> None:
        self._check()
        if said := self.unreleased.get(version.ref):
            raise PolicyError(said, where=str(version.ref))

    def fetch(self, version: ModelVersion) -> Path:
        self._check()
        self.fetched.append(version.ref)
        return Path(version.artefact_uri)

    def smoke(self, version: ModelVersion) -> Sequence[JsonObject]:
        self._check()
        return self.smoke_rows[version.ref]

    def reference(self, version: ModelVersion) -> JsonObject | None:
        self._check()
        return self.references.get(version.ref)

    def earlier(self, champion: VersionRef) -> list[VersionRef]:
        self._check()
        return [VersionRef(champion.model, number) for number in self.champions if number != champion.number]

    def closed(self, model: str) -> str | None:
        self._check()
        return self.switched_off.get(model)

    def _check(self) -> None:
        if self.away:
            raise UnavailableError("the control plane is away", where="FakeServingSources", hint="set away to False")
