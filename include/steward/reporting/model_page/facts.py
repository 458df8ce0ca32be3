"""All that the page of a model is made of, read in one transaction and handed in. Nothing here reads anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from steward.gates import Evidence
from steward.ledger import AuditEvent
from steward.types import JsonObject, Window


@dataclass(frozen=True)
class SeenWindow:
    """One judged window. `body` is its evidence, None where that is not kept any more."""

    window: Window
    version: int
    outcome: str
    evidence: str
    judged_at: datetime
    body: JsonObject | None


@dataclass(frozen=True)
class KnownVersion:
    number: int
    state: str
    author: str
    created_at: datetime | None
    trained_on: Window
    run_id: str
    evaluation: str | None


@dataclass(frozen=True)
class ModelFacts:
    """`spec` is that of the folder, or of the newest version's registration where `faults` say why it cannot be read;
    None where nothing tells.

    `explained` is what `steward why` rests on, `standing` what `steward status` shows. `events` decide something,
    `nights` are judged windows, `served` tell who was champion; `rollouts` are the steps of releases, with `looks`,
    their evidence by digest. `told_since`: earlier ones are left out. All ascending.
    """

    model: str
    at: datetime
    generated_at: datetime
    spec: JsonObject | None
    faults: Sequence[str]
    explained: JsonObject
    standing: JsonObject
    events: Sequence[AuditEvent]
    nights: Sequence[AuditEvent]
    served: Sequence[AuditEvent]
    rollouts: Sequence[AuditEvent]
    reports: Sequence[AuditEvent]
    versions: Sequence[KnownVersion]
    windows: Sequence[SeenWindow]
    incidents: Sequence[JsonObject]
    waiting: Sequence[JsonObject] = ()
    running: JsonObject | None = None
    evaluations: Mapping[int, Evidence] = field(default_factory=dict)
    looks: Mapping[str, Evidence] = field(default_factory=dict)
    told_since: datetime | None = None

    @property
    def champion(self) -> int | None:
        number = self.explained["champion"]
        return int(number) if number is not None else None
