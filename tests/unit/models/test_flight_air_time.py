"""The regression model against the real flights: what it loads, and how far it is off as the year goes on.

Bounds come from the data's own study: mean absolute error of 14.2 minutes in July for a model of January to March, 7.4
for one retrained every week on four weeks.
"""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

MODEL = Path(__file__).parents[3] / "include" / "models" / "flight_air_time" / "model.py"
JANUARY, APRIL, JULY = (datetime(2013, month, 1, tzinfo=UTC) for month in (1, 4, 7))
WEEK = timedelta(days=7)


@pytest.fixture(scope="module")
def model() -> ModuleType:
    found = importlib.util.spec_from_file_location("flight_air_time_model", MODEL)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def fitted_on(model: ModuleType, start: datetime, end: datetime) -> Any:
    known = model.load(start, end).dropna(subset="air_time")
    return model.build({}).fit(known[model.FEATURES], known["air_time"])


def errors(model: ModuleType, estimator: Any, start: datetime, end: datetime) -> pd.Series:
    """Predicted less true, in minutes."""
    known = model.load(start, end).dropna(subset="air_time")
    return pd.Series(estimator.predict(known[model.FEATURES]) - known["air_time"].to_numpy())


def test_load_brings_id_time_label_and_features_and_nothing_that_leaks(model: ModuleType) -> None:
    day = model.load(JANUARY, JANUARY + timedelta(days=1))
    assert list(day.columns) == ["flight_id", "scheduled_departure", "air_time", *model.FEATURES]
    assert day["flight_id"].is_unique
    assert day["scheduled_departure"].is_monotonic_increasing


def test_the_label_is_there_for_every_flight_that_arrived(model: ModuleType) -> None:
    year = model.load(JANUARY, datetime(2014, 2, 1, tzinfo=UTC))
    assert (len(year), int(year["air_time"].notna().sum())) == (336_776, 327_346)


def test_a_model_of_winter_is_off_in_july_and_one_of_june_is_not(model: ModuleType) -> None:
    winter = fitted_on(model, JANUARY, APRIL)
    late_june = fitted_on(model, JULY - 4 * WEEK, JULY)
    off, held = (errors(model, estimator, JULY, JULY + WEEK) for estimator in (winter, late_june))
    assert off.abs().mean() > 12
    assert off.mean() > 9  # westbound flights are quicker without the jet stream of winter
    assert held.abs().mean() < 9
    assert abs(held.mean()) < 4


def test_the_examples_tell_a_sound_model_from_a_broken_one(model: ModuleType) -> None:
    rows = pd.DataFrame([example["row"] for example in model.examples()])[model.FEATURES]
    rows = rows.astype(dict.fromkeys(model.NUMBERS, "float64"))
    bounds = [example["expect"] for example in model.examples()]

    def held(answers: Any) -> bool:
        return all(b["min"] <= a <= b["max"] for a, b in zip(answers, bounds, strict=True))

    assert held(fitted_on(model, JANUARY, JANUARY + 4 * WEEK).predict(rows))
    assert not held(np.full(len(rows), 151.5))
