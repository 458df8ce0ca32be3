"""A sound model with everything watched: four weeks of 30 rows a day, 50 features, outcomes, groups, latencies."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from tests.unit.specs import a_data_section, a_spec

from steward.monitoring.profiles.profile import build_profile
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import DayTally, Tally
from steward.monitoring.tallies.counting import tally_of
from steward.spec import ModelSpec
from steward.types import JsonObject, Window

FEATURES, ROWS_A_DAY, DAYS, WEEK = 50, 30, 28, 7
RARE = np.array([600, 300, 50, 30, 10, 5, 4, 1]) / 1000
FIRST = datetime(2013, 4, 1, tzinfo=UTC)


def watched_in_every_way() -> ModelSpec:
    kinds = ("number", "number", "integer", "category", "number")
    features: dict[str, Any] = {f"x{i}": {"type": kinds[i % 5], "max_missing": 0.5} for i in range(FEATURES - 1)}
    features["sex"] = {"type": "category", "levels": ["f", "m"]}
    return a_spec(
        data=a_data_section(features, protected=["sex"], label={"column": "late", "arrives_after": "1h"}),
        monitoring={
            "min_rows": 150,
            "performance": {
                "roc_auc": {"max_drop": 0.05},
                "accuracy": {"max_drop": 0.05},
                "log_loss": {"max_rise": 0.1},
            },
            "estimated": {"accuracy": {"max_drop": 0.05}},
            "calibration": {"max": 0.05},
            "fairness": {
                "demographic_parity_difference": {"max": 0.1},
                "equalized_odds_difference": {"max": 0.15},
                "accuracy_difference": {"max": 0.1},
            },
            "business": {"correlation": {"min": 0.2}},
            "error_rate": {"max": 0.02},
            "p99_latency": {"max": "250ms"},
            "completeness": {"min": 0.5},
        },
    )


def a_reference(draw: np.random.Generator, spec: ModelSpec, rows: int = 4000) -> JsonObject:
    served = _rows(draw, rows, datetime(2013, 1, 1, tzinfo=UTC), 80)
    plain = served.rename(columns=lambda name: str(name).removeprefix("f_")).rename(columns={"at": spec.data.time})
    return build_profile(spec, plain, plain["score"], plain["label"], holdout=plain)


def a_month(draw: np.random.Generator, spec: ModelSpec, profile: JsonObject) -> Reading:
    """The window is its last week."""
    served = _rows(draw, DAYS * ROWS_A_DAY, FIRST, DAYS)
    number = ((served["at"] - FIRST) // timedelta(days=1)).to_numpy()
    end = FIRST + timedelta(days=DAYS)
    days = [
        DayTally(
            spec.model, 1, date(2013, 4, 1) + timedelta(days=day), _tally(spec, profile, served[number == day]), end
        )
        for day in range(DAYS)
    ]
    whole = Tally.total("digest", [counted.tally for counted in days[-WEEK:]])
    return Reading(spec, profile, Window(end - timedelta(days=WEEK), end), whole, days, now=end + timedelta(days=1))


def _tally(spec: ModelSpec, profile: JsonObject, rows: pd.DataFrame) -> Tally:
    return tally_of(spec, profile, "digest", rows)


def _rows(draw: np.random.Generator, rows: int, start: datetime, days: int) -> pd.DataFrame:
    """Of a calibrated model with an AUC of about 0.8; one request in a hundred fails, of a limit of two."""
    columns: dict[str, Any] = {f"f_x{i}": _column(draw, i, rows) for i in range(FEATURES - 1)}
    scores = 1 / (1 + np.exp(0.5 - 1.5 * draw.normal(size=rows)))
    at = pd.Series(start + pd.to_timedelta(np.sort(draw.random(rows)) * days * 86_400, unit="s"))
    return pd.DataFrame(
        {
            **columns,
            "f_sex": draw.choice(["f", "m"], rows),
            "score": scores,
            "label": (draw.random(rows) < scores).astype(float),
            "value": scores + draw.normal(size=rows),
            "error": np.where(draw.random(rows) < 0.01, "Timeout", None),
            "latency_ms": draw.gamma(4, 10, rows),
            "at": at,
            "recorded_at": at,
            "observed_at": at + timedelta(hours=1),
            "told": 1,
            "labels_told": 1,
            "source": draw.choice(["desk", "web"], rows),
        }
    )


def _column(draw: np.random.Generator, place: int, rows: int) -> Any:
    number = draw.normal(size=rows)
    if place % 5 == 3:
        return draw.choice(list("abcdefgh"), rows, p=RARE)
    if place % 5 == 2:
        return (number * 3).astype(int)
    if place % 5 == 4:
        return np.where(draw.random(rows) < 0.6, 0.0, np.exp(number))
    return np.where(draw.random(rows) < 0.05 * (place % 2), np.nan, np.exp(number) if place % 3 else number)
