"""What a model must show before it enters each stage of its life, by risk tier.

stages.yaml is read as strictly as a policy or a spec, by the same machinery.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from steward.errors import NotFoundError
from steward.inventory.documents import DocumentForm
from steward.ledger import EventType
from steward.spec import Fault, ModelSpec, Section
from steward.spec.documents import read_document
from steward.spec.faults import nearest
from steward.spec.fields import Contradiction, Identifier
from steward.spec.model import unknown_key
from steward.spec.validation import validate
from steward.types import RiskTier, Stage, digest_of

OWNER = "owner"

_Key = tuple[str | int, ...]
EvidenceKind = Literal["snapshot", "validation", "training", "evaluation"]


class Criterion(Section):
    """One thing that must be there: exactly one key."""

    document: Identifier | None = Field(default=None, description="Of this kind, filed")
    evidence: EvidenceKind | None = Field(default=None, description="That the version is bound to")
    gates: Literal[True] | None = Field(default=None, description="The version passed its gates, waivers counted")
    approval: Literal[True] | None = Field(default=None, description="As the policy of the tier asks")
    event: EventType | None = Field(default=None, description="Of this type, about the version or the model")
    field: str | None = Field(default=None, description="A key of the spec that must not be empty")

    def contradictions(self) -> Iterator[Contradiction]:
        if len(self._given) != 1:
            yield Contradiction((), "name exactly one of " + ", ".join(type(self).model_fields))
        if self.field is not None and (unknown := unknown_key(self.field)):
            yield Contradiction(("field",), f"a spec has no key {self.field}", nearest(*unknown))

    @property
    def _given(self) -> list[str]:
        return [name for name, value in self if value is not None]

    @property
    def kind(self) -> str:
        return self._given[0]

    @property
    def needs_version(self) -> bool:
        return self.kind in ("evidence", "gates", "approval", "event")

    def __str__(self) -> str:
        """`document use_case`, `approval`: also its name in the event of the stage it opened."""
        value = getattr(self, self.kind)
        return self.kind if value is True else f"{self.kind} {value}"


class StageRules(Section):
    """For one tier. `accountable` are roles of the policy, or `owner`. `exit` is asked with the next stage's entry."""

    accountable: tuple[Identifier, ...] = Field(default=(OWNER,), min_length=1)
    entry: tuple[Criterion, ...] = ()
    exit: tuple[Criterion, ...] = ()


class StageTiers(Section):
    low: StageRules = StageRules()
    medium: StageRules = StageRules()
    high: StageRules = StageRules()

    def tier(self, tier: RiskTier) -> StageRules:
        return {RiskTier.LOW: self.low, RiskTier.MEDIUM: self.medium, RiskTier.HIGH: self.high}[tier]


class Stages(Section):
    use_case: StageTiers
    development: StageTiers
    validation: StageTiers
    deployment: StageTiers
    monitoring: StageTiers
    retired: StageTiers

    def criteria(self) -> Iterator[tuple[_Key, Criterion]]:
        """Every criterion, with its key in the catalogue."""
        for stage in Stage:
            for tier in RiskTier:
                rules = self.of(stage).tier(tier)
                for side, criteria in (("entry", rules.entry), ("exit", rules.exit)):
                    for place, criterion in enumerate(criteria):
                        yield ("stages", stage.value, tier.value, side, place), criterion

    def of(self, stage: Stage) -> StageTiers:
        tiers: StageTiers = getattr(self, stage.value)
        return tiers


class FrameworkDocuments(Section):
    """Kinds of documents a compliance framework asks for beyond the tier, by the stage they must precede."""

    use_case: tuple[Identifier, ...] = ()
    development: tuple[Identifier, ...] = ()
    validation: tuple[Identifier, ...] = ()
    deployment: tuple[Identifier, ...] = ()
    monitoring: tuple[Identifier, ...] = ()
    retired: tuple[Identifier, ...] = ()


