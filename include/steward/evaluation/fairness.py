"""Fairness of a candidate's decisions on its hold-out: by every protected column, and by those columns crossed.

Measured whenever the data have protected columns, so that an approver sees it; judged where the spec sets gates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from steward.gates import Finding
from steward.gates.fairness import warning
from steward.gates.groupings import (
    MAX_GROUPS,
    Grouping,
    column_sets,
    judge_grouping,
    measure_groups,
    too_many_groups,
)
from steward.gates.groups import CROSSED, Flags, group_names, groups_of
from steward.spec.fairness import Fairness
from steward.spec.model import ModelSpec, Task
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd


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
    sets = column_sets(spec.data.protected, rules.intersections)
    groupings = [measure_grouping(frame, columns, positive, decided, rules.min_rows) for columns in sets]
    body = {
        "favourable": rules.favourable,
        "threshold": threshold,
        "min_rows": rules.min_rows,
        "groupings": [grouping.to_json(rules.min_rows) for grouping in groupings],
        "warnings": list(dict.fromkeys(said for grouping in groupings for said in _warnings(grouping))),
    }
    return body, [finding for grouping in groupings for finding in judge_grouping(rules, grouping)]


def measure_grouping(
    frame: pd.DataFrame, columns: Sequence[str], positive: Flags, decided: Flags, min_rows: int
) -> Grouping:
    """`positive`: the outcome was the favourable one; `decided`: the decision was. Both align with the rows."""
    by = CROSSED.join(columns)
    names = group_names(frame, columns)
    if (count := len(set(names))) > MAX_GROUPS:
        return too_many_groups(by, str(count))
    return measure_groups(by, groups_of(names, positive, decided), min_rows)


def _warnings(grouping: Grouping) -> Iterator[str]:
    for name, found in grouping.measures.items():
        if said := warning(found):
            yield f"{name} by {grouping.by}: {said.removeprefix('yet ')}"
