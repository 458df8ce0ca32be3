"""Days of answers with their outcomes, counted as the monitor counts them, and the reading of their last week."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
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

FIRST = datetime(2013, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FEATURES = {"x": {"type": "number"}, "hub": {"type": "category"}}
Draw = np.random.Generator
Served = Callable[[Draw, int], pd.DataFrame]


def binary(**about: Any) -> ModelSpec:
    return a_spec(
        data=a_data_section(FEATURES),
        evaluation={"holdout": {"days": 14}, "metrics": {"roc_auc": {"min": 0.6}}, **about.pop("evaluation", {})},
        monitoring={"min_rows": 200, **about},
    )


def regression(**about: Any) -> ModelSpec:
    return a_spec(
        task="regression",
        data=a_data_section(FEATURES),
        evaluation={"holdout": {"days": 14}, "metrics": {"mae": {"max": 9}}, **about.pop("evaluation", {})},
        monitoring={"min_rows": 200, **about},
    )


def multiclass(**about: Any) -> ModelSpec:
    data = a_data_section(FEATURES)
    data["label"] = {"column": "late", "classes": ["early", "on time", "late"]}
    return a_spec(
        task="multiclass_classification",
        data=data,
        evaluation={"holdout": {"days": 14}, "metrics": {"accuracy": {"min": 0.5}}},
        monitoring={"min_rows": 200, **about},
    )


def scored(draw: Draw, rows: int, *, level: float = -1.0, knows: float = 1.2, said: float = 0.0) -> pd.DataFrame:
    """Answers of a calibrated binary model with an AUC of about 0.78; `said` is added to the log odds it says."""
    truth = level + draw.normal(scale=knows, size=rows)
    frame = features(draw, rows)
    return frame.assign(score=expit(truth + said), label=(draw.random(rows) < expit(truth)).astype(float))


def predicted(draw: Draw, rows: int, *, bias: float = 0.0, noise: float = 8.0) -> pd.DataFrame:
    """Answers of a regression, about 100 with an error of about 6.4."""
    score = draw.normal(100, 30, rows)
    return features(draw, rows).assign(score=score + bias, label=score + draw.normal(scale=noise, size=rows))


def classified(draw: Draw, rows: int, *, knows: float = 1.5, sure: float = 1.0) -> pd.DataFrame:
    """Answers of a model of three classes, with the probabilities of each; calibrated when `sure` is 1."""
    odds = draw.normal(size=(rows, 3)) * knows
    chances = softmax(odds)
    label = (draw.random(rows)[:, None] > chances.cumsum(axis=1)).sum(axis=1)
    said = softmax(odds * sure)
    frame = features(draw, rows).assign(score=said.argmax(axis=1).astype(float), label=label.astype(float))
    frame["probabilities"] = list(said)
    return frame


def features(draw: Draw, rows: int) -> pd.DataFrame:
    return pd.DataFrame({"x": draw.normal(size=rows), "hub": draw.choice(["EWR", "JFK"], rows), "error": None})


def expit(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-odds))


def softmax(odds: np.ndarray) -> np.ndarray:
    return np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)


def profile_on(spec: ModelSpec, served: Served, *, days: int = 14, rows: int = 800, seed: int = 0) -> JsonObject:
    """Of a hold-out of so many days."""
    draw = np.random.default_rng(seed)
    frame = pd.concat([served(draw, rows).assign(departure=FIRST - (day + 1) * DAY) for day in range(days)])
    frame = frame.reset_index(drop=True)
    scores = np.stack(frame["probabilities"].to_list()) if "probabilities" in frame else frame["score"]
    return build_profile(spec, frame, scores, frame["label"], holdout=frame)


def reading_on(
    spec: ModelSpec, profile: JsonObject, frames: Sequence[pd.DataFrame], *, now: timedelta | None = None
) -> Reading:
    """One frame per day; the window is the last seven of them. `now`: after its end."""
    days = [
        DayTally(spec.model, 1, (FIRST + place * DAY).date(), tally_of(spec, profile, "p", frame), FIRST)
        for place, frame in enumerate(frames)
    ]
    end = datetime.combine(days[-1].day, time(), UTC) + DAY
    window = Window(max(FIRST, end - 7 * DAY), end)
    week = Tally.total("p", (day.tally for day in days[-7:]))
    return Reading(spec, profile, window, week, days, now=None if now is None else end + now)


def days_of(served: Served, days: int, rows: int = 800, seed: int = 1) -> list[pd.DataFrame]:
    draw = np.random.default_rng(seed)
    return [served(draw, rows) for _ in range(days)]
