"""Compliance frameworks as versioned data: what each asks for in our words, and by which evidence that is shown.

A pack is read as strictly as a spec, by the same machinery. Frameworks come, change and go: a pack says from when until
when it holds, and whether anybody compared it with the primary text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from steward.errors import NotFoundError
from steward.ledger import EventType
from steward.spec import Fault, FaultsError, ModelSpec, Section
from steward.spec.documents import read_document
from steward.spec.faults import nearest
from steward.spec.fields import Contradiction, Duration, Identifier
from steward.spec.model import unknown_key
from steward.spec.validation import validate
from steward.types import JsonObject, RiskTier, Stage

SHIPPED = Path(__file__).parent / "packs"
PACK_ID = r"^[a-z0-9][a-z0-9-]{0,62}$"

EvidenceKind = Literal["snapshot", "validation", "training", "evaluation", "profile"]
EvaluationPart = Literal["calibration", "importance", "slices", "fairness"]


class Query(Section):
    """One thing that shows a statement is met: exactly one key, and `within` where it may grow old."""

    document: Identifier | None = Field(default=None, description="Filed for the version, or for the model as a whole")
    evidence: EvidenceKind | None = Field(default=None, description="That the version was made from or judged by")
    evaluated: EvaluationPart | None = Field(default=None, description="A part of the evaluation that is not empty")
    verdict: str | None = Field(default=None, description="Gates of the evaluation, `*` allowed: there, and all passed")
    event: EventType | None = Field(default=None, description="Of the version, its model, or the whole portfolio")
    stage: Stage | None = Field(default=None, description="Entered by the model")
    approval: Literal[True] | None = Field(default=None, description="Given by people, neither voided nor lapsed")
    monitor: Literal[True] | None = Field(default=None, description="A window that could be judged, not long ago")
    review: Literal[True] | None = Field(default=None, description="Of the model as a whole; the next is not overdue")
    waivers: Literal["live"] | None = Field(default=None, description="None was needed, or every one still holds")
    incidents: Literal["resolved"] | None = Field(default=None, description="None is open")
    chain: Literal["verified"] | None = Field(default=None, description="The ledger holds, link by link")
    field: str | None = Field(default=None, description="A key of the spec that is not empty")
    duty: str | None = Field(default=None, min_length=1, description="What nothing here can show; always a gap")
    within: Duration | None = Field(default=None, description="Older than this it has expired")

    def contradictions(self) -> Iterator[Contradiction]:
        if len(self._given) != 1:
            yield Contradiction((), "name exactly one of " + ", ".join(QUERY_KINDS))
        elif self.within is not None and self.kind not in AGEING:
            yield Contradiction(("within",), f"only {', '.join(AGEING)} can expire")
        if self.field is not None and (unknown := unknown_key(self.field)):
            yield Contradiction(("field",), f"a spec has no key {self.field}", nearest(*unknown))

    @property
    def _given(self) -> list[str]:
        return [name for name in QUERY_KINDS if getattr(self, name) is not None]

    @property
    def kind(self) -> str:
        return self._given[0]

    def __str__(self) -> str:
        """`document use_case`, `approval`."""
        value = getattr(self, self.kind)
        return self.kind if value is True or self.kind == "duty" else f"{self.kind} {value}"


QUERY_KINDS = tuple(name for name in Query.model_fields if name != "within")
AGEING = ("document", "event", "approval")


class Statement(Section):
    """One thing a framework asks for. Met when all of `evidence` is there.

    `declaration`: it asks that something be stated, so a field of the spec alone can meet it.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.()-]{0,30}$")
    text: str = Field(min_length=1, description="In our own words")
    citation: str = Field(min_length=1, description="The section that asks for it")
    applies_to: tuple[RiskTier, ...] = Field(default=tuple(RiskTier), min_length=1)
    evidence: tuple[Query, ...] = Field(min_length=1)
    declaration: bool = False
    checked_against_primary_text: bool = False

    def contradictions(self) -> Iterator[Contradiction]:
        if not self.declaration and all(query.kind == "field" for query in self.evidence):
            sentence = "a field of the spec shows only that something is stated: add evidence, or declaration: true"
            yield Contradiction(("evidence",), sentence)


class Standing(StrEnum):
    NOT_YET = "not yet in force"
    IN_FORCE = "in force"
    SUPERSEDED = "superseded"


