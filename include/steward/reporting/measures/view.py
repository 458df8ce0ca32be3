"""Measures side by side: of the portfolio, a team, a tier or a model, over the last so many days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from steward.errors import RequestError
from steward.reporting.measures.definitions import MEASURES, Measure
from steward.reporting.measures.measured import Measured
from steward.reporting.measures.record import GROUPINGS, PORTFOLIO, Record
from steward.types import JsonObject, RiskTier

DAYS = (7, 30, 90)


def measures_view(
    record: Record,
    at: datetime,
    days: Sequence[int] = DAYS,
    by: Sequence[str] = (PORTFOLIO,),
    of: str | None = None,
) -> JsonObject:
    """Every measure of every group, over each number of days to `at`; `before` is the value over as many days before.

    `of` names one group of the last of `by`, and no other of it is told. Raises RequestError for a grouping nobody
    knows.
    """
    require_groupings(by)
    return {
        "at": at,
        "days": list(days),
        "by": list(by),
        "of": of,
        "measures": [measure.to_json() for measure in MEASURES],
        "groups": [
            {"by": each, "of": name, "figures": _figures(found, at, days)}
            for each in by
            for name, found in _wanted(record, each, of if each == by[-1] else None)
        ],
    }


def require_groupings(by: Iterable[str]) -> None:
    for each in by:
        if each not in GROUPINGS:
            raise RequestError(f"measures are not told by {each!r}", hint=f"one of {', '.join(GROUPINGS)}")


def _wanted(record: Record, by: str, of: str | None) -> Iterator[tuple[str, Record]]:
    if of is not None:
        yield of, group_of(record, by, of)
        return
    places = {tier.value: -tier_place for tier_place, tier in enumerate(RiskTier)} if by == "tier" else {}
    yield from sorted(record.groups(by).items(), key=lambda group: (places.get(group[0], 1), group[0]))


def group_of(record: Record, by: str, of: str | None) -> Record:
    """Without any facts, an empty one: there is not enough data, and that is said measure by measure."""
    return record.groups(by).get(of or "", Record())


def _figures(found: Record, at: datetime, days: Sequence[int]) -> JsonObject:
    """By measure, one for each number of days."""
    told: JsonObject = {measure.id: [] for measure in MEASURES}
    for count in days:
        span = timedelta(days=count)
        now, before = found.within(at - span, at), found.within(at - 2 * span, at - span)
        for measure in MEASURES:
            figure = measure.tell(now).to_json()
            told[measure.id].append({"days": count, **figure, "before": measure.tell(before).value})
    return told


def measured(record: Record, measure: Measure, at: datetime, days: int, by: str, of: str | None) -> Measured:
    """One figure, with the events behind it."""
    return measure.tell(group_of(record, by, of).within(at - timedelta(days=days), at))


def every_measure(record: Record, at: datetime, days: int) -> Mapping[Measure, Measured]:
    """Of the whole portfolio."""
    seen = record.within(at - timedelta(days=days), at)
    return {measure: measure.tell(seen) for measure in MEASURES}
