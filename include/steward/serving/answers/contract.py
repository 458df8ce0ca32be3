"""What a request must hold: the features of the spec, in their types, missing only where the spec allows it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from steward.gates.groups import group_text
from steward.serving.answers.failures import RefusedRequestError
from steward.spec import Feature, FeatureType, ModelSpec
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd

_MISSING = type(None)
_LARGEST_WHOLE = 2**53
_KINDS: dict[FeatureType, frozenset[type]] = {
    FeatureType.NUMBER: frozenset({int, float}),
    FeatureType.INTEGER: frozenset({int, float}),
    FeatureType.BOOLEAN: frozenset({bool}),
    FeatureType.CATEGORY: frozenset({str}),
    FeatureType.TEXT: frozenset({str}),
}
_NO_GROUPS: Mapping[str, list[str | None]] = {}
_GROUP_KINDS = frozenset({str, int, float, bool, _MISSING})
_LONGEST_GROUP = 200
NUMERIC = frozenset({FeatureType.NUMBER, FeatureType.INTEGER})
_WORDS = {
    FeatureType.NUMBER: "numbers (FP64)",
    FeatureType.INTEGER: "whole numbers (INT64)",
    FeatureType.BOOLEAN: "true or false (BOOL)",
    FeatureType.CATEGORY: "texts (BYTES)",
    FeatureType.TEXT: "texts (BYTES)",
}


class Batch:
    """Checked columns as lists, None where a value is missing. `unseen` counts values per category that the spec does
    not list: they are answered all the same.

    `groups` came beside the features, for the log alone: texts. Read-only: several versions may answer the same batch.
    """

    __slots__ = ("columns", "groups", "numeric", "rows", "unseen")

    def __init__(
        self,
        rows: int,
        columns: dict[str, list[Any]],
        numeric: frozenset[str],
        unseen: dict[str, int] | None = None,
        groups: Mapping[str, list[str | None]] = _NO_GROUPS,
    ) -> None:
        self.rows, self.columns, self.numeric, self.unseen, self.groups = rows, columns, numeric, unseen or {}, groups

    def frame(self, features: Iterable[str]) -> pd.DataFrame:
        """float64 for numbers, object for the rest. Raises KeyError for a feature the request left out."""
        import numpy as np
        import pandas as pd

        arrays = {}
        for name in features:
            kind: Any = "float64" if name in self.numeric else object
            arrays[name] = np.array(self.columns[name], dtype=kind)
        return pd.DataFrame(arrays, copy=False)


class _Rule(NamedTuple):
    """One feature, made ready for being checked often."""

    name: str
    feature: Feature
    kinds: frozenset[type]
    numeric: bool
    whole: bool
    may_miss: bool
    levels: frozenset[str] | None


class _QuickRule(NamedTuple):
    """What tells, of a single value, that there is nothing to say against it: its type is plain, and it lies between
    `low` and `high`. Anything else is looked at by the rule."""

    name: str
    plain: frozenset[type]
    low: Any
    high: Any
    rule: _Rule


class RequestContract:
    """Compiled once per model and routing table; `check` runs for every request."""

    def __init__(self, spec: ModelSpec) -> None:
        self.features: dict[str, Feature] = dict(spec.data.features)
        self.numeric = frozenset(name for name, feature in self.features.items() if feature.type in NUMERIC)
        self.groups = spec.data.accompanying
        self._rules = [_quick_rule(name, feature) for name, feature in self.features.items()]

    def check(self, columns: dict[str, list[Any]], rows: int, required: Iterable[str]) -> Batch:
        """Raises RefusedRequestError naming the first feature that is absent or not as the spec says.

        Columns the spec does not know are left aside, and so are protected ones, for the log. Most requests are one row
        with the features alone and nothing wrong: that costs least.
        """
        unseen: dict[str, int] = {}
        found = 0
        for name, plain, low, high, rule in self._rules:
            values = columns.get(name)
            if values is None:
                continue
            found += 1
            if rows == 1:
                value = values[0]
                if type(value) in plain and (low is None or low <= value <= high):
                    continue
            if strangers := _check_values(rule, values):
                unseen[name] = strangers
        if found < len(self._rules) and (absent := [name for name in required if name not in columns]):
            raise self._missing(absent, columns)
        if found == len(columns):
            return Batch(rows, columns, self.numeric, unseen)
        known = {name: columns[name] for name in self.features if name in columns}
        groups = {name: _group_texts(name, columns[name]) for name in self.groups if name in columns}
        return Batch(rows, known, self.numeric, unseen, groups)

    def batch_of(self, rows: list[JsonObject]) -> Batch:
        """Rows as objects; a feature a row leaves out is missing, allowed or not (for smoke rows)."""
        return Batch(len(rows), {name: [row.get(name) for row in rows] for name in self.features}, self.numeric)

    def _missing(self, absent: list[str], columns: Mapping[str, list[Any]]) -> RefusedRequestError:
        strange = [name for name in columns if name not in self.features and name not in self.groups]
        near = difflib.get_close_matches(absent[0], strange, n=1)
        hint = f"{near[0]!r} is close: did you mean it?" if near else "GET /v2/models/<model> lists the features"
        said = (
            f"{'a feature is' if len(absent) == 1 else f'{len(absent)} features are'} missing: {', '.join(absent[:20])}"
        )
        return RefusedRequestError(said, hint=hint, code="missing_feature")


def _quick_rule(name: str, feature: Feature) -> _QuickRule:
    levels = frozenset(feature.levels) if feature.levels is not None else None
    numeric, whole = feature.type in NUMERIC, feature.type is FeatureType.INTEGER
    rule = _Rule(name, feature, _KINDS[feature.type], numeric, whole, feature.max_missing > 0, levels)
    plain = frozenset({int}) if whole else frozenset[type]() if levels is not None else rule.kinds
    largest = _LARGEST_WHOLE if numeric else None
    return _QuickRule(name, plain, largest and -largest, largest, rule)


def _check_values(rule: _Rule, values: list[Any]) -> int:
    name, feature, allowed, numeric, whole, may_miss, levels = rule
    kinds = set(map(type, values))
    present = values
    if _MISSING in kinds:
        if not may_miss:
            raise _no_value(name, values.index(None))
        kinds.discard(_MISSING)
        present = [value for value in values if value is not None]
    if not kinds <= allowed:
        raise _wrong_type(name, feature)
    if numeric:
        _check_large(name, present, whole)
        if whole and float in kinds and any(map(_is_fraction, present)):
            raise _wrong_type(name, feature)
        return 0
    return 0 if levels is None else sum(value not in levels for value in present)


def _group_texts(name: str, values: list[Any]) -> list[str | None]:
    if not set(map(type, values)) <= _GROUP_KINDS:
        raise _no_group(name)
    texts = [None if value is None or value == "" else group_text(value) for value in values]
    if any(text is not None and len(text) > _LONGEST_GROUP for text in texts):
        raise _no_group(name)
    return texts


def _no_group(name: str) -> RefusedRequestError:
    said = f"a group is named by a text of at most {_LONGEST_GROUP} characters, or by a number"
    return RefusedRequestError(said, where=name, hint="send the group, or leave the column out", code="wrong_datatype")


def _check_large(name: str, values: list[Any], whole: bool) -> None:
    """Models count in float64. It holds no larger number, and whole numbers without gaps only up to 2⁵³."""
    if not all(map(_is_finite, values)):
        raise RefusedRequestError("a number is too large", where=name, hint="send finite numbers", code="not_finite")
    if whole and not all(-_LARGEST_WHOLE <= value <= _LARGEST_WHOLE for value in values):
        said, hint = "a whole number is beyond 2^53", "models cannot tell such numbers apart: send smaller ones"
        raise RefusedRequestError(said, where=name, hint=hint, code="not_finite")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer no float can hold
        return False


def _is_fraction(value: float) -> bool:
    return value != int(value)


def _no_value(name: str, row: int) -> RefusedRequestError:
    said = f"row {row} has no value, and the contract allows no missing value"
    return RefusedRequestError(said, where=name, hint="send a value for every row", code="missing_value")


def _wrong_type(name: str, feature: Feature) -> RefusedRequestError:
    said = f"the contract wants {_WORDS[feature.type]}"
    return RefusedRequestError(said, where=name, hint="convert the values before sending", code="wrong_datatype")
