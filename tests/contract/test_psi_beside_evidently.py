"""On Evidently's own bins our index, from counts, is Evidently's number.

Two rules differ, on purpose: Evidently pools reference and current for its edges, and raises shares of zero only, where
ours raises every share below 1e-4. With fewer than 10,000 rows no other share is that small, so the numbers are equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from steward.monitoring.profiles.bins import Bins, Vector
from steward.monitoring.statistics.psi import psi

ROWS = 5000


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    draw = np.random.default_rng(0)
    reference = {
        "normal": draw.normal(0, 1, ROWS),
        "lognormal": draw.lognormal(0, 1, ROWS),
        "disjoint": draw.uniform(0, 0.5, ROWS),
        "few": draw.integers(0, 12, ROWS).astype(float),
        "category": draw.choice(["a", "b", "c"], ROWS, p=[0.5, 0.3, 0.2]),
    }
    current = {
        "normal": draw.normal(0.5, 1, ROWS),
        "lognormal": draw.lognormal(0.3, 1, ROWS),
        "disjoint": draw.uniform(0.5, 1, ROWS),
        "few": draw.integers(3, 14, ROWS).astype(float),
        "category": draw.choice(["a", "b", "d"], ROWS, p=[0.4, 0.35, 0.25]),
    }
    return pd.DataFrame(reference), pd.DataFrame(current)


@pytest.fixture(scope="module")
def theirs() -> dict[str, float]:
    """One run of the preset over all columns."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    reference, current = frames()
    about = DataDefinition(
        numerical_columns=["normal", "lognormal", "disjoint", "few"], categorical_columns=["category"]
    )
    sides = [Dataset.from_pandas(side, about) for side in (current, reference)]
    found: dict[str, Any] = Report([DataDriftPreset(method="psi")]).run(*sides).dict()
    named = [(metric["config"].get("column"), metric["value"]) for metric in found["metrics"]]
    return {column: float(value) for column, value in named if column}


def on_their_bins(reference: pd.Series, current: pd.Series) -> Bins:
    """Counted on the reference; the bins are those of `evidently.legacy.calculations.stattests.utils`."""
    known: Vector = reference.to_numpy()
    if reference.dtype == object:
        levels = sorted({*reference, *current})
        return Bins("levels", tuple(levels), tuple(Bins("levels", tuple(levels), ()).count(known).tolist()))
    if reference.nunique() <= 20:
        return Bins.of_values(sorted({*reference, *current}), known)
    edges = np.histogram_bin_edges(pd.concat([reference, current]).to_numpy(), bins="sturges")[1:-1].tolist()
    return Bins("edges", tuple(edges), tuple(Bins("edges", tuple(edges), ()).count(known).tolist()))


@pytest.mark.parametrize("column", ["normal", "lognormal", "disjoint", "few", "category"])
def test_the_same_number_on_the_same_bins(theirs: dict[str, float], column: str) -> None:
    reference, current = (side[column] for side in frames())
    bins = on_their_bins(reference, current)
    counts = bins.count(current.to_numpy())
    last = None if bins.kind == "edges" else -1  # a bin for values neither side has is empty
    before, now = np.array(bins.counts)[:last] / ROWS, counts[:last] / ROWS
    assert psi(before, now) == pytest.approx(theirs[column], abs=1e-9)
    assert psi(before, now) > 0.02
