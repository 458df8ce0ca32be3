"""Which group a row belongs to, and how each group fared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from steward.gates.fairness import Group, Share

if TYPE_CHECKING:
    import pandas as pd

MISSING = "missing"
CROSSED = " × "

Flags = NDArray[np.bool_]
Names = NDArray[np.object_]


def group_names(frame: pd.DataFrame, columns: Sequence[str]) -> Names:
    """`black`, or `black × female`, one per row. A missing value is a group; 1 and 1.0 are the same one."""
    parts = [[_name(value) for value in _plain(frame[column])] for column in columns]
    return np.array([CROSSED.join(row) for row in zip(*parts, strict=True)], dtype=object)


def _plain(column: pd.Series) -> list[Any]:
    """None where missing, however the column says so."""
    return column.astype(object).where(column.notna(), None).tolist()


def _name(value: Any) -> str:
    return MISSING if value is None else group_text(value)


def group_text(value: Any) -> str:
    """What a group is called, whoever asks: a caller, a table, an evaluation. The value is there."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def groups_of(names: Names, positive: Flags, decided: Flags) -> tuple[Group, ...]:
    """By name. `positive`: the outcome was the favourable one; `decided`: the decision was. All three align."""
    return tuple(_group(name, positive[names == name], decided[names == name]) for name in sorted(set(names)))


def _group(name: str, positive: Flags, decided: Flags) -> Group:
    rows, positives = len(positive), int(positive.sum())
    return Group(
        name,
        selected=Share(int(decided.sum()), rows),
        true_positive=Share(int((decided & positive).sum()), positives),
        false_positive=Share(int((decided & ~positive).sum()), rows - positives),
        accurate=Share(int((decided == positive).sum()), rows),
    )
