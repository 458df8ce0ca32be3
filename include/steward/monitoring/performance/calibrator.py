"""From what a model says to how often it is so: a monotone map fitted on the hold-out, small enough for a profile.

Up to 20 bins of about equal size by score, their shares of yes made monotone (pool adjacent violators), straight lines
between them. Beyond the outermost bins the odds keep the factor they had there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from steward.types import JsonObject

Floats = NDArray[np.float64]

MOST_KNOTS, ROWS_PER_KNOT = 20, 50
_EDGE = 1e-6


@dataclass(frozen=True)
class Calibrator:
    """`seen` of the rows that said `said` on average."""

    said: tuple[float, ...]
    seen: tuple[float, ...]
    rows: tuple[int, ...]

    @classmethod
    def fit(cls, scores: Floats, outcomes: Floats) -> Self | None:
        """Of scores in [0, 1] and outcomes 0 or 1; None for so few rows, or so one-sided ones, that it would guess."""
        if len(scores) < 2 * ROWS_PER_KNOT or len(np.unique(outcomes)) < 2:
            return None
        knots = min(MOST_KNOTS, len(scores) // ROWS_PER_KNOT)
        edges = np.unique(np.quantile(scores, np.linspace(0, 1, knots + 1)[1:-1]))
        place = np.unique(np.searchsorted(edges, scores, side="right"), return_inverse=True)[1]
        rows = np.bincount(place)
        said, yes = np.bincount(place, scores) / rows, np.bincount(place, outcomes)
        floor = 0.5 / (rows + 1)
        seen = np.clip(pooled(yes / rows, rows.astype(np.float64)), floor.max(), 1 - floor.max())
        return cls(tuple(said.tolist()), tuple(seen.tolist()), tuple(rows.tolist()))

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        return cls(tuple(value["said"]), tuple(value["seen"]), tuple(value["rows"]))

    def to_json(self) -> JsonObject:
        return {"said": list(self.said), "seen": list(self.seen), "rows": list(self.rows)}

    def __call__(self, scores: Floats) -> Floats:
        return self._read(scores, np.asarray(self.seen))

    def shaken(self, scores: Floats, draw: np.random.Generator, count: int) -> Floats:
        """(count, n): what other hold-outs of this size could have taught."""
        seen, rows = np.asarray(self.seen), np.asarray(self.rows, np.float64)
        noise = draw.normal(size=(count, len(seen))) * np.sqrt(seen * (1 - seen) / rows)
        drawn = np.maximum.accumulate(np.clip(seen + noise, _EDGE, 1 - _EDGE), axis=1)
        return np.stack([self._read(scores, each) for each in drawn])

    def _read(self, scores: Floats, seen: Floats) -> Floats:
        inside = np.interp(scores, self.said, seen)
        below, above = scores < self.said[0], scores > self.said[-1]
        found = np.where(below, _shifted(scores, self.said[0], seen[0]), inside)
        return np.where(above, _shifted(scores, self.said[-1], seen[-1]), found)


def _odds(chances: Floats | float) -> Floats:
    clipped = np.clip(chances, _EDGE, 1 - _EDGE)
    return np.asarray(clipped / (1 - clipped))


def _shifted(scores: Floats, said: float, seen: float) -> Floats:
    odds = _odds(scores) * (_odds(seen) / _odds(said))
    return odds / (1 + odds)


def pooled(values: Floats, weights: Floats) -> Floats:
    """The nearest rising sequence in weighted squares: neighbours that fall are replaced by their mean."""
    blocks: list[list[float]] = []
    for value, weight in zip(values, weights, strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            right, left = blocks.pop(), blocks.pop()
            total = left[1] + right[1]
            blocks.append([(left[0] * left[1] + right[0] * right[1]) / total, total, left[2] + right[2]])
    return np.concatenate([np.full(int(count), value) for value, _, count in blocks])
