"""What a request must hold: the features of the spec, in their types, missing only where the spec allows it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from steward.serving.failures import RefusedRequestError
from steward.spec import Feature, FeatureType, ModelSpec
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd

_MISSING = type(None)
_KINDS: dict[FeatureType, frozenset[type]] = {
    FeatureType.NUMBER: frozenset({int, float}),
    FeatureType.INTEGER: frozenset({int, float}),
    FeatureType.BOOLEAN: frozenset({bool}),
    FeatureType.CATEGORY: frozenset({str}),
    FeatureType.TEXT: frozenset({str}),
}
NUMERIC = frozenset({FeatureType.NUMBER, FeatureType.INTEGER})
_WORDS = {
    FeatureType.NUMBER: "numbers (FP64)",
    FeatureType.INTEGER: "whole numbers (INT64)",
    FeatureType.BOOLEAN: "true or false (BOOL)",
    FeatureType.CATEGORY: "texts (BYTES)",
    FeatureType.TEXT: "texts (BYTES)",
}


@dataclass(frozen=True)
class Batch:
    """Checked columns: float64 arrays for numbers, object arrays for the rest. `unseen` counts values per category
    that the spec does not list: they are answered all the same."""

    rows: int
    columns: dict[str, Any]
    unseen: dict[str, int] = field(default_factory=dict)

    def frame(self, features: Iterable[str]) -> pd.DataFrame:
        """Raises KeyError for a feature the request left out."""
        import pandas as pd

        return pd.DataFrame({name: self.columns[name] for name in features}, copy=False)


class RequestContract:
    """Compiled once per model and routing table; `check` runs for every request."""

    def __init__(self, spec: ModelSpec) -> None:
        self.features: dict[str, Feature] = dict(spec.data.features)
        self._levels = {n: frozenset(f.levels) for n, f in self.features.items() if f.levels is not None}

    def check(self, columns: Mapping[str, list[Any]], rows: int, required: Iterable[str]) -> Batch:
        """Raises RefusedRequestError naming the first feature that is absent or not as the spec says.

        Columns the spec does not know are left aside.
        """
        checked, unseen = {}, {}
        for name, feature in self.features.items():
            if (values := columns.get(name)) is not None:
                checked[name] = _array(name, feature, values)
                if name in self._levels and (count := _strangers(values, self._levels[name])):
                    unseen[name] = count
        if absent := [name for name in required if name not in checked]:
            raise self._missing(absent, columns)
        return Batch(rows, checked, unseen)

    def batch_of(self, rows: list[JsonObject]) -> Batch:
        """Rows as objects; a feature a row leaves out is missing, allowed or not (for smoke rows)."""
        import numpy as np

        columns: dict[str, Any] = {}
        for name, feature in self.features.items():
            kind: Any = "float64" if feature.type in NUMERIC else object
            columns[name] = np.array([row.get(name) for row in rows], dtype=kind)
        return Batch(len(rows), columns)

    def _missing(self, absent: list[str], columns: Mapping[str, list[Any]]) -> RefusedRequestError:
        near = difflib.get_close_matches(absent[0], [c for c in columns if c not in self.features], n=1)
        hint = f"{near[0]!r} is close: did you mean it?" if near else "GET /v2/models/<model> lists the features"
        said = (
            f"{'a feature is' if len(absent) == 1 else f'{len(absent)} features are'} missing: {', '.join(absent[:20])}"
        )
        return RefusedRequestError(said, hint=hint, code="missing_feature")


def _array(name: str, feature: Feature, values: list[Any]) -> Any:
    import numpy as np

    kinds = set(map(type, values))
    if _MISSING in kinds:
        if feature.max_missing == 0:
            said = f"row {values.index(None)} has no value, and the contract allows no missing value"
            raise RefusedRequestError(said, where=name, hint="send a value for every row", code="missing_value")
        kinds.discard(_MISSING)
    if not kinds <= _KINDS[feature.type]:
        raise _wrong_type(name, feature)
    if feature.type not in NUMERIC:
        return _objects(values)
    array = np.array(values, dtype="float64")
    if feature.type is FeatureType.INTEGER and float in kinds and (array % 1 > 0).any():
        raise _wrong_type(name, feature)
    if np.isinf(array).any():
        raise RefusedRequestError("a number is too large", where=name, hint="send finite numbers", code="not_finite")
    return array


def _objects(values: list[Any]) -> Any:
    import numpy as np

    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _wrong_type(name: str, feature: Feature) -> RefusedRequestError:
    said = f"the contract wants {_WORDS[feature.type]}"
    return RefusedRequestError(said, where=name, hint="convert the values before sending", code="wrong_datatype")


def _strangers(values: list[Any], levels: frozenset[str]) -> int:
    return sum(value is not None and value not in levels for value in values)
