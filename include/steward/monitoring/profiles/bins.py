"""How one column falls into bins: fixed by the reference, counted on the window.

Numbers with more than 20 distinct reference values take the reference's deciles (equal edges merged, outer
bins open); otherwise one bin per reference value and a last one for values never seen. Categories take one
bin per level and a last one for levels never seen. Missing values are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from steward.errors import DataError
from steward.spec.model import FeatureType
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd

MAX_VALUES = 20
MAX_LEVELS = 500  # a profile stays small: rarer levels fall into the last bin
LEVEL_BYTES = 200  # of a name: what is longer is no level that a person would name

_COUNT_BYTES = 10  # of a level's count in JSON, and of the commas

Kind = Literal["edges", "values", "levels"]
Vector = NDArray[Any]


def read_column(column: pd.Series, kind: FeatureType) -> Vector:
    """One value per row: floats with NaN, or for a category text with None. The length stands for a text.

    Infinite numbers count as missing. Raises DataError when the column holds something that is not of its
    type.
    """
    if kind is FeatureType.CATEGORY:
        return _levels(column)
    if kind is FeatureType.TEXT:
        return column.astype("string").str.len().to_numpy(np.float64, na_value=np.nan)
    numbers = _numbers(column)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def is_known(values: Vector) -> NDArray[np.bool_]:
    import pandas as pd

    return np.asarray(pd.notna(values))


def _levels(column: pd.Series) -> Vector:
    """As text; a whole number reads the same whether it is stored as 3 or 3.0."""
    import pandas as pd

    if pd.api.types.is_object_dtype(column.dtype) or isinstance(column.dtype, pd.StringDtype):
        values = column.to_numpy(dtype=object, na_value=None)
        return values if pd.api.types.infer_dtype(values, skipna=True) == "string" else _as_text(values)
    return _as_text(column.astype(object).to_numpy(dtype=object, na_value=None))


def _as_text(values: Vector) -> Vector:
    texts = [None if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return np.array(texts, dtype=object)


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return column.to_numpy(np.float64, na_value=np.nan, copy=True)
    if not (pd.api.types.is_object_dtype(column.dtype) or isinstance(column.dtype, pd.StringDtype)):
        raise DataError(f"holds {column.dtype} values where numbers are expected")
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan, copy=True)
    broken = np.isnan(numbers) & column.notna().to_numpy()
    if broken.any():
        example = column[broken].iloc[0]
        raise DataError(f"holds {int(broken.sum())} of {len(column)} values that are not numbers, such as {example!r}")
    return numbers


@dataclass(frozen=True)
class Bins:
    """`cuts` are n−1 inner edges, or n−1 values or levels with a bin of their own; `counts` has n entries.

    `complete` says that `cuts` holds every reference level, so that the last bin means "never seen".
    """

    kind: Kind
    cuts: tuple[Any, ...]
    counts: tuple[int, ...]
    complete: bool = True

    @classmethod
    def of(cls, values: Vector, most_bytes: int | None = None) -> Self:
        """From the known reference values: floats, or objects holding text. `most_bytes`: of all the names of levels;
        the rarest are left unnamed."""
        if values.dtype == object:
            return cls._of_levels(values, most_bytes)
        distinct = np.unique(values)
        if len(distinct) > MAX_VALUES:
            edges = np.unique(np.quantile(values, np.linspace(0.1, 0.9, 9)))
            return cls._counted("edges", edges.tolist(), values)
        return cls.of_values(distinct.tolist(), values)

    @classmethod
    def of_values(cls, own: Iterable[float], values: Vector) -> Self:
        """A bin for each of `own`, ascending, and one for any other value."""
        return cls._counted("values", [float(value) for value in own], values)

    @classmethod
    def _of_levels(cls, values: Vector, most_bytes: int | None) -> Self:
        import pandas as pd

        found = pd.Series(values, dtype=object).value_counts()
        kept = _affordable(found.index[:MAX_LEVELS], most_bytes)
        return cls._counted("levels", sorted(kept), values, complete=len(kept) == len(found))

    @classmethod
    def _counted(cls, kind: Kind, cuts: list[Any], values: Vector, complete: bool = True) -> Self:
        empty = cls(kind, tuple(cuts), (), complete)
        return cls(kind, empty.cuts, tuple(empty.count(values).tolist()), complete)

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        return cls(value["kind"], tuple(value["cuts"]), tuple(value["counts"]), value["complete"])

    def to_json(self) -> JsonObject:
        return {
            "kind": self.kind,
            "cuts": list(self.cuts),
            "counts": list(self.counts),
            "complete": self.complete,
        }

    @property
    def rows(self) -> int:
        return sum(self.counts)

    def count(self, values: Vector) -> NDArray[np.int64]:
        """How many of the known values fall into each bin.

        A comparison of all values with one cut at a time: a processor does many of those at once, and needs no memory
        for a place of each value.
        """
        if self.kind == "levels":
            return self._count_levels(values)
        if self.kind == "edges":
            above = np.array([len(values), *(np.count_nonzero(values >= cut) for cut in self.cuts), 0])
            return above[:-1] - above[1:]
        own = np.array([np.count_nonzero(values == cut) for cut in self.cuts], np.int64)
        return np.append(own, len(values) - own.sum())

    def _count_levels(self, values: Vector) -> NDArray[np.int64]:
        import pandas as pd

        found = pd.Series(values, dtype=object).value_counts()
        own = found.reindex(list(self.cuts), fill_value=0).to_numpy(np.int64)
        return np.append(own, len(values) - own.sum())

    def places(self) -> dict[Any, int]:
        """The bin of each cut that has one of its own."""
        return {cut: place for place, cut in enumerate(self.cuts)}


def _affordable(names: Iterable[str], most_bytes: int | None) -> list[str]:
    """The first names until their bytes are used up, each with what JSON and its count take."""
    kept, left = [], float("inf") if most_bytes is None else float(most_bytes)
    for name in names:
        size = len(json.dumps(name)) + _COUNT_BYTES
        left -= size
        if left < 0:
            break
        if size <= LEVEL_BYTES:
            kept.append(name)
    return kept
