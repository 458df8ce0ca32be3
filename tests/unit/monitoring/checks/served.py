"""Readings of a week put together from counts, day by day, for the checks of how a model is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.unit.monitoring.readings import WEEK
from tests.unit.specs import a_data_section, a_spec

from steward.gates import OVERALL, Finding
from steward.monitoring.reading import Check, Reading
from steward.monitoring.tallies import AnswerTally, DayTally, Moments, OperationTally, OutcomeTally, Tally
from steward.monitoring.tallies.answers import GroupTally
from steward.spec import ModelSpec

FEATURES = {"distance": {"type": "number"}, "carrier": {"type": "category"}}
Groups = Mapping[str, Mapping[str, GroupTally]]


def watched(
    monitoring: Mapping[str, Any] | None = None, deployment: Mapping[str, Any] | None = None, **data: Any
) -> ModelSpec:
    deployed = {"strategy": "direct", "steps": [100], **(deployment or {})}
    section = a_data_section(FEATURES, **data)
    return a_spec(data=section, deployment=deployed, monitoring={"min_rows": 10, **(monitoring or {})})


def a_tally(
    operation: OperationTally | None = None,
    groups: Groups | None = None,
    outcomes: OutcomeTally | None = None,
    answers: AnswerTally | None = None,
) -> Tally:
    rows = (
        operation.rows if operation else sum(tally.rows for tally in next(iter((groups or {"": {}}).values())).values())
    )
    told = outcomes or OutcomeTally(rows, Moments(rows, 0.5))
    return Tally(
        "p", {}, answers or AnswerTally(rows), {OVERALL: told}, groups or {}, operation or OperationTally(rows)
    )


def a_reading(spec: ModelSpec, tallies: Sequence[Tally], profile: Mapping[str, Any] | None = None) -> Reading:
    """One tally a day, oldest first; the last is of the window's last day."""
    last = (WEEK.end - timedelta(days=1)).date()
    days = [
        DayTally("m", 1, last - timedelta(days=len(tallies) - 1 - place), tally, WEEK.end)
        for place, tally in enumerate(tallies)
    ]
    inside = [each.tally for each in days if each.day >= WEEK.start.date()]
    return Reading(spec, dict(profile or {}), WEEK, Tally.total("p", inside), days, (), WEEK.end + timedelta(days=9))


def at_once(spec: ModelSpec, tally: Tally, profile: Mapping[str, Any] | None = None) -> Reading:
    """Of the window as a whole; nothing is known of its days."""
    return replace(a_reading(spec, [tally], profile), days=())


def by_gate(check: Check, reading: Reading) -> dict[str, Finding]:
    found = {finding.gate: finding for finding in check(reading)}
    assert len(found) == len(check(reading)), "two findings of one gate"
    return found
