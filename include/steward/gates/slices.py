"""Slices of a frame of rows, from the few words a spec may use.

`origin` is one slice per level of the column, `distance > 1500 and carrier == "UA"` is one slice. Grammar:

    slice     := column | condition ("and" condition)*
    condition := column ("==" | "!=" | "<" | "<=" | ">" | ">=") literal
    literal   := number | "text" | 'text' | true | false

Text is parsed, never evaluated. Importing this loads nothing heavy: `steward check` uses `check_slice`.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.errors import DataError, SpecError
from steward.spec.model import FeatureType

if TYPE_CHECKING:
    import pandas as pd

MAX_LEVELS = 60

_COLUMN = r"[A-Za-z_][A-Za-z0-9_]*"
_LITERAL = r"""-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|"[^"]*"|'[^']*'|true|false"""
_CONDITION = re.compile(rf"\s*({_COLUMN})\s*(==|!=|<=|>=|<|>)\s*({_LITERAL})\s*")
_AND = re.compile(r"(?i)and\b")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FORM = "write a column, or conditions such as \"distance > 1500 and carrier == 'UA'\""


@dataclass(frozen=True)
class Condition:
    column: str
    sign: str
    literal: float | str | bool

    @property
    def orders(self) -> bool:
        return self.sign not in ("==", "!=")

    def holds(self, frame: pd.DataFrame) -> pd.Series:
        """False where the column is missing."""
        column = frame[self.column]
        values = column.astype(str) if isinstance(self.literal, str) else column.astype(float)
        return (_OPERATORS[self.sign](values, self.literal) & column.notna()).astype(bool)


@dataclass(frozen=True)
class Slice:
    """`rows` is a boolean mask over the frame it was cut from."""

    name: str
    rows: pd.Series


def parse_slice(text: str) -> str | tuple[Condition, ...]:
    """A column name, or conditions that must all hold. Raises SpecError for anything else."""
    if re.fullmatch(rf"\s*{_COLUMN}\s*", text):
        return text.strip()
    conditions, at = [], 0
    while (match := _CONDITION.match(text, at)) is not None:
        conditions.append(Condition(match[1], match[2], _literal(match[3])))
        at = match.end()
        if at == len(text):
            return tuple(conditions)
        joined = _AND.match(text, at)
        if joined is None:
            break
        at = joined.end()
    rest = text[at:].strip()
    raise SpecError(
        f"slice {text!r} cannot be read from {rest!r} on" if rest else f"slice {text!r} ends too early",
        hint=_FORM,
    )


def _literal(text: str) -> float | str | bool:
    if text in ("true", "false"):
        return text == "true"
    return text[1:-1] if text[0] in "\"'" else float(text)


def check_slice(text: str, columns: Mapping[str, FeatureType] | Iterable[str]) -> list[str]:
    """All that is wrong with a slice of a spec, one sentence each; empty when it can be used.

    With a mapping of column types, comparisons that cannot work on the type are faults too.
    """
    try:
        parsed = parse_slice(text)
    except SpecError as error:
        return [f"{error.what}: {error.hint}"]
    types = dict(columns) if isinstance(columns, Mapping) else dict.fromkeys(columns)
    if isinstance(parsed, str):
        return _unknown(text, parsed, types) or _too_fine(text, types[parsed])
    faults = []
    for condition in parsed:
        faults += _unknown(text, condition.column, types) or _mismatch(text, condition, types[condition.column])
    return faults


def _unknown(text: str, column: str, types: Mapping[str, FeatureType | None]) -> list[str]:
    if column in types:
        return []
    nearest = difflib.get_close_matches(column, types, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"one of {', '.join(sorted(types))}"
    return [f"slice {text!r} names {column!r}, which is neither a feature nor protected: {hint}"]


def _too_fine(text: str, kind: FeatureType | None) -> list[str]:
    if kind not in (FeatureType.NUMBER, FeatureType.TEXT):
        return []
    example = " > 0" if kind is FeatureType.NUMBER else " == 'A'"
    return [
        f"slice {text!r} would be one slice per value of a {kind} column: write a condition such as {text + example!r}"
    ]


def _mismatch(text: str, condition: Condition, kind: FeatureType | None) -> list[str]:
    if kind is None:
        return []
    worded = kind in (FeatureType.CATEGORY, FeatureType.TEXT)
    if worded != isinstance(condition.literal, str):
        wanted = "text in quotes" if worded else "a number"
        return [f"slice {text!r} compares {condition.column}, a {kind}, with {condition.literal!r}: give {wanted}"]
    if worded and condition.orders:
        return [f"slice {text!r} orders {condition.column}, a {kind}: use == or !="]
    return []


def cut(text: str, frame: pd.DataFrame) -> list[Slice]:
    """The slices a spec's line names, on this frame. A column gives one per level, missing values included.

    Raises SpecError when the line cannot be read, DataError when the frame cannot give the slices.
    """
    parsed = parse_slice(text)
    named = [parsed] if isinstance(parsed, str) else [condition.column for condition in parsed]
    if absent := sorted(set(named) - set(frame.columns)):
        raise DataError(f"slice {text!r} needs {', '.join(absent)}, which the data lack")
    if isinstance(parsed, str):
        return _per_level(parsed, frame[parsed])
    return [Slice(text, _all_hold(text, parsed, frame))]


def _all_hold(text: str, conditions: tuple[Condition, ...], frame: pd.DataFrame) -> pd.Series:
    try:
        masks = [condition.holds(frame) for condition in conditions]
    except (TypeError, ValueError) as error:
        raise DataError(
            f"slice {text!r} cannot be cut: {error}", hint="compare text with text, numbers with numbers"
        ) from error
    mask = masks[0]
    for more in masks[1:]:
        mask = mask & more
    return mask


def _per_level(column: str, values: pd.Series) -> list[Slice]:
    levels = sorted(values.dropna().unique(), key=str)
    if len(levels) > MAX_LEVELS:
        raise DataError(
            f"slice {column!r} has {len(levels)} levels, at most {MAX_LEVELS} can be judged",
            hint="write conditions for the levels that matter",
        )
    slices = [Slice(f"{column} = {level}", values == level) for level in levels]
    return [*slices, Slice(f"{column} is missing", values.isna())] if values.isna().any() else slices
