"""Whether what the record says of a model meets what a stage asks for. Pure: facts are handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from steward.inventory.stages import Criterion, StageCatalogue
from steward.ledger import EventType, FiledDocument
from steward.spec import ModelSpec, Section
from steward.types import JsonObject, Stage


@dataclass(frozen=True)
class StageFacts:
    """What the record says of one model, or of one of its versions.

    `evidence` maps kinds to digests, `events` the types of events about the version to a sequence number.
    """

    spec: ModelSpec
    version: int | None = None
    documents: Mapping[str, FiledDocument] = field(default_factory=dict)
    evidence: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[EventType, int] = field(default_factory=dict)
    approval: str | None = None

    @property
    def name(self) -> str:
        return self.spec.model if self.version is None else f"{self.spec.model}@{self.version}"


@dataclass(frozen=True)
class Missing:
    """A criterion that is not met, and what to do about it."""

    stage: Stage
    criterion: Criterion
    way_out: str

    def __str__(self) -> str:
        return f"{self.criterion} (for {self.stage}): {self.way_out}"

    def to_json(self) -> JsonObject:
        return {"stage": self.stage.value, "criterion": str(self.criterion), "way_out": self.way_out}


@dataclass(frozen=True)
class Readiness:
    """How the facts meet the criteria: `met` maps each stage's criteria to what met them."""

    met: dict[Stage, dict[str, str]]
    missing: tuple[Missing, ...]

    @classmethod
    def of(cls, catalogue: StageCatalogue, facts: StageFacts, asked: Mapping[Stage, tuple[Criterion, ...]]) -> Self:
        met: dict[Stage, dict[str, str]] = {stage: {} for stage in asked}
        missing: dict[Criterion, Missing] = {}  # told once, where it is asked for first
        for stage, criteria in asked.items():
            for criterion in criteria:
                if (found := what_met(criterion, catalogue, facts)) is not None:
                    met[stage][str(criterion)] = found
                else:
                    way_out = _way_out(criterion, catalogue, facts)
                    missing.setdefault(criterion, Missing(stage, criterion, way_out))
        return cls(met, tuple(missing.values()))


def what_met(criterion: Criterion, catalogue: StageCatalogue, facts: StageFacts) -> str | None:
    """The digest, request, event or value that meets the criterion; None when nothing does."""
    match criterion.kind:
        case "document":
            return _filed(str(criterion.document), catalogue, facts)
        case "evidence":
            return facts.evidence.get(str(criterion.evidence))
        case "gates":
            return facts.evidence.get("evaluation") if EventType.VERSION_REGISTERED in facts.events else None
        case "approval":
            return facts.approval
        case "event" if criterion.event is not None:
            seq = facts.events.get(criterion.event)
            return None if seq is None else f"event {seq}"
        case _:
            return _value(facts.spec, str(criterion.field))


def _filed(kind: str, catalogue: StageCatalogue, facts: StageFacts) -> str | None:
    document = facts.documents.get(kind)
    if document is None or (catalogue.documents[kind].about == "version" and document.version != facts.version):
        return None
    return document.digest


def _value(spec: ModelSpec, dotted: str) -> str | None:
    value: Any = spec
    for part in dotted.split("."):
        value = getattr(value, part, None)
    if value is None or value in ((), {}, ""):
        return None
    text = str(value.model_dump(mode="json") if isinstance(value, Section) else value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _way_out(criterion: Criterion, catalogue: StageCatalogue, facts: StageFacts) -> str:
    model = facts.spec.model
    match criterion.kind:
        case "document":
            form = catalogue.documents[str(criterion.document)]
            target = f"{model}@{facts.version or 'N'}" if form.about == "version" else model
            return f"`steward document file {target} --kind {criterion.document} {criterion.document}.md`"
        case "approval":
            return f"`steward approve {facts.name} --reason …`, by the people `steward policy who {model}` names"
        case "field":
            return f"give `{criterion.field}` in the model.yaml of {model}"
        case "gates":
            return "train a version that passes its gates, or have what failed waived"
        case _:
            return f"it is written by the steps of a run of {model}__train"