class Pack(Section):
    """One edition of one framework. From `effective_from` until `superseded_on` it is in force."""

    id: str = Field(pattern=PACK_ID)
    title: str = Field(min_length=1)
    jurisdiction: str = Field(min_length=1)
    issuer: str = Field(min_length=1)
    version: str = Field(min_length=1, max_length=40, description="Of this pack, not of the framework")
    effective_from: date
    superseded_on: date | None = None
    superseded_by: str | None = Field(default=None, pattern=PACK_ID)
    citation: str = Field(min_length=1)
    checked_against_primary_text: bool
    note: str = Field(min_length=1, description="What the pack rests on, and what it does not cover")
    statements: tuple[Statement, ...] = Field(min_length=1)

    def contradictions(self) -> Iterator[Contradiction]:
        return _inconsistent(dict(self))

    def standing(self, on: date) -> Standing:
        if self.superseded_on is not None and on >= self.superseded_on:
            return Standing.SUPERSEDED
        return Standing.IN_FORCE if on >= self.effective_from else Standing.NOT_YET

    def heading(self) -> JsonObject:
        """Everything but its statements."""
        return self.model_dump(mode="json", exclude={"statements"})


@dataclass(frozen=True)
class PackCatalogue:
    """The packs at hand, several editions of one framework among them."""

    packs: tuple[Pack, ...]

    def ids(self) -> list[str]:
        return sorted({pack.id for pack in self.packs})

    def get(self, pack_id: str, on: date) -> Pack:
        """The edition of that day; before the first one, the first. Raises NotFoundError."""
        editions = sorted((p for p in self.packs if p.id == pack_id), key=lambda p: p.effective_from)
        if not editions:
            close = nearest(pack_id, self.ids())
            hint = f"did you mean `{close}`?" if close else "`steward report packs` lists them"
            raise NotFoundError(f"there is no compliance pack {pack_id!r}", hint=hint)
        begun = [pack for pack in editions if pack.effective_from <= on]
        return begun[-1] if begun else editions[0]


@lru_cache(maxsize=1)
def shipped_packs() -> PackCatalogue:
    return load_packs([SHIPPED])


def load_packs(folders: Sequence[Path]) -> PackCatalogue:
    """Every `*.yaml` of the folders. Raises FaultsError (a SpecError) with the faults of all of them."""
    packs: list[Pack] = []
    faults: list[Fault] = []
    files = [path for folder in folders for path in sorted(folder.glob("*.yaml"))]
    for path in files:
        try:
            packs.append(load_pack(path))
        except FaultsError as error:
            faults += error.faults
    faults += [] if faults else _clashes(packs)
    if faults:
        raise FaultsError(faults)
    return PackCatalogue(tuple(packs))


def load_pack(path: Path) -> Pack:
    """Raises FaultsError with every fault of the file."""
    return validate(read_document(path), Pack, _inconsistent)


def unknown_frameworks(catalogue: PackCatalogue, spec: ModelSpec) -> Iterator[Contradiction]:
    """Frameworks a spec names that no pack describes. A superseded one is known: an old spec stays sound."""
    known = catalogue.ids()
    for place, name in enumerate(spec.frameworks):
        if name not in known:
            sentence = f"there is no compliance pack {name}; known: {', '.join(known)}"
            yield Contradiction(("frameworks", place), sentence, nearest(name, known))


def superseded_frameworks(catalogue: PackCatalogue, frameworks: Iterable[str], on: date) -> list[str]:
    """One sentence for each that no longer holds; to be read by whoever owns the model."""
    known = set(catalogue.ids())
    packs = [catalogue.get(name, on) for name in frameworks if name in known]
    return [
        f"{pack.id} was superseded on {pack.superseded_on} by {pack.superseded_by}: name {pack.superseded_by} instead"
        for pack in packs
        if pack.standing(on) is Standing.SUPERSEDED
    ]


def _clashes(packs: Sequence[Pack]) -> Iterator[Fault]:
    """Two files for one edition, and successors that nobody described."""
    seen: set[tuple[str, str]] = set()
    known = {pack.id for pack in packs}
    for pack in packs:
        if (pack.id, pack.version) in seen:
            yield Fault(pack.id, 1, 1, "version", f"version {pack.version} of {pack.id} is there twice")
        seen.add((pack.id, pack.version))
        if pack.superseded_by is not None and pack.superseded_by not in known:
            problem = f"there is no pack {pack.superseded_by}"
            yield Fault(pack.id, 1, 1, "superseded_by", problem, nearest=nearest(pack.superseded_by, known))


def _inconsistent(keys: Mapping[str, Any]) -> Iterator[Contradiction]:
    ends, by, starts = keys.get("superseded_on"), keys.get("superseded_by"), keys.get("effective_from")
    if (ends is None) != (by is None):
        yield Contradiction(("superseded_by",), "superseded_on and superseded_by come together")
    if ends is not None and starts is not None and ends <= starts:
        yield Contradiction(("superseded_on",), "it is superseded before it is in force")
    statements = keys.get("statements", ())
    names = [statement.id for statement in statements]
    for place, statement in enumerate(statements):
        if statement.id in names[:place]:
            yield Contradiction(("statements", place, "id"), "two statements have this id")
        if keys.get("checked_against_primary_text") and not statement.checked_against_primary_text:
            sentence = "the pack says it was checked against the primary text, this statement that it was not"
            yield Contradiction(("statements", place), sentence)
