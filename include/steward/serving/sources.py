"""What a server needs from outside, and where it gets it in a running stack."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from steward.errors import StewardError
from steward.ledger import EventType
from steward.registry import ModelVersion
from steward.rollout import Route
from steward.spec import ModelSpec
from steward.types import JsonObject, VersionRef

if TYPE_CHECKING:
    from steward.actions.state import Services


class ServingSources(Protocol):
    """The control plane as a server sees it. Every method may raise UnavailableError: the server carries on."""

    def routes(self) -> list[Route]: ...

    def version(self, ref: VersionRef) -> ModelVersion:
        """Raises NotFoundError."""
        ...

    def spec(self, model: str) -> ModelSpec: ...

    def fetch(self, version: ModelVersion) -> Path:
        """Local folder of the artefact. Raises IntegrityError when it is not the approved one."""
        ...

    def smoke(self, version: ModelVersion) -> Sequence[JsonObject]:
        """Rows as the model's smoke function gave them: `{"row": {…}, "expect": {"min", "max"}}`."""
        ...

    def reference(self, version: ModelVersion) -> JsonObject | None:
        """A typical value per feature, which decisions are explained against; None for a version without one."""
        ...

    def closed(self, model: str) -> str | None:
        """That and why the model was switched off for good, in one sentence; None while it may serve."""
        ...


class LedgerSources:
    """Routes and versions from the ledger's database, specs from their folder, artefacts from the tracker."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._targets: dict[str, str] = {}

    def routes(self) -> list[Route]:
        """Those of models that servers answer for; the route of a batch target only says who its champion is."""
        with self._services.database.begin() as transaction:
            routes = transaction.routes.all()
        return [route for route in routes if self._target(route.model) != "batch"]

    def _target(self, model: str) -> str:
        """Of a broken or absent spec, what it was last."""
        with suppress(StewardError):
            self._targets[model] = self.spec(model).deployment.target
        return self._targets.get(model, "local")

    def version(self, ref: VersionRef) -> ModelVersion:
        with self._services.database.begin() as transaction:
            return transaction.versions.get(ref)

    def spec(self, model: str) -> ModelSpec:
        return self._services.specs.get(model)

    def fetch(self, version: ModelVersion) -> Path:
        from steward.training import LoggedModel

        logged = LoggedModel(version.run_id, version.artefact_uri, version.artefact_digest)
        return self._services.models.fetch(logged)

    def smoke(self, version: ModelVersion) -> Sequence[JsonObject]:
        if "training" not in version.evidence:
            return []
        with self._services.database.begin() as transaction:
            body = transaction.evidence.get(version.evidence["training"]).body
        return list(body.get("smoke") or [])

    def reference(self, version: ModelVersion) -> JsonObject | None:
        if version.profile is None:
            return None
        with self._services.database.begin() as transaction:
            return transaction.evidence.get(version.profile).body.get("reference")

    def closed(self, model: str) -> str | None:
        with self._services.database.begin() as transaction:
            events = transaction.events.read(model=model, types=[EventType.ENDPOINT_CLOSED], limit=1)
        return f"switched off for good on {events[0].at:%Y-%m-%d}: {events[0].reason}" if events else None
