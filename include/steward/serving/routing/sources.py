"""What a server needs from outside, and where it gets it in a running stack."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from steward.errors import IntegrityError, PolicyError, StewardError, UnavailableError
from steward.ledger import AuditEvent, EventType
from steward.ledger.replay import APPROVAL_EVENTS, approval_is_recorded
from steward.registry import ModelVersion, State
from steward.rollout import Route
from steward.spec import ModelSpec
from steward.types import JsonObject, VersionRef

if TYPE_CHECKING:
    from steward.actions.state import Services, Transaction


class ServingSources(Protocol):
    """The control plane as a server sees it. Every method may raise UnavailableError: the server carries on."""

    def routes(self) -> list[Route]: ...

    def version(self, ref: VersionRef) -> ModelVersion:
        """Raises NotFoundError."""
        ...

    def spec(self, version: ModelVersion) -> ModelSpec:
        """The one it was registered under, whatever model.yaml says today. Raises IntegrityError."""
        ...

    def check_released(self, version: ModelVersion) -> None:
        """Raises PolicyError for a version that was not released or may not serve any more, IntegrityError where a
        table says that it was and the signed record does not."""
        ...

    def fetch(self, version: ModelVersion) -> Path:
        """Local folder of the artefact. Raises IntegrityError when it is not the approved one."""
        ...

    def smoke(self, version: ModelVersion) -> Sequence[JsonObject]:
        """Rows as the model's smoke function gave them: `{"row": {…}, "expect": {"min", "max"}}`."""
        ...

    def reference(self, version: ModelVersion) -> JsonObject | None:
        """A typical value per feature, which decisions are explained against; None for a version without one."""
        ...

    def earlier(self, champion: VersionRef) -> list[VersionRef]:
        """Champions before it that may serve again, the newest first."""
        ...

    def closed(self, model: str) -> str | None:
        """That and why the model was switched off for good, in one sentence; None while it may serve."""
        ...


class LedgerSources:
    """Routes, versions and their specs from the ledger's database, artefacts from the tracker."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._targets: dict[VersionRef, str] = {}

    def routes(self) -> list[Route]:
        """Those of models that servers answer for; the route of a batch target only says who its champion is."""
        with self._services.database.begin() as transaction:
            routes = transaction.routes.all()
        return [route for route in routes if self._target(route) != "batch"]

    def _target(self, route: Route) -> str:
        """Of the version it names first: what a release was made for does not change by a later file."""
        if not route.versions:
            return "local"
        ref = VersionRef(route.model, route.versions[0])
        if ref not in self._targets:
            try:
                self._targets[ref] = self.spec(self.version(ref)).deployment.target
            except UnavailableError:  # a guess would bring a batch model into this server, for good
                raise
            except StewardError:
                return "local"
        return self._targets[ref]

    def version(self, ref: VersionRef) -> ModelVersion:
        with self._services.database.begin() as transaction:
            return transaction.versions.get(ref)

    def spec(self, version: ModelVersion) -> ModelSpec:
        """From the event that registered it; of one whose event holds none that this release reads, from its file."""
        from pydantic import ValidationError

        with self._services.database.begin() as transaction:
            found = _signed(transaction, version.ref, [EventType.VERSION_REGISTERED])
        for event in reversed(found):
            with suppress(ValidationError, KeyError):
                return ModelSpec.model_validate(event.body["spec"])
        return self._services.specs.get(version.model)

    def check_released(self, version: ModelVersion) -> None:
        """By the signed record alone: the policy of today must not take off what the policy of its day let through."""
        if version.state in (State.REJECTED, State.RETIRED):
            raise _not_released(f"it is {version.state}", version.ref)
        with self._services.database.begin() as transaction:
            begun = _signed(transaction, version.ref, _RELEASES)
            if not begun:
                raise _not_released("the record holds no release of it", version.ref)
            _check_artefact(transaction, version)
            if (request := begun[-1].body.get("approval")) is not None:
                _check_approved(transaction, version.ref, request)

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

    def earlier(self, champion: VersionRef) -> list[VersionRef]:
        with self._services.database.begin() as transaction:
            promoted = transaction.events.read(model=champion.model, types=[EventType.VERSION_PROMOTED])
            states = {version.number: version.state for version in transaction.versions.all(champion.model)}
        numbers = dict.fromkeys(event.version for event in reversed(promoted) if event.version is not None)
        return [VersionRef(champion.model, n) for n in numbers if states.get(n) is State.SUPERSEDED]

    def closed(self, model: str) -> str | None:
        with self._services.database.begin() as transaction:
            events = transaction.events.read(model=model, types=[EventType.ENDPOINT_CLOSED], limit=1)
        return f"switched off for good on {events[0].at:%Y-%m-%d}: {events[0].reason}" if events else None


_RELEASES = (EventType.ROLLOUT_STARTED, EventType.VERSION_PROMOTED)
_CHECK = "run `steward audit verify --state`: somebody may have written past the actions"


def _signed(transaction: Transaction, ref: VersionRef, types: Sequence[EventType]) -> list[AuditEvent]:
    """Events of a version, oldest first. Raises IntegrityError for one without this ledger's signature."""
    from steward.actions.governance.verifying import require_genuine

    events = [e for e in transaction.events.read(model=ref.model, types=types) if e.version == ref.number]
    return require_genuine(transaction, events)


def _check_artefact(transaction: Transaction, version: ModelVersion) -> None:
    """What people approved is the artefact of the training that the registration names, whatever the table says."""
    registered = _signed(transaction, version.ref, [EventType.VERSION_REGISTERED])
    if not registered or "training" not in registered[-1].body:
        return
    trained = transaction.evidence.get(registered[-1].body["training"]).body["logged"]["digest"]
    if trained != version.artefact_digest:
        said = f"the table says artefact {version.artefact_digest[:12]}…, the record {trained[:12]}…"
        raise IntegrityError(said, where=str(version.ref), hint=_CHECK)


def _check_approved(transaction: Transaction, ref: VersionRef, request: str) -> None:
    """The release names an approval: the answers that make it must be in the record, signed."""
    from steward.actions.governance.verifying import require_genuine

    events = transaction.events.read(model=ref.model, types=APPROVAL_EVENTS)
    about = require_genuine(transaction, [event for event in events if event.body.get("request") == request])
    if not any(approval_is_recorded(about, request, event.evidence) for event in about if event.evidence):
        said = f"it was released on approval {request}, which the record does not hold"
        raise IntegrityError(said, where=str(ref), hint=_CHECK)


def _not_released(said: str, ref: VersionRef) -> PolicyError:
    hint = "a version is served once a rollout of it was begun; `steward history` shows what became of it"
    return PolicyError(said, where=str(ref), hint=hint)
