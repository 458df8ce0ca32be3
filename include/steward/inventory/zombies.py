"""What does not fit together: specs, ledger, registry, servers, callers and people, compared by rule.

Pure over an `Estate`. A rule answers with what it found of one model, or with UNDECIDED when it was not told enough:
what could not be asked is never taken for "all is well".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Final

from steward.inventory.estate import ServedVersion
from steward.inventory.record import ModelFacts
from steward.inventory.retirement import Asked
from steward.ledger import ALL_MODELS, tombstone_of
from steward.types import JsonObject, VersionRef, to_json

ESTATE_UNKNOWN = "estate_unknown"
UNDECIDED: Final = None

Found = tuple[int | None, str]
"""The version it is about, if any, and the reason. A reason holds dates, not ages: the same trouble reads the same."""


@dataclass(frozen=True)
class EstateFinding:
    """`what_to_do` is for the one who reads it. `inconclusive`: this could not be judged."""

    rule: str
    model: str
    version: int | None
    severity: str
    reason: str
    what_to_do: str
    inconclusive: bool = False

    @property
    def name(self) -> str:
        if self.model == ALL_MODELS:
            return "the estate"
        return self.model if self.version is None else str(VersionRef(self.model, self.version))

    def to_json(self) -> JsonObject:
        return to_json(vars(self))


@dataclass(frozen=True)
class Estate:
    """The facts of one moment. None, or a model that is absent from a mapping, means: not known.

    `people` maps everybody the policy knows to the day they left; `valid_for` a tier to how long an approval stays
    good; `traffic` a model to its requests since its `idle_after`; `sources` a probed model to why its data cannot be
    read; `aliases` the registry's, by model. `moving`: models whose route changed while servers were asked.
    `unknown` maps what could not be asked to why.
    """

    now: datetime
    models: Sequence[ModelFacts]
    people: Mapping[str, date | None] = field(default_factory=dict)
    valid_for: Mapping[str, timedelta] = field(default_factory=dict)
    served: Sequence[ServedVersion] | None = None
    traffic: Mapping[str, Asked] = field(default_factory=dict)
    sources: Mapping[str, str | None] = field(default_factory=dict)
    aliases: Mapping[str, Mapping[str, int | None]] | None = None
    moving: Collection[str] = ()
    service_accounts: Collection[str] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)

    def serving(self, model: str) -> list[ServedVersion] | None:
        """What servers answer with for a model; None when they were not asked, or it was just changing."""
        return None if self.served is None or model in self.moving else self._served.get(model, [])

    @cached_property
    def _served(self) -> dict[str, list[ServedVersion]]:
        found: dict[str, list[ServedVersion]] = {}
        for version in self.served or ():
            found.setdefault(version.model, []).append(version)
        return found

    @cached_property
    def retired(self) -> frozenset[str]:
        return frozenset(facts.model for facts in self.models if tombstone_of(facts.events))

    @cached_property
    def readers(self) -> dict[str, set[str]]:
        """Which models read the answers of which."""
        found: dict[str, set[str]] = {}
        for facts in self.models:
            declared = facts.spec or facts.external
            for upstream in declared.upstream if declared else ():
                found.setdefault(upstream, set()).add(facts.model)
        return found


@dataclass(frozen=True)
class Rule:
    """`needs_spec`: of a model without a sound spec it cannot be told."""

    name: str
    severity: str
    what_to_do: str
    find: Callable[[Estate, ModelFacts], Iterable[Found] | None]
    needs_spec: bool = False

    def judge(self, estate: Estate, facts: ModelFacts) -> list[Found] | None:
        if self.needs_spec and facts.spec is None:
            return UNDECIDED if facts.fault is not None else []
        found = self.find(estate, facts)
        return UNDECIDED if found is UNDECIDED else list(found)


@dataclass(frozen=True)
class Assessment:
    """`undecided` holds (rule, model): what was known of these before still stands."""

    findings: tuple[EstateFinding, ...]
    undecided: frozenset[tuple[str, str]]
    models: int

    def counts(self) -> dict[str, int]:
        """By rule, those that found something."""
        counted: dict[str, int] = {}
        for finding in self.findings:
            counted[finding.rule] = counted.get(finding.rule, 0) + 1
        return dict(sorted(counted.items()))

    def to_json(self) -> JsonObject:
        findings = [finding.to_json() for finding in self.findings]
        return {"models": self.models, "counts": self.counts(), "findings": findings}


def assess(estate: Estate, rules: Sequence[Rule]) -> Assessment:
    """Every rule on every model. Findings by severity, model and rule; one for each model, version and rule."""
    findings = _not_asked(estate.unknown)
    undecided: set[tuple[str, str]] = set()
    for facts in estate.models:
        for rule in rules:
            found = rule.judge(estate, facts)
            if found is UNDECIDED:
                undecided.add((rule.name, facts.model))
            else:
                findings += _merged(rule, facts.model, found)
    order = {"high": 0, "medium": 1, "low": 2}
    findings.sort(key=lambda f: (order[f.severity], f.model, f.rule, f.version or 0))
    return Assessment(tuple(findings), frozenset(undecided), len(estate.models))


def _merged(rule: Rule, model: str, found: Iterable[Found]) -> Iterator[EstateFinding]:
    reasons: dict[int | None, list[str]] = {}
    for version, reason in found:
        reasons.setdefault(version, []).append(reason)
    for version, said in reasons.items():
        text = "; ".join(dict.fromkeys(said))
        yield EstateFinding(rule.name, model, version, rule.severity, text, rule.what_to_do.format(model=model))


def _not_asked(unknown: Mapping[str, str]) -> list[EstateFinding]:
    """Said of all models at once: some of them may be in trouble."""
    if not unknown:
        return []
    said = "; ".join(f"{what}: {why}" for what, why in sorted(unknown.items()))
    hint = "bring it back; the next audit asks again"
    return [EstateFinding(ESTATE_UNKNOWN, ALL_MODELS, None, "medium", said, hint, inconclusive=True)]
