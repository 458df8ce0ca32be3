"""Fairness of a candidate's decisions on its hold-out: by every protected column, and by those columns crossed.

Measured whenever the data have protected columns, so that an approver sees it; judged where the spec sets gates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from steward.gates import Finding
from steward.gates.fairness import (
    Disparity,
    Group,
    accuracy_difference,
    highest_refusal,
    judge_disparity,
    judge_rows,
    odds_difference,
    parity_difference,
    parity_ratio,
    warning,
)
from steward.gates.groups import CROSSED, Flags, group_names, groups_of
from steward.spec.fairness import Fairness
from steward.spec.limits import Limit
from steward.spec.model import ModelSpec, Task
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd

MAX_GROUPS = 200

_MEASURES: dict[str, Callable[[Sequence[Group], int], Disparity]] = {
    "demographic_parity_ratio": parity_ratio,
    "demographic_parity_difference": parity_difference,
    "equalized_odds_difference": odds_difference,
    "adverse_action_rate": highest_refusal,
    "accuracy_difference": accuracy_difference,
}


@dataclass(frozen=True)
class Grouping:
    """How the groups of one column, or of several crossed, fared. `problem`: there are too many to be compared."""

    by: str
    groups: tuple[Group, ...]
    measures: dict[str, Disparity]
    problem: str | None = None

    def to_json(self, min_rows: int) -> JsonObject:
        return {
            "by": self.by,
            "groups": [group.to_json() for group in self.groups],
            "small": [group.name for group in self.groups if group.rows < min_rows],
            "measures": {name: found.to_json() for name, found in self.measures.items()},
            "problem": self.problem,
        }


def assess_fairness(
    spec: ModelSpec, frame: pd.DataFrame, labels: Any, scores: Any, threshold: float
) -> tuple[JsonObject | None, list[Finding]]:
    """→ what goes into the evidence (None without protected columns) and the findings of the spec's gates.

    Rows have known outcomes; scores from `threshold` on are a yes. A missing value is a group of its own.
    """
    if spec.task is not Task.BINARY or not spec.data.protected:
        return None, []
    rules = spec.evaluation.fairness or Fairness()
    positive, decided = np.asarray(labels) > 0.5, np.asarray(scores) >= threshold
    if rules.favourable == 0:
        positive, decided = ~positive, ~decided
    sets = _column_sets(spec.data.protected, rules.intersections)
    groupings = [measure_grouping(frame, columns, positive, decided, rules.min_rows) for columns in sets]
    body = {
        "favourable": rules.favourable,
        "threshold": threshold,
        "min_rows": rules.min_rows,
        "groupings": [grouping.to_json(rules.min_rows) for grouping in groupings],
        "warnings": list(dict.fromkeys(said for grouping in groupings for said in _warnings(grouping))),
    }
    return body, [finding for grouping in groupings for finding in judge_grouping(rules, grouping)]


def _column_sets(columns: Sequence[str], crossed: bool) -> list[tuple[str, ...]]:
    """Each alone; crossed also in pairs, and all together."""
    sets: list[tuple[str, ...]] = [(column,) for column in columns]
    if crossed:
        sets += [*combinations(columns, 2), *([tuple(columns)] if len(columns) > 2 else [])]
    return sets


def measure_grouping(
    frame: pd.DataFrame, columns: Sequence[str], positive: Flags, decided: Flags, min_rows: int
) -> Grouping:
    """`positive`: the outcome was the favourable one; `decided`: the decision was. Both align with the rows."""
    by = CROSSED.join(columns)
    names = group_names(frame, columns)
    if (count := len(set(names))) > MAX_GROUPS:
        problem = f"{by} has {count} groups, at most {MAX_GROUPS} can be compared: give a column of wider bands"
        return Grouping(by, (), {name: Disparity(name, None, problem) for name in _MEASURES}, problem)
    groups = groups_of(names, positive, decided)
    return Grouping(by, groups, {name: measure(groups, min_rows) for name, measure in _MEASURES.items()})


def _warnings(grouping: Grouping) -> Iterator[str]:
    for name, found in grouping.measures.items():
        if said := warning(found):
            yield f"{name} by {grouping.by}: {said.removeprefix('yet ')}"


def judge_grouping(rules: Fairness, grouping: Grouping) -> Iterator[Finding]:
    """One finding per gate, and one per group that a gate could not compare."""
    small: dict[str, int] = {}
    for name in _MEASURES:
        limit = _limit(getattr(rules, name))
        if limit is None:
            continue
        found = grouping.measures[name]
        yield judge_disparity(found, limit, grouping.by)
        for group, rows in found.small:
            small[group] = min(rows, small.get(group, rows))
    for group, rows in small.items():
        yield judge_rows(group, rows, rules.min_rows, grouping.by)


def _limit(gate: Any) -> float | None:
    if gate is None:
        return None
    return float(gate.max if isinstance(gate, Limit) else gate.min)
