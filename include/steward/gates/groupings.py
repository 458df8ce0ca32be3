"""The groups of one protected column, or of several crossed, measured and judged: at evaluation as in service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from steward.gates.fairness import (
    SIGNIFICANT,
    Disparity,
    Group,
    accuracy_difference,
    highest_refusal,
    judge_disparity,
    judge_rows,
    odds_difference,
    parity_difference,
    parity_ratio,
)
from steward.gates.verdict import Finding
from steward.spec.fairness import Fairness
from steward.spec.limits import Limit
from steward.types import JsonObject

MAX_GROUPS = 200

MEASURES: Mapping[str, Callable[[Sequence[Group], int, float], Disparity]] = {
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


def column_sets(columns: Sequence[str], crossed: bool) -> list[tuple[str, ...]]:
    """Each alone; crossed also in pairs, and all together."""
    sets: list[tuple[str, ...]] = [(column,) for column in columns]
    if crossed:
        sets += [*combinations(columns, 2), *([tuple(columns)] if len(columns) > 2 else [])]
    return sets


def measure_groups(by: str, groups: Sequence[Group], min_rows: int, level: float = SIGNIFICANT) -> Grouping:
    """`level`: how small p must be for a gap to be proven."""
    return Grouping(by, tuple(groups), {name: measure(groups, min_rows, level) for name, measure in MEASURES.items()})


def not_measured(by: str, problem: str) -> Grouping:
    return Grouping(by, (), {name: Disparity(name, None, problem) for name in MEASURES}, problem)


def too_many_groups(by: str, said: str) -> Grouping:
    return not_measured(
        by, f"{by} has {said} groups, at most {MAX_GROUPS} can be compared: give a column of wider bands"
    )


def limits_of(rules: Fairness) -> dict[str, float]:
    """The measures that the rules judge, and how far each may go."""
    found = {name: _limit(getattr(rules, name)) for name in MEASURES}
    return {name: limit for name, limit in found.items() if limit is not None}


def judge_grouping(rules: Fairness, grouping: Grouping) -> Iterator[Finding]:
    """One finding per gate, and one per group that a gate could not compare."""
    small: dict[str, int] = {}
    for name, limit in limits_of(rules).items():
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