class StageCatalogue(Section):
    """The six stages as one institution means them. `version` and digest are recorded with every stage entered."""

    version: str = Field(min_length=1, max_length=40)
    effective_from: date
    documents: dict[Identifier, DocumentForm]
    stages: Stages
    frameworks: dict[str, FrameworkDocuments] = Field(default={})

    def contradictions(self) -> Iterator[Contradiction]:
        return _disagreements(dict(self))

    @cached_property
    def digest(self) -> str:
        return digest_of(self.model_dump(mode="json"))

    def form(self, kind: str) -> DocumentForm:
        """Raises NotFoundError that names the nearest kind."""
        if kind in self.documents:
            return self.documents[kind]
        meant = nearest(kind, self.documents)
        hint = f"did you mean {meant}?" if meant else f"one of {', '.join(sorted(self.documents))}"
        raise NotFoundError(f"there is no kind of document {kind!r}", where="stages.yaml", hint=hint)

    def accountable(self, spec: ModelSpec, stage: Stage) -> tuple[str, ...]:
        return self.stages.of(stage).tier(spec.risk_tier).accountable

    def entry(self, spec: ModelSpec, stage: Stage) -> tuple[Criterion, ...]:
        """Of the tier and of the frameworks the spec names."""
        rules = self.stages.of(stage).tier(spec.risk_tier).entry
        packs = (self.frameworks[each] for each in spec.frameworks if each in self.frameworks)
        more = (Criterion(document=kind) for pack in packs for kind in getattr(pack, stage.value))
        return tuple(dict.fromkeys((*rules, *more)))

    def asked(self, spec: ModelSpec, stage: Stage, present: Stage | None) -> dict[Stage, tuple[Criterion, ...]]:
        """All that must be shown to enter `stage`, by the stage that asks for it.

        Every stage on the way asks again, so that each version meets all of them. A rollout goes on into monitoring
        by itself, and is turned back if it may not: what people must write for that is asked before it starts.
        A model may be retired from wherever it is: the stages it never reached ask nothing of it.
        """
        if stage is Stage.RETIRED:
            return {stage: self._before(spec, stage) if present is Stage.MONITORING else self.entry(spec, stage)}
        way = [each for each in Stage if each.place <= stage.place]
        asked = {each: self._before(spec, each) for each in way}
        if stage is Stage.DEPLOYMENT:
            papers = (each for each in self._before(spec, Stage.MONITORING) if each.kind in ("document", "field"))
            asked[Stage.MONITORING] = tuple(papers)
        return asked

    def _before(self, spec: ModelSpec, stage: Stage) -> tuple[Criterion, ...]:
        """What the stage before must leave behind, and what this one asks for."""
        left = self._exit(spec, list(Stage)[stage.place - 1]) if stage.place else ()
        return tuple(dict.fromkeys((*left, *self.entry(spec, stage))))

    def _exit(self, spec: ModelSpec, stage: Stage) -> tuple[Criterion, ...]:
        return self.stages.of(stage).tier(spec.risk_tier).exit


def load_stages(path: Path) -> StageCatalogue:
    """Raises FaultsError (a SpecError) with every fault of the file."""
    return validate(read_document(path), StageCatalogue, _disagreements)


def unheld_roles(path: Path, held: Collection[str]) -> list[Fault]:
    """Where the file names a role that nobody in the policy holds. Raises FaultsError as `load_stages` does."""
    document, catalogue = read_document(path), load_stages(path)
    named: list[tuple[_Key, tuple[str, ...]]] = [
        (("documents", kind, "roles"), form.roles) for kind, form in catalogue.documents.items()
    ]
    for stage in Stage:
        for tier in RiskTier:
            key = ("stages", stage.value, tier.value, "accountable")
            named.append((key, catalogue.stages.of(stage).tier(tier).accountable))
    return [
        document.fault((*key, place), f"nobody in the policy holds the role {role}", nearest=nearest(role, held))
        for key, roles in named
        for place, role in enumerate(roles)
        if role != OWNER and role not in held
    ]


def _disagreements(sections: Mapping[str, Any]) -> Iterator[Contradiction]:
    """What is sound by itself and cannot be meant together."""
    stages: Stages | None = sections.get("stages")
    if stages is not None:
        yield from _lower_asks_more(stages)
        yield from _never_met(stages)
    if "documents" not in sections:
        return
    asked: list[tuple[_Key, str]] = list(_asked_by_frameworks(sections.get("frameworks", {})))
    for key, criterion in stages.criteria() if stages is not None else ():
        if criterion.document is not None:
            asked.append(((*key, "document"), criterion.document))
    for place, kind in asked:
        if kind not in sections["documents"]:
            sentence = f"there is no document {kind} under documents"
            yield Contradiction(place, sentence, nearest(kind, sections["documents"]))


def _lower_asks_more(stages: Stages) -> Iterator[Contradiction]:
    for stage in Stage:
        for lower, higher in pairwise(RiskTier):
            for side in ("entry", "exit"):
                asked = getattr(stages.of(stage).tier(higher), side)
                for each in getattr(stages.of(stage).tier(lower), side):
                    if each not in asked:
                        sentence = f"the {lower} tier asks for {each}; a higher tier asks for no less"
                        yield Contradiction(("stages", stage.value, higher.value, side), sentence)


def _never_met(stages: Stages) -> Iterator[Contradiction]:
    """Before its first training a model has no version to look at; people are asked about a validated one."""
    for key, criterion in stages.criteria():
        before = _before(Stage(str(key[1])), str(key[3]))
        if criterion.needs_version and before in (Stage.USE_CASE, Stage.DEVELOPMENT, Stage.RETIRED):
            yield Contradiction(key, f"{criterion} cannot be met before {before}: it is of no one version")
        elif criterion.kind == "approval" and before is Stage.VALIDATION:
            yield Contradiction(key, f"{criterion} cannot be met before {before}: people are asked after it")


def _asked_by_frameworks(frameworks: Mapping[str, FrameworkDocuments]) -> Iterator[tuple[_Key, str]]:
    for name, pack in frameworks.items():
        for stage in Stage:
            for place, kind in enumerate(getattr(pack, stage.value)):
                yield ("frameworks", name, stage.value, place), kind


def _before(stage: Stage, side: str) -> Stage:
    """The stage that a criterion stands before."""
    return stage if side == "entry" else list(Stage)[min(stage.place + 1, Stage.RETIRED.place)]
