"""One feature of a batch of rows, counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steward.monitoring.profiles.bins import Bins
from steward.monitoring.tallies.arrays import (
    example_of,
    holds_levels,
    holds_texts,
    known_values,
    level_counts,
    numbers,
    printable,
    unwrapped,
)
from steward.monitoring.tallies.columns import MOST_STRANGE, ColumnTally, Words
from steward.monitoring.tallies.moments import Moments
from steward.spec.model import Feature, FeatureType
from steward.types import JsonObject

if TYPE_CHECKING:
    import pyarrow as pa

    from steward.monitoring.profiles.words import Vocabulary

    Floats = NDArray[np.float64]


class ColumnCounter:
    """`about` is what the version's profile says of the feature; None when it says nothing: bins are then empty."""

    def __init__(self, feature: Feature, about: JsonObject | None) -> None:
        self._feature = feature
        self._bins = Bins.from_json(about["bins"]) if about else None
        self._vocabulary = _vocabulary((about or {}).get("words"))
        self._places = self._bins.places() if self._bins and self._bins.kind == "levels" else {}

    def count(self, array: pa.Array) -> ColumnTally:
        if self._feature.type is FeatureType.CATEGORY:
            return self._levels(array)
        if self._feature.type is FeatureType.TEXT:
            return self._texts(array)
        return self._numbers(array)

    def absent(self, rows: int) -> ColumnTally:
        return ColumnTally(rows, absent=rows)

    # --- numbers ----------------------------------------------------------------------------------

    def _numbers(self, array: pa.Array) -> ColumnTally:
        read = numbers(array)
        known, missing, infinite = known_of(read.values)
        moments = Moments.of(known)
        return ColumnTally(
            rows=len(array),
            missing=missing - read.broken,
            infinite=infinite,
            broken=read.broken,
            outside=self._outside(known, moments),
            counts=self._binned(known),
            moments=moments,
            example=read.example,
        )

    def _outside(self, known: Floats, moments: Moments) -> int:
        low, high = self._feature.min, self._feature.max
        below = np.count_nonzero(known < low) if low is not None and moments.low < low else 0
        above = np.count_nonzero(known > high) if high is not None and moments.high > high else 0
        return int(below) + int(above)

    def _binned(self, known: Floats) -> tuple[int, ...]:
        return tuple(self._bins.count(known).tolist()) if self._bins and self._bins.kind != "levels" else ()

    # --- levels -----------------------------------------------------------------------------------

    def _levels(self, array: pa.Array) -> ColumnTally:
        if not holds_levels(array):
            return _broken(array)
        found = level_counts(array)
        missing = found.pop(None, 0)
        strange = self._strange(found)
        return ColumnTally(
            rows=len(array),
            missing=missing,
            outside=sum(strange.values()) if self._feature.levels is not None else 0,
            counts=self._levelled(found),
            strange=_most_frequent(strange),
        )

    def _levelled(self, found: Mapping[str | None, int]) -> tuple[int, ...]:
        if self._bins is None or self._bins.kind != "levels":
            return ()
        counts = [0] * (len(self._places) + 1)
        for level, rows in found.items():
            counts[self._places.get(level, -1)] += rows
        return tuple(counts)

    def _strange(self, found: Mapping[str | None, int]) -> dict[str, int]:
        usual = self._places if self._feature.levels is None else self._feature.levels
        if self._feature.levels is None and self._bins is None:
            return {}
        return {level: rows for level, rows in found.items() if level is not None and level not in usual}

    # --- texts ------------------------------------------------------------------------------------

    def _texts(self, array: pa.Array) -> ColumnTally:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not holds_texts(array):
            return _broken(array)
        read = unwrapped(array).cast(pa.large_string())
        known, missing, _ = known_of(numbers(pc.utf8_length(read)).values)
        return ColumnTally(
            rows=len(array),
            missing=missing,
            counts=self._binned(known),
            moments=Moments.of(known),
            words=self._worded(read),
        )

    def _worded(self, read: pa.Array) -> Words | None:
        """The words themselves, where the profile has the reference's."""
        from steward.monitoring.profiles.words import word_counts

        return None if self._vocabulary is None else word_counts(read.to_pylist(), self._vocabulary)


def _vocabulary(words: JsonObject | None) -> Vocabulary | None:
    from steward.monitoring.profiles.words import Vocabulary

    return None if words is None else Vocabulary.from_json(words)


def known_of(values: Floats) -> tuple[Floats, int, int]:
    """The finite ones; how many are missing; how many are infinite. A finite sum means that all are finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        sound = bool(np.isfinite(values.sum()))
    if sound:
        return values, 0, 0
    missing = int(np.count_nonzero(np.isnan(values)))
    known = values[np.isfinite(values)]
    return known, missing, len(values) - missing - len(known)


def _broken(array: pa.Array) -> ColumnTally:
    known = known_values(array)
    return ColumnTally(len(array), missing=len(array) - len(known), broken=len(known), example=example_of(known))


def _most_frequent(strange: Mapping[str, int]) -> dict[str, int]:
    kept = sorted(strange.items(), key=lambda item: (-item[1], item[0]))[:MOST_STRANGE]
    return {printable(level): rows for level, rows in kept}
