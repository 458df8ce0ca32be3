"""The groups of a window, from counts, as evaluation measures them from rows; and what they were at evaluation.

Decisions are those of the whole window. What became of them (true and false positives, accuracy) is told of days whose
outcomes are due: those that come early are not like those that come late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steward.gates.fairness import SIGNIFICANT, Group, Share
from steward.gates.groupings import (
    MAX_GROUPS,
    Grouping,
    column_sets,
    measure_groups,
    not_measured,
    too_many_groups,
)
from steward.gates.groups import CROSSED, MISSING, group_names, groups_of
from steward.monitoring.due import due_outcomes
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import GroupTally, Tally
from steward.monitoring.tallies.answers import OTHERS
from steward.spec.fairness import Fairness
from steward.spec.model import ModelSpec, Task
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd

    Floats = NDArray[np.float64]

OUTCOME_MEASURES = frozenset({"equalized_odds_difference", "accuracy_difference"})
"""Measures that ask what became of the decisions."""


def rules_of(spec: ModelSpec) -> Fairness:
    """By which the groups are counted and measured, judged or not."""
    return spec.monitoring.fairness or spec.evaluation.fairness or Fairness()


def has_groups(spec: ModelSpec) -> bool:
    return spec.task is Task.BINARY and bool(spec.data.protected)


def measure_window(reading: Reading, level: float = SIGNIFICANT) -> list[Grouping]:
    """By every protected column, and crossed where the rules ask for it."""
    rules, ready = rules_of(reading.spec), due_outcomes(reading).days
    sets = column_sets(reading.spec.data.protected, rules.intersections)
    return [_measure(CROSSED.join(columns), reading.tally, ready, rules, level) for columns in sets]


def _measure(by: str, window: Tally, ready: Iterable[Tally], rules: Fairness, level: float) -> Grouping:
    found = window.groups.get(by, {})
    if not set(found) - {MISSING}:
        return not_measured(by, f"no answer of the window names a group of {by}: callers may send it with the features")
    if OTHERS in found or len(found) > MAX_GROUPS:
        return too_many_groups(by, "too many" if OTHERS in found else str(len(found)))
    told = [day.groups.get(by, {}) for day in ready]
    groups = [_group(name, found[name], _summed(day.get(name) for day in told)) for name in sorted(found)]
    return measure_groups(by, groups, rules.min_rows, level)


def _summed(parts: Iterable[GroupTally | None]) -> GroupTally:
    return reduce(add, filter(None, parts), GroupTally())


def _group(name: str, decided: GroupTally, told: GroupTally) -> Group:
    rows = told.tp + told.fp + told.fn + told.tn
    return Group(
        name,
        selected=Share(decided.selected, decided.rows),
        true_positive=Share(told.tp, told.tp + told.fn),
        false_positive=Share(told.fp, told.fp + told.tn),
        accurate=Share(told.tp + told.tn, rows),
    )


def group_shares(reading: Reading) -> JsonObject | None:
    """What a window's evidence shows of its groups, judged or not; None where there are none to show."""
    if not has_groups(reading.spec):
        return None
    rules = rules_of(reading.spec)
    groupings = measure_window(reading)
    return {
        "favourable": rules.favourable,
        "min_rows": rules.min_rows,
        "groupings": [grouping.to_json(rules.min_rows) for grouping in groupings],
    }


def group_baseline(
    spec: ModelSpec, scores: Floats, labels: Floats, threshold: float, holdout: pd.DataFrame | None
) -> Mapping[str, Mapping[str, float | None]]:
    """`groups` of a profile: every measure on the hold-out, by the columns. Names of groups are not kept: the log may
    hold them hashed."""
    if holdout is None or not has_groups(spec):
        return {}
    rules, known = rules_of(spec), np.isfinite(labels) & np.isfinite(scores)
    positive, decided = labels[known] > 0.5, scores[known] >= threshold
    if rules.favourable == 0:
        positive, decided = ~positive, ~decided
    there = [column for column in spec.data.protected if column in holdout.columns]
    found: dict[str, Mapping[str, float | None]] = {}
    for columns in column_sets(there, rules.intersections):
        names = group_names(holdout[known], columns)
        if len(set(names)) <= MAX_GROUPS:
            measured = measure_groups("", groups_of(names, positive, decided), rules.min_rows).measures
            found[CROSSED.join(columns)] = {name: each.value for name, each in measured.items()}
    return found
