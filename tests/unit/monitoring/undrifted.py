"""Windows of a model that is as it was, drawn as counts: the columns real tables have, without rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.unit.monitoring.readings import bare_profile, bins_of, counted
from tests.unit.specs import a_data_section, a_spec

from steward.monitoring.reading import Reading
from steward.monitoring.statistics import noise
from steward.monitoring.tallies import ColumnTally
from steward.spec import ModelSpec

Floats = NDArray[np.float64]


def _shares(weights: Any) -> Floats:
    found = np.asarray(weights, np.float64)
    return found / found.sum()


@dataclass(frozen=True)
class Shape:
    """`shares` of the bins. Deciles hold a tenth of the reference each, whatever the distribution: normal, lognormal or
    worse; what differs is the truth behind them."""

    kind: str
    shares: Floats
    missing: float = 0.0


NORMAL = Shape("edges", np.full(10, 0.1))
SHAPES = (
    NORMAL,
    NORMAL,
    Shape("edges", np.full(10, 0.1), missing=0.05),
    Shape("edges", _shares([6, 1, 1, 1, 1])),  # zero in six rows of ten
    Shape("edges", _shares([1, 4, 1, 2, 1, 1])),  # heavy ties
    Shape("values", _shares(1 / np.arange(1, 21) ** 1.5)),  # twenty values
    Shape("values", np.array([0.98, 0.02])),  # a flag that is seldom up
    Shape("levels", _shares([600, 300, 50, 30, 10, 5, 4, 1])),
    Shape("levels", _shares(1 / np.arange(1, 61)), missing=0.02),  # sixty levels, most of them rare
    Shape("levels", np.full(4, 0.25)),
)


def a_spec_of(count: int, min_rows: int = 100, psi: float = 0.1) -> ModelSpec:
    features = {}
    for place in range(count):
        kind = "category" if _shape(place).kind == "levels" else "number"
        features[f"x{place}"] = {"type": kind, "max_missing": 0.5}
    monitoring = {"min_rows": min_rows, "drift": {"psi": {"max": psi}}}
    return a_spec(data=a_data_section(features), monitoring=monitoring)


def _shape(place: int) -> Shape:
    return SHAPES[place % len(SHAPES)]


class World:
    """One reference, and as many windows from the same truth as one likes."""

    def __init__(self, draw: np.random.Generator, spec: ModelSpec, reference_rows: int) -> None:
        self._draw, self._spec = draw, spec
        names = list(spec.data.features)
        self._columns = {name: self._column(_shape(place), reference_rows) for place, name in enumerate(names)}
        self._scores = self._column(NORMAL, reference_rows)
        features = {name: about for name, (about, _) in self._columns.items()}
        self._profile = bare_profile(features, self._scores[0]["bins"]["counts"])

    def window(self, rows: int, moved: Sequence[str] = (), by: float = 0.5) -> Reading:
        """`moved` features of ten bins have gone by `by` standard deviations."""
        columns = {
            name: self._came(shifted(truth, by) if name in moved else truth, rows)
            for name, (_, truth) in self._columns.items()
        }
        scores = self._draw.multinomial(rows, self._scores[1][:-1])
        return counted(self._spec, self._profile, columns, scores=scores.tolist())

    def _column(self, shape: Shape, rows: int) -> tuple[Any, Floats]:
        """What the profile says, and the true shares: of every bin, then of missing values."""
        known = rows - self._draw.binomial(rows, shape.missing)
        missing = 1 - known / rows
        if shape.kind == "edges":  # bins are cut so that the reference's shares are these; the truth is near
            counts = np.round(shape.shares * known).astype(int)
            truth = self._draw.dirichlet(counts)
            return bins_of(counts.tolist(), missing=missing), np.append(truth * (1 - shape.missing), shape.missing)
        counts = self._draw.multinomial(known, shape.shares)
        seen = counts > 0
        about = bins_of([*counts[seen].tolist(), 0], kind=shape.kind, missing=missing)
        truth = np.append(shape.shares[seen], shape.shares[~seen].sum())
        return about, np.append(truth * (1 - shape.missing), shape.missing)

    def _came(self, truth: Floats, rows: int) -> ColumnTally:
        *counts, missing = self._draw.multinomial(rows, truth).tolist()
        return ColumnTally(rows, missing, counts=tuple(counts))


def shifted(truth: Floats, by: float) -> Floats:
    """Shares of the bins of a normal variable whose mean has moved."""
    from scipy.special import ndtr, ndtri

    known = truth[:-1] / truth[:-1].sum()
    edges = ndtri(np.clip(np.cumsum(known)[:-1], 0, 1))
    return np.append(np.diff(ndtr(edges - by), prepend=0, append=1) * (1 - truth[-1]), truth[-1])


@lru_cache(maxsize=100_000)
def _remembered(reference: tuple[int, ...], rows: int, alpha: float, levels: bool) -> float:
    return _COMPUTED(reference, rows, alpha, levels=levels)


_COMPUTED = noise.psi_without_drift


def remembered(reference: Sequence[int], rows: int, alpha: float, *, levels: bool = False) -> float:
    """`psi_without_drift`, computed once for each reference: thousands of windows share one."""
    return _remembered(tuple(reference), rows, alpha, levels)
