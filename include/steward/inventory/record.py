"""What the inventory says of one model, and the facts it is built from.

Facts come from specs, the ledger and its tables; this room reads them through the few fields it needs, so that it
knows nothing of the rooms they belong to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from steward.inventory.external import ExternalModel
from steward.ledger import AuditEvent, EventType
from steward.ledger.replay import CHAMPION
from steward.spec import ModelSpec
from steward.types import JsonObject, Window, to_json

RECORD_EVENTS = (
    EventType.STAGE_ENTERED,
    EventType.DOCUMENT_FILED,
    EventType.WAIVER_GRANTED,
    EventType.WAIVER_REVOKED,
    EventType.MODEL_REVIEWED,
    EventType.GLASS_BROKEN,
    EventType.VERSION_PROMOTED,
    EventType.ROLLOUT_ROLLED_BACK,
    EventType.ENDPOINT_CLOSED,
    EventType.MODEL_RETIRED,
)
"""The events a record is built from; none of them comes every night."""


class Standing(StrEnum):
    """Why a model is in the inventory at all."""

    DECLARED = "declared"  # it has a sound spec
    BROKEN = "broken spec"
    UNDECLARED = "undeclared"  # the ledger knows it, but no folder declares it
    RETIRED = "retired"
    ELSEWHERE = "registered elsewhere"
    RECORDED = "on record"  # at a past moment, before a version was registered: its spec of then is not known


class Registered(Protocol):
    """A version (`steward.registry.ModelVersion`)."""

    @property
    def model(self) -> str: ...

    @property
    def number(self) -> int: ...

    @property
    def state(self) -> str: ...

    @property
    def artefact_digest(self) -> str: ...

    @property
    def evidence(self) -> Mapping[str, str]: ...


class Routed(Protocol):
    """Where requests go (`steward.rollout.Route`)."""

    @property
    def champion(self) -> int | None: ...

    @property
    def canary(self) -> int | None: ...

    @property
    def percent(self) -> int: ...

    @property
    def shadow(self) -> int | None: ...

    @property
    def standby(self) -> int | None: ...

    @property
    def updated_at(self) -> datetime: ...


class Judged(Protocol):
    """A judged window (`steward.monitoring.windows.JudgedWindow`)."""

    @property
    def version(self) -> int: ...

    @property
    def window(self) -> Window: ...

    @property
    def outcome(self) -> str: ...

    @property
    def judged_at(self) -> datetime: ...


class Trouble(Protocol):
    """An incident that is not resolved (`steward.monitoring.windows.Incident`)."""

    @property
    def id(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def cause(self) -> str: ...

    @property
    def severity(self) -> str: ...

    @property
    def opened_at(self) -> datetime: ...


@dataclass(frozen=True)
class Places:
    """Where things are looked at: `{model}` in an address stands for the model."""

    endpoint: str | None = None
    dashboard: str | None = None

    def of(self, model: str, address: str | None) -> str | None:
        return address.replace("{model}", model) if address else None


@dataclass(frozen=True)
class ModelFacts:
    """Everything known of one model. `events` ascending, of RECORD_EVENTS at least; `fault` is of a broken spec.

    `data` is the champion's snapshot (table, version, digest, rows, window), if the record has it. `past`: told by the
    ledger alone. `last_spec`: of the last registration, where there is no sound one today; rules do not judge by it.
    """

    model: str
    spec: ModelSpec | None = None
    fault: str | None = None
    external: ExternalModel | None = None
    events: Sequence[AuditEvent] = ()
    versions: Sequence[Registered] = ()
    route: Routed | None = None
    judged: Sequence[Judged] = ()
    incidents: Sequence[Trouble] = ()
    data: JsonObject | None = None
    past: bool = False
    last_spec: ModelSpec | None = None

    @property
    def champion(self) -> Registered | None:
        return next((version for version in self.versions if version.state == CHAMPION), None)

    def last(self, kind: EventType, version: int | None = None) -> AuditEvent | None:
        """The newest event of a kind; about `version` only, if one is given."""
        found = (e for e in reversed(self.events) if e.type is kind and version in (None, e.version))
        return next(found, None)


@dataclass(frozen=True)
class InventoryRecord:
    """One line of the inventory. What is not known is None, never a guess."""

    model: str
    standing: Standing
    title: str | None = None
    purpose: str | None = None
    task: str | None = None
    risk_tier: str | None = None
    owner: JsonObject | None = None
    frameworks: tuple[str, ...] = ()
    consumers: tuple[JsonObject, ...] = ()
    upstream: tuple[str, ...] = ()
    stage: str | None = None
    stage_at: datetime | None = None
    stage_evidence: JsonObject = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)  # state → how many
    champion: int | None = None
    champion_since: datetime | None = None
    artefact: str | None = None
    training_data: JsonObject | None = None
    evidence: dict[str, str] = field(default_factory=dict)  # of the champion: kind → digest
    validation_report: JsonObject | None = None
    documents: tuple[JsonObject, ...] = ()
    environment: str | None = None
    endpoint: str | None = None
    vendor: str | None = None
    dashboard: str | None = None
    last_window: JsonObject | None = None
    last_review_at: datetime | None = None
    next_review_at: datetime | None = None
    waivers: tuple[JsonObject, ...] = ()
    incidents: tuple[JsonObject, ...] = ()
    retired: JsonObject | None = None
    fault: str | None = None

    def to_json(self) -> JsonObject:
        return to_json(vars(self))
