"""Served rows as the prediction log gives them, and the profile they are counted against."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from tests.unit.specs import a_data_section, a_spec

from steward.monitoring.profiles.profile import build_profile
from steward.spec import ModelSpec
from steward.types import JsonObject

FEATURES: dict[str, Any] = {
    "temp": {"type": "number", "min": -40, "max": 130},
    "weekday": {"type": "integer", "min": 0, "max": 6},
    "origin": {"type": "category", "levels": ["EWR", "JFK", "LGA"]},
    "dest": {"type": "category"},
    "hub": {"type": "boolean"},
    "remark": {"type": "text"},
}
MORNING = pd.Timestamp("2013-04-01", tz="UTC")


def binary_spec(**data: Any) -> ModelSpec:
    evaluation = {"holdout": {"days": 14}, "metrics": {"roc_auc": {"min": 0.6}}, "bootstrap": 100}
    section = a_data_section(
        FEATURES,
        protected=["origin", "sex"],
        other_columns=["sex"],
        label={"column": "late", "arrives_after": "1d"},
        **data,
    )
    return a_spec(data=section, evaluation={**evaluation, "slices": ["origin", "temp > 40 and dest == 'BOS'"]})


def other_spec(task: str, metric: str, **label: Any) -> ModelSpec:
    evaluation = {"holdout": {"days": 14}, "metrics": {metric: {"max": 100}}, "bootstrap": 100}
    section = a_data_section(FEATURES, label={"column": "late", **label})
    return a_spec(task=task, data=section, evaluation=evaluation)


def rows(count: int = 2000, seed: int = 1) -> pd.DataFrame:
    """Of a calibrated binary model: a fifth has no outcome yet, a twentieth no temperature, a hundredth an error."""
    draw = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(1 - draw.normal(scale=1.2, size=count)))
    at = MORNING + pd.to_timedelta(draw.integers(0, 86_400_000, count), "ms")
    failed = draw.random(count) < 0.01
    told = ~failed & (draw.random(count) < 0.8)
    return pd.DataFrame(
        {
            "f_temp": np.where(draw.random(count) < 0.05, np.nan, draw.normal(40, 10, count)),
            "f_weekday": draw.integers(0, 7, count),
            "f_origin": draw.choice(["EWR", "JFK", "LGA"], count),
            "f_dest": draw.choice(["BOS", "LAX", "ORD", "SFO"], count),
            "f_hub": draw.random(count) < 0.5,
            "f_remark": draw.choice(["", "late crew", "weather"], count),
            "g_sex": draw.choice(["f", "m"], count),
            "score": np.where(failed, np.nan, scores),
            "label": np.where(told, draw.random(count) < scores, np.nan),
            "value": np.where(told, draw.normal(10, 5, count) * scores, np.nan),
            "latency_ms": draw.gamma(4, 5, count),
            "error": np.where(failed, "timeout", None),
            "source": draw.choice(["desk", "app"], count),
            "at": at,
            "recorded_at": at + pd.Timedelta(seconds=1),
            "observed_at": (at + pd.Timedelta(hours=20)).where(told),
            "told": np.where(told, 1, 0),
            "labels_told": np.where(told, 1, 0),
        }
    )


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Features by their own names, as a profile is built from."""
    return frame[[f"f_{name}" for name in FEATURES]].set_axis(list(FEATURES), axis="columns")


def profile_of(spec: ModelSpec, frame: pd.DataFrame) -> JsonObject:
    scored = frame[frame["score"].notna()]
    return build_profile(spec, plain(frame), scored["score"], scored["label"], threshold=0.4)
