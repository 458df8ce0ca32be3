"""A control plane for model servers, in memory: releases go in by hand, and it can go away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steward.adapters.skops_models import save_model
from steward.errors import NotFoundError, UnavailableError
from steward.registry import ModelVersion, State
from steward.rollout import Route
from steward.spec import ModelSpec
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
        self.references: dict[VersionRef, JsonObject] = {}
        self.switched_off: dict[str, str] = {}
        self.fetched: list[VersionRef] = []

    def register(self, spec: ModelSpec, number: int, estimator: Any, smoke: Sequence[JsonObject] = ()) -> ModelVersion:
        """Save a fitted estimator as a version of the spec's model."""
        ref = VersionRef(spec.model, number)
        digest = save_model(estimator, self.folder / str(ref))
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
        self.specs[spec.model], self.versions[ref], self.smoke_rows[ref] = spec, version, list(smoke)
        return version

    def route(self, model: str, champion: int | None, canary: int | None = None, percent: int = 0) -> Route:
        """Change the route under the next epoch."""
        epoch = self.table[model].epoch + 1 if model in self.table else 1
        self.table[model] = Route(model, champion, canary, percent, epoch, datetime.now(UTC))
        return self.table[model]

    def routes(self) -> list[Route]:
        self._check()
        return list(self.table.values())

    def version(self, ref: VersionRef) -> ModelVersion:
        self._check()
        if ref not in self.versions:
            raise NotFoundError("there is no such version", where=str(ref))
        return self.versions[ref]

    def spec(self, model: str) -> ModelSpec:
        return self.specs[model]

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

    def closed(self, model: str) -> str | None:
        self._check()
        return self.switched_off.get(model)

    def _check(self) -> None:
        if self.away:
            raise UnavailableError("the control plane is away", where="FakeServingSources", hint="set away to False")
