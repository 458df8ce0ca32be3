"""What specs and tables say of every model: each table is read once, whatever the number of models. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

from steward.actions.state import Services, Transaction
from steward.inventory.past import REGISTRATIONS, recorded_spec
from steward.inventory.record import ModelFacts
from steward.ledger import ALL_MODELS, AuditEvent, EventType
from steward.monitoring.windows import Incident, JudgedWindow
from steward.registry import ModelVersion, State
from steward.rollout import Route
from steward.spec import ModelSpec
from steward.types import JsonObject


class _OfModel(Protocol):
    @property
    def model(self) -> str: ...


M = TypeVar("M", bound=_OfModel)


@dataclass(frozen=True)
class Tables:
    """By model: events of the types asked for, versions, the route, the newest window of every version, and incidents
    that are not resolved."""

    events: Mapping[str, Sequence[AuditEvent]]
    versions: Mapping[str, Sequence[ModelVersion]]
    routes: Mapping[str, Route]
    judged: Mapping[str, Sequence[JudgedWindow]]
    incidents: Mapping[str, Sequence[Incident]]

    @classmethod
    def read(cls, tx: Transaction, types: Sequence[EventType]) -> Self:
        return cls(
            by_model(event for event in tx.events.read(types=types) if event.model != ALL_MODELS),
            by_model(tx.versions.everywhere()),
            {route.model: route for route in tx.routes.all()},
            by_model(tx.windows.latest_everywhere()),
            by_model(tx.incidents.unresolved_everywhere()),
        )

    @property
    def champions(self) -> dict[str, ModelVersion]:
        return {v.model: v for found in self.versions.values() for v in found if v.state is State.CHAMPION}

    def champion_windows(self) -> dict[str, JudgedWindow]:
        """The newest window of every champion that has one."""
        champions = {(version.model, version.number) for version in self.champions.values()}
        windows = (judged for found in self.judged.values() for judged in found)
        return {judged.model: judged for judged in windows if (judged.model, judged.version) in champions}


@dataclass(frozen=True)
class Declared:
    """The sound specs, and the first fault of every broken one, by model."""

    specs: Mapping[str, ModelSpec]
    faults: Mapping[str, str]

    @classmethod
    def read(cls, services: Services) -> Self:
        specs, broken = services.specs.all()
        faults = {model: str(error.faults[0]) for model, error in broken.items()}
        misnamed = {Path(fault.file).parent.name: str(fault) for fault in services.specs.misnamed()}
        return cls(specs, faults | misnamed)


def facts_of_all(
    declared: Declared, tx: Transaction, tables: Tables, data: Mapping[str, JsonObject] | None = None
) -> list[ModelFacts]:
    """Every model that is declared, broken, or known to the ledger."""
    known = sorted({*declared.specs, *declared.faults, *tables.events, *tables.versions, *tables.routes})
    last = _last_specs(tx, [model for model in known if model not in declared.specs])
    return [
        ModelFacts(
            model=model,
            spec=declared.specs.get(model),
            fault=declared.faults.get(model),
            events=tables.events.get(model, []),
            versions=tables.versions.get(model, []),
            route=tables.routes.get(model),
            judged=tables.judged.get(model, []),
            incidents=tables.incidents.get(model, []),
            data=(data or {}).get(model),
            last_spec=last.get(model),
        )
        for model in known
    ]


def training_data(tx: Transaction, tables: Tables) -> dict[str, JsonObject]:
    """The snapshot of every champion that has one on record."""
    digests = {m: v.evidence["snapshot"] for m, v in tables.champions.items() if "snapshot" in v.evidence}
    found = tx.evidence.get_all(set(digests.values()))
    return {model: found[digest].body["snapshot"] for model, digest in digests.items() if digest in found}


def by_model(rows: Iterable[M]) -> dict[str, list[M]]:
    found: dict[str, list[M]] = {}
    for row in rows:
        found.setdefault(row.model, []).append(row)
    return found


def _last_specs(tx: Transaction, models: Collection[str]) -> dict[str, ModelSpec]:
    """What a retired, broken or undeclared model was when its last version was registered."""
    if not models:
        return {}
    newest = by_model(tx.events.newest(REGISTRATIONS, models))
    told = {model: recorded_spec(events, None) for model, events in newest.items()}
    return {model: spec for model, spec in told.items() if spec is not None}
