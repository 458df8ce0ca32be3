"""A measure of some facts: a number with the counts behind it, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from steward.reporting.measures.record import Fact
from steward.types import JsonObject

Part = float | int | None


@dataclass(frozen=True)
class Measured:
    """`value` is None where there is not enough data, and `why_not` says what is lacking: never 0 or 1 of nothing.

    `sample` is how many facts the value is taken over, `parts` are counts and figures beside it by name, `facts` all
    that were looked at.
    """

    value: float | None
    sample: int
    parts: dict[str, Part] = field(default_factory=dict)
    facts: Sequence[Fact] = ()
    why_not: str | None = None

    @property
    def events(self) -> tuple[int, ...]:
        """The sequences of all that it was read from. Whoever only wants the value does not pay for them."""
        return tuple(sorted({seq for fact in self.facts for seq in fact.seqs()}))

    def to_json(self) -> JsonObject:
        """Without the events: whoever wants to see them asks for them."""
        return {"value": self.value, "sample": self.sample, "parts": self.parts, "why_not": self.why_not}


def share(good: int, of: Sequence[Fact], why_not: str, also: Sequence[Fact] = (), /, **parts: Part) -> Measured:
    """`good` of all `of`; `also` are other facts that made them good or bad."""
    counted: dict[str, Part] = {"count": good, "of": len(of), **parts}
    value = good / len(of) if of else None
    return Measured(value, len(of), counted, [*of, *also], None if of else why_not)


def typical(values: Sequence[float], of: Sequence[Fact], why_not: str, **parts: Part) -> Measured:
    """The median, with mean and largest beside it; `of` are the facts looked at, measured or not."""
    if not values:
        return Measured(None, 0, parts, of, why_not)
    told: dict[str, Part] = {"mean": fmean(values), "largest": max(values), **parts}
    return Measured(median(values), len(values), told, of)


def per(count: int, units: int, facts: Sequence[Fact], why_not: str, **parts: Part) -> Measured:
    """`count` things for each of `units`."""
    counted: dict[str, Part] = {"count": count, "of": units, **parts}
    value = count / units if units else None
    return Measured(value, units, counted, facts, None if units else why_not)
