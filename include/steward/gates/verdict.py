"""Evidence in, verdict with reasons out. Absence is never consent: no findings is INCONCLUSIVE."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from steward.types import JsonObject, digest_of, to_json

OVERALL = "overall"


class Outcome(StrEnum):
    PASSED = "PASSED"
    FAILED = "FAILED"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class Finding:
    """What one rule says of one slice. `reason` is a sentence an operator can act on."""

    gate: str
    outcome: Outcome
    reason: str
    value: float | None = None
    limit: float | None = None
    slice: str = OVERALL
    rows: int | None = None

    def to_json(self) -> JsonObject:
        return {
            "gate": self.gate,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "value": to_json(self.value),
            "limit": to_json(self.limit),
            "slice": self.slice,
            "rows": self.rows,
        }

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        return cls(**{**value, "outcome": Outcome(value["outcome"])})


@dataclass(frozen=True)
class Verdict:
    """FAILED if any finding failed, else INCONCLUSIVE if any is or none exists, else PASSED."""

    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Self:
        return cls(tuple(findings))

    @property
    def outcome(self) -> Outcome:
        outcomes = {finding.outcome for finding in self.findings}
        if Outcome.FAILED in outcomes:
            return Outcome.FAILED
        if not outcomes or Outcome.INCONCLUSIVE in outcomes:
            return Outcome.INCONCLUSIVE
        return Outcome.PASSED

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it did not pass; for a passed verdict, empty."""
        if not self.findings:
            return ("nothing was judged",)
        return tuple(f.reason for f in self.findings if f.outcome is not Outcome.PASSED)

    def failed(self, gate: str | None = None) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.outcome is Outcome.FAILED and (gate is None or f.gate == gate))

    def to_json(self) -> JsonObject:
        return {"outcome": self.outcome.value, "findings": [f.to_json() for f in self.findings]}

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        return cls(tuple(Finding.from_json(f) for f in value["findings"]))


@dataclass(frozen=True)
class Evidence:
    """What a step found out, stored by the digest of its content. `body` is plain JSON (no NaN)."""

    kind: str
    model: str
    body: JsonObject = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "body", to_json(self.body))

    @property
    def digest(self) -> str:
        return digest_of({"kind": self.kind, "model": self.model, "body": self.body})

    @property
    def verdict(self) -> Verdict:
        """The verdict stored in the body; KeyError when this kind of evidence has none."""
        return Verdict.from_json(self.body["verdict"])


def at_most(gate: str, value: float | None, limit: float, what: str, **about: Any) -> Finding:
    """PASSED when `value <= limit`; INCONCLUSIVE when there is no value (None or NaN)."""
    return _bound(gate, value, limit, what, ok=value is not None and value <= limit, sign="above", about=about)


def at_least(gate: str, value: float | None, limit: float, what: str, **about: Any) -> Finding:
    """PASSED when `value >= limit`; INCONCLUSIVE when there is no value (None or NaN)."""
    return _bound(gate, value, limit, what, ok=value is not None and value >= limit, sign="below", about=about)


def _bound(
    gate: str, value: float | None, limit: float, what: str, *, ok: bool, sign: str, about: JsonObject
) -> Finding:
    where = "" if about.get("slice", OVERALL) == OVERALL else f" on {about['slice']}"
    if value is None or math.isnan(value):
        reason = f"{what}{where} could not be computed"
        return Finding(gate, Outcome.INCONCLUSIVE, reason, None, limit, **about)
    outcome = Outcome.PASSED if ok else Outcome.FAILED
    relation = "within" if ok else sign
    return Finding(
        gate, outcome, f"{what}{where} is {value:.4g}, {relation} the limit {limit:.4g}", value, limit, **about
    )
