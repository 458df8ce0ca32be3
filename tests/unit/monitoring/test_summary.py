"""What a window's drift comes to: by importance, beside what the reference's own weeks did, in one sentence."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.readings import profile_of, reading_of
from tests.unit.specs import a_data_section, a_spec

from steward.gates import Finding, Outcome, Verdict
from steward.monitoring.checks.inputs import judge_inputs
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.effect import effect
from steward.monitoring.statistics.swing import windows_in
from steward.monitoring.summary import summary
from steward.monitoring.windows import Cause
from steward.spec import ModelSpec
from steward.types import JsonObject

FEATURES: dict[str, dict[str, Any]] = {
    "temp": {"type": "number", "max_missing": 0.9},
    "wind": {"type": "number", "max_missing": 0.9},
    "seats": {"type": "number"},
    "dest": {"type": "category"},
}
IMPORTANCE = {"seats": 0.09, "temp": 0.006, "dest": 0.004, "wind": -0.001}


def the_spec() -> ModelSpec:
    return a_spec(data=a_data_section(FEATURES), monitoring={"min_rows": 200, "drift": {"psi": {"max": 0.1}}})


def a_frame(rows: int = 3000, seed: int = 1) -> pd.DataFrame:
    """Hourly rows; `wind` has a level of its own each week."""
    draw = np.random.default_rng(seed)
    hour = np.arange(rows)
    return pd.DataFrame(
        {
            "f_temp": draw.normal(40, 10, rows),
            "f_wind": draw.normal(0, 1, rows) + np.sin(hour // 168),
            "f_seats": draw.normal(150, 20, rows),
            "f_dest": draw.choice(["BOS", "LAX", "ORD", "SFO"], rows),
            "departure": pd.Timestamp("2013-01-01", tz="UTC") + pd.to_timedelta(hour, unit="h"),
            "score": draw.random(rows),
            "label": (draw.random(rows) < 0.3).astype(float),
            "error": None,
        }
    )


@pytest.fixture(scope="module")
def profile() -> JsonObject:
    frame = a_frame(168 * 20, seed=0).rename(columns=lambda name: name.removeprefix("f_"))
    from steward.monitoring.profiles.profile import build_profile

    return build_profile(the_spec(), frame, frame["score"], frame["label"], importance=IMPORTANCE)


def judged(profile: JsonObject, served: pd.DataFrame) -> tuple[Reading, Verdict]:
    reading = reading_of(the_spec(), profile, served)
    return reading, Verdict.of(judge_inputs(reading))


def steady(seed: int = 1) -> pd.DataFrame:
    """With winds of all weeks alike."""
    return a_frame(3000, seed)


def test_a_steady_window_has_nothing_to_tell(profile: JsonObject) -> None:
    reading, verdict = judged(profile, steady())
    found = summary(reading, verdict)
    assert found["sentence"] == "None of 4 features moved."
    assert (found["moved"], found["importance"], found["top"]) == (0, 0.0, [])
    assert effect(reading, verdict, Cause.DRIFT) == "low"


def test_drift_of_what_hardly_matters_is_said_to_be_little(profile: JsonObject) -> None:
    window = steady().assign(f_temp=lambda w: w["f_temp"] + 9)
    reading, verdict = judged(profile, window)
    found = summary(reading, verdict)
    assert found["sentence"] == (
        "1 of 4 features moved; it carries 6% of the model's importance: little of what the model relies on moved. "
        "The answers did not move."
    )
    (temp,) = found["top"]
    assert temp["what"].startswith("its mean rose by 0.9 sd, from 39.7")
    assert temp["importance"] == pytest.approx(0.06)
    assert effect(reading, verdict, Cause.DRIFT) == "low"


def test_drift_of_what_the_model_lives_on_is_said_to_be_much(profile: JsonObject) -> None:
    window = steady().assign(
        f_seats=lambda w: w["f_seats"] - 30,
        f_dest=lambda w: w["f_dest"].where(w["f_dest"] != "BOS", "LAX"),
        score=lambda w: w["score"] ** 3,
    )
    reading, verdict = judged(profile, window)
    found = summary(reading, verdict)
    assert found["sentence"].startswith("2 of 4 features moved; they carry 94% of the model's importance: much of what")
    assert "The answers moved too (PSI" in found["sentence"]
    assert [each["feature"] for each in found["top"]] == ["seats", "dest"]
    assert "fell by 1.5 sd" in found["top"][0]["what"]
    assert found["top"][1]["what"].startswith("'LAX' went from 2")
    assert effect(reading, verdict, Cause.DRIFT) == "high"


def test_what_weeks_of_the_reference_do_is_no_news(profile: JsonObject) -> None:
    swing = profile["features"]["wind"]["swing"]
    assert swing["windows"] == 19  # the week of the first row is not whole
    assert swing["highest"] > 0.3
    assert profile["features"]["temp"]["swing"]["highest"] < 0.3
    reading, verdict = judged(profile, steady().assign(f_wind=lambda w: a_normal(len(w)) + 0.75))
    assert verdict.failed("drift.psi:wind")
    assert "windows of the reference themselves reach" in verdict.failed("drift.psi:wind")[0].reason
    found = summary(reading, verdict)
    assert found["usual"] == 1
    assert "None moved further than windows of the reference themselves did." in found["sentence"]
    assert effect(reading, verdict, Cause.DRIFT) == "low"
    both = judged(
        profile, steady().assign(f_wind=lambda w: a_normal(len(w)) + 0.75, f_seats=lambda w: w["f_seats"] + 40)
    )
    assert "1 of them moved no further than windows" in summary(*both)["sentence"]
    beyond = judged(profile, steady().assign(f_wind=lambda w: a_normal(len(w)) + 5))
    assert summary(*beyond)["usual"] == 0


def a_normal(rows: int) -> np.ndarray:
    return np.random.default_rng(9).normal(size=rows)


def test_missing_spread_and_strange_levels_are_named(profile: JsonObject) -> None:
    window = steady().assign(
        f_temp=lambda w: w["f_temp"].mask(w.index < 900),
        f_seats=lambda w: 150 + (w["f_seats"] - 150) * 2,
        f_dest=lambda w: w["f_dest"].mask(w.index < 300, "XNA"),
    )
    what = {each["feature"]: each["what"] for each in summary(*judged(profile, window))["top"]}
    assert what["temp"] == "missing in 30.0% of rows, 0.0% before"
    assert what["seats"].startswith("its spread is 2.0 times")
    assert what["dest"].startswith("10.0% of levels never seen before")


def test_without_importance_nothing_is_claimed(profile: JsonObject) -> None:
    moved = steady().assign(f_temp=lambda w: w["f_temp"] + 20)
    for importance in (None, {}, dict.fromkeys(FEATURES, 0.0)):
        reading, verdict = judged({**profile, "importance": importance}, moved)
        found = summary(reading, verdict)
        assert found["importance"] is None
        assert "their importance to the model was not measured" in found["sentence"]
        assert effect(reading, verdict, Cause.DRIFT) == "medium"


def test_few_rows_are_said_to_be_few(profile: JsonObject) -> None:
    found = summary(*judged(profile, a_frame(60)))
    assert found["inconclusive"] == 4
    assert "4 features could not be told from chance." in found["sentence"]


# --- how large, by cause --------------------------------------------------------------------------


def failing(gate: str, value: float | None, limit: float | None = 0.0) -> Verdict:
    return Verdict.of([Finding(gate, Outcome.FAILED, "", value, limit)])


@pytest.mark.parametrize(
    ("gate", "value", "limit", "expected"),
    [
        ("data.column:seats", 1.0, 0.0, "high"),
        ("data.range:seats", 0.02, 0.0, "low"),
        ("data.column:temp", 1.0, 0.0, "medium"),
        ("data.column:wind", 1.0, 0.0, "low"),
        ("data.freshness", 80.0, 48.0, "medium"),
        ("performance.roc_auc", 0.031, 0.03, "low"),
        ("performance.roc_auc", 0.045, 0.03, "medium"),
        ("performance.roc_auc", 0.07, 0.03, "high"),
        ("performance.roc_auc", None, 0.03, "medium"),
        ("fairness.demographic_parity_ratio:origin", 0.6, 0.8, "medium"),
        ("operation.error_rate", 0.012, 0.01, "low"),
        ("operation.error_rate", 0.02, 0.01, "medium"),
        ("operation.error_rate", 0.06, 0.01, "high"),
        ("operation.unscored", 0.001, 0.0, "low"),
        ("monitor.quiet", 3.0, 3.0, "medium"),
        ("drift.prediction_psi", 0.2, 0.1, "medium"),
        ("drift.prediction_psi", 0.3, 0.1, "high"),
        ("drift.domain_classifier", 0.7, 0.65, "medium"),
        ("drift.trend_missing:temp", 0.3, 0.2, "low"),
    ],
)
def test_an_effect_has_a_size(profile: JsonObject, gate: str, value: float | None, limit: float, expected: str) -> None:
    reading = reading_of(the_spec(), profile, steady())
    cause = Cause(gate.partition(".")[0])
    assert effect(reading, failing(gate, value, limit), cause) == expected
    others = [each for each in Cause if each is not cause]
    assert {effect(reading, failing(gate, value, limit), other) for other in others} == {"low"}


# --- windows of the reference ---------------------------------------------------------------------


def test_windows_are_whole_and_end_with_the_newest_row() -> None:
    times = pd.Series(pd.date_range("2013-01-01", periods=24 * 30, freq="h", tz="UTC"))
    found = windows_in(times.sample(frac=1, random_state=1).reset_index(drop=True), timedelta(days=7))
    assert [len(places) for places in found] == [168] * 4
    assert sorted(np.concatenate(found)) == sorted(set(np.concatenate(found)))


@pytest.mark.parametrize(
    "times",
    [pd.Series([], dtype="datetime64[ns, UTC]"), pd.Series(["2013-01-01", None]), pd.Series([pd.Timestamp(0), pd.NaT])],
)
def test_rows_without_a_time_have_no_windows(times: pd.Series) -> None:
    assert windows_in(times, timedelta(days=7)) == []


def test_a_short_reference_has_no_swing() -> None:
    frame = a_frame(168 * 3)
    assert profile_of(the_spec(), frame)["features"]["temp"]["swing"] is None
