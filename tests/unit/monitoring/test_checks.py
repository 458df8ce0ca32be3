from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.specs import a_data_section, a_spec

from steward.errors import DataError
from steward.gates import Finding, Outcome, Verdict
from steward.monitoring.checks.judging import causes, feature_frame, judge
from steward.monitoring.profile import build_profile, typical
from steward.monitoring.windows import Cause
from steward.spec import FeatureType, ModelSpec

FEATURES = {
    "temp": {"type": "number", "min": -40, "max": 130, "max_missing": 0.2, "max_out_of_range": 0.01},
    "weekday": {"type": "integer", "min": 0, "max": 6},
    "origin": {"type": "category", "levels": ["EWR", "JFK", "LGA"]},
    "dest": {"type": "category"},
    "hub": {"type": "boolean"},
    "remark": {"type": "text"},
}
MONITORING = {
    "min_rows": 200,
    "performance": {"roc_auc": {"max_drop": 0.03}, "calibration_gap": {"max": 0.05}},
    "error_rate": {"max": 0.01},
    "p99_latency": {"max": "250ms"},
}


def the_spec(**monitoring: Any) -> ModelSpec:
    return a_spec(data=a_data_section(FEATURES), monitoring={**MONITORING, **monitoring})


def a_window(rows: int = 3000, seed: int = 1) -> pd.DataFrame:
    """Served rows of a calibrated model with an AUC of about 0.78, as the prediction log gives them."""
    draw = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(1 - draw.normal(scale=1.2, size=rows)))
    return pd.DataFrame(
        {
            "f_temp": np.where(draw.random(rows) < 0.05, np.nan, draw.normal(40, 10, rows)),
            "f_weekday": draw.integers(0, 7, rows),
            "f_origin": draw.choice(["EWR", "JFK", "LGA"], rows),
            "f_dest": draw.choice(["BOS", "LAX", "ORD", "SFO"], rows),
            "f_hub": draw.random(rows) < 0.5,
            "f_remark": draw.choice(["", "late crew", "weather"], rows),
            "score": scores,
            "label": (draw.random(rows) < scores).astype(float),
            "latency_ms": draw.gamma(4, 5, rows),
            "error": None,
        }
    )


@pytest.fixture(scope="module")
def profile() -> dict[str, Any]:
    frame = a_window(10_000, seed=0)
    return build_profile(the_spec(), feature_frame(frame, the_spec()), frame["score"], frame["label"])


def failed(verdict: Verdict) -> set[str]:
    return {finding.gate for finding in verdict.failed()}


def finding_of(verdict: Verdict, gate: str) -> Finding:
    (finding,) = [finding for finding in verdict.findings if finding.gate == gate]
    return finding


def test_the_profile_is_small_plain_json(profile: dict[str, Any]) -> None:
    text = json.dumps(profile, allow_nan=False)
    assert len(text) < 8_000
    assert profile["format"] == 1
    assert profile["features"]["temp"]["missing"] == pytest.approx(0.05, abs=0.01)
    assert profile["performance"]["roc_auc"]["value"] == pytest.approx(0.78, abs=0.02)
    assert profile["performance"]["roc_auc"]["error"] < 0.01


def test_the_reference_row_holds_a_value_that_was_seen_per_feature(profile: dict[str, Any]) -> None:
    frame = a_window(10_000, seed=0)
    assert list(profile["reference"]) == list(the_spec().data.features)
    assert profile["reference"]["weekday"] == frame["f_weekday"].quantile(0.5, interpolation="lower")
    assert profile["reference"]["origin"] == frame["f_origin"].mode()[0]
    assert profile["reference"]["temp"] in set(frame["f_temp"])


def test_a_feature_that_is_mostly_missing_has_none_as_its_typical_value() -> None:
    assert typical(pd.Series([None, None, None, 3.0, 4.0]), FeatureType.NUMBER) is None
    assert typical(pd.Series([None, 1.0, 2.0, 4.0, np.inf]), FeatureType.NUMBER) == 2.0
    assert typical(pd.Series(["b", "a", None, "a", "b"]), FeatureType.CATEGORY) == "b"  # a tie: the first seen
    assert typical(pd.Series([], dtype=float), FeatureType.INTEGER) is None


def test_a_profile_read_back_judges_the_same(profile: dict[str, Any]) -> None:
    again = json.loads(json.dumps(profile))
    assert judge(the_spec(), again, a_window()) == judge(the_spec(), profile, a_window())


def test_a_steady_window_passes_every_check(profile: dict[str, Any]) -> None:
    verdict = judge(the_spec(), profile, a_window())
    assert verdict.reasons == ()
    assert {f.gate for f in verdict.findings} >= {
        "drift.psi:temp", "drift.psi:hub", "drift.psi:remark", "data.missing:temp", "data.range:weekday",
        "data.levels:origin", "drift.levels:dest", "drift.prediction_psi", "performance.roc_auc",
        "performance.calibration_gap", "operation.error_rate", "operation.p99_latency",
    }  # fmt: skip


def test_plain_column_names_read_the_same(profile: dict[str, Any]) -> None:
    plain = a_window().rename(columns=lambda name: name.removeprefix("f_"))
    assert judge(the_spec(), profile, plain) == judge(the_spec(), profile, a_window())


def milder(scores: pd.Series) -> np.ndarray:
    """Outcomes ranked as predicted, but rarer: the log odds are 0.6 lower."""
    odds = np.log(scores / (1 - scores)) - 0.6
    return (np.random.default_rng(2).random(len(scores)) < 1 / (1 + np.exp(-odds))).astype(float)


Spoil = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    ("spoil", "gates", "cause", "said"),
    [
        (lambda w: w.drop(columns="f_temp"), {"data.column:temp"}, Cause.DATA, "temp is gone from the window"),
        (lambda w: w.assign(f_temp="warm"), {"data.type:temp"}, Cause.DATA, "not numbers, such as 'warm'"),
        (lambda w: w.assign(f_temp=pd.Timestamp("2013-01-01")), {"data.type:temp"}, Cause.DATA, "datetime64"),
        (lambda w: w.assign(f_temp=np.nan), {"data.missing:temp"}, Cause.DATA, "missing in all 3000 rows"),
        (lambda w: w.assign(f_temp=np.inf), {"data.missing:temp"}, Cause.DATA, "missing in all 3000 rows"),
        (
            lambda w: w.assign(f_temp=w["f_temp"].mask(w.index < 1000)),
            {"data.missing:temp"}, Cause.DATA, "above the contract's 20.0%",
        ),
        (
            lambda w: w.assign(f_temp=w["f_temp"].mask(w.index < 400)),
            {"drift.missing:temp"}, Cause.DRIFT, "missing more often than usual",
        ),
        (
            lambda w: w.assign(f_temp=w["f_temp"].mask(w.index < 60, 1048)),
            {"data.range:temp"}, Cause.DATA, "outside -40 to 130 in 2.",
        ),
        (
            lambda w: w.assign(f_origin=w["f_origin"].mask(w.index < 1, "XXX")),
            {"data.levels:origin"}, Cause.DATA, "for example 'XXX'",
        ),
        (
            lambda w: w.assign(f_dest=w["f_dest"].mask(w.index < 90, "SEA")),
            {"drift.levels:dest"}, Cause.DRIFT, "outside the levels of the reference in 3.00%",
        ),
        (
            lambda w: w.assign(f_dest=range(len(w))),
            {"data.levels:dest", "drift.psi:dest"}, Cause.DATA, "outside the levels of the reference in 100.00%",
        ),
        (lambda w: w.assign(f_temp=w["f_temp"] + 10), {"drift.psi:temp"}, Cause.DRIFT, "temp moved: PSI"),
        (lambda w: w.assign(f_hub=True), {"drift.psi:hub"}, Cause.DRIFT, "hub moved"),
        (
            lambda w: w.assign(f_remark=w["f_remark"] + " and more"),
            {"drift.psi:remark"}, Cause.DRIFT, "remark moved",
        ),
        (
            lambda w: w.assign(label=w["label"].sample(frac=1, random_state=0).to_numpy()),
            {"performance.roc_auc"}, Cause.PERFORMANCE, "at most 0.03 worse is allowed",
        ),
        (
            lambda w: w.assign(label=milder(w["score"])),
            {"performance.calibration_gap"}, Cause.PERFORMANCE, "at most 0.05 is allowed",
        ),
        (
            lambda w: w.assign(error=w["error"].mask(w.index < 60, "Timeout")),
            {"operation.error_rate"}, Cause.OPERATION, "Error rate is 0.02, above the limit 0.01",
        ),
        (
            lambda w: w.assign(latency_ms=w["latency_ms"].mask(w.index < 60, 900.0)),
            {"operation.p99_latency"}, Cause.OPERATION, "above the limit 250",
        ),
        (
            lambda w: w.assign(score=w["score"].mask(w.index < 3)),
            {"operation.unscored"}, Cause.OPERATION, "answers without a finite score",
        ),
    ],
)  # fmt: skip
def test_trouble_is_named_with_its_cause(
    profile: dict[str, Any], spoil: Spoil, gates: set[str], cause: Cause, said: str
) -> None:
    verdict = judge(the_spec(), profile, spoil(a_window()))
    assert failed(verdict) == gates
    assert cause in causes(verdict)
    assert said in " ".join(verdict.reasons)


def test_a_moved_prediction_is_drift(profile: dict[str, Any]) -> None:
    verdict = judge(the_spec(), profile, a_window().assign(score=lambda w: w["score"] ** 2, label=np.nan))
    assert failed(verdict) == {"drift.prediction_psi"}
    assert causes(verdict) == (Cause.DRIFT,)


def test_several_causes_come_in_their_order(profile: dict[str, Any]) -> None:
    window = a_window().drop(columns="f_temp").assign(error="Timeout", f_hub=True)
    assert causes(judge(the_spec(), profile, window)) == (Cause.DATA, Cause.DRIFT, Cause.OPERATION)


def test_below_the_minimum_nothing_is_judged_and_the_number_said(profile: dict[str, Any]) -> None:
    verdict = judge(the_spec(), profile, a_window(199).drop(columns="f_temp"))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reasons == ("199 rows were answered in the window, 200 are needed: nothing was judged",)
    assert judge(the_spec(), profile, a_window(0)).outcome is Outcome.INCONCLUSIVE
    assert causes(verdict) == ()


def test_accuracy_is_watched_at_the_threshold_of_the_version() -> None:
    spec = the_spec(performance={"accuracy": {"max_drop": 0.05}})
    frame = a_window(10_000, seed=0)
    strict = build_profile(spec, feature_frame(frame, spec), frame["score"], frame["label"], threshold=0.9)
    found = finding_of(judge(spec, strict, a_window()), "performance.accuracy")
    assert found.outcome is Outcome.PASSED
    assert abs(found.value or 0) < 0.02
    assert strict["threshold"] == 0.9
    assert strict["performance"]["accuracy"]["value"] == pytest.approx(
        ((frame["score"] >= 0.9) == frame["label"]).mean()
    )
    elsewhere = finding_of(judge(spec, {**strict, "threshold": 0.05}, a_window()), "performance.accuracy")
    assert elsewhere.outcome is Outcome.FAILED


def test_performance_waits_for_outcomes(profile: dict[str, Any]) -> None:
    window = a_window().assign(label=lambda w: w["label"].where(w.index < 1400))
    for judged in (window, window.drop(columns="label")):
        verdict = judge(the_spec(), profile, judged)
        assert finding_of(verdict, "performance.roc_auc").outcome is Outcome.INCONCLUSIVE
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "waits for outcomes" in " ".join(verdict.reasons)


def test_one_class_of_outcomes_has_no_auc(profile: dict[str, Any]) -> None:
    found = finding_of(judge(the_spec(), profile, a_window().assign(label=0.0)), "performance.roc_auc")
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "ranking needs both classes" in found.reason


def test_too_few_rows_to_show_a_fall_are_not_called_good(profile: dict[str, Any]) -> None:
    found = finding_of(judge(the_spec(), profile, a_window(250)), "performance.roc_auc")
    assert found.outcome is Outcome.INCONCLUSIVE


def test_a_fall_beyond_the_limit_but_within_chance_is_inconclusive(profile: dict[str, Any]) -> None:
    better = {**profile, "performance": {**profile["performance"]}}
    window = a_window(2000)
    value = finding_of(judge(the_spec(), profile, window), "performance.roc_auc").value
    assert value is not None
    better["performance"]["roc_auc"] = {
        "value": profile["performance"]["roc_auc"]["value"] - value + 0.031, "error": 0.03, "rows": 100,
    }  # fmt: skip
    assert finding_of(judge(the_spec(), better, window), "performance.roc_auc").outcome is Outcome.INCONCLUSIVE


def test_a_metric_the_profile_lacks_has_no_baseline(profile: dict[str, Any]) -> None:
    bare = {**profile, "performance": {}}
    found = finding_of(judge(the_spec(), bare, a_window()), "performance.roc_auc")
    assert "no value in the version's profile" in found.reason


def test_a_feature_the_profile_lacks_is_inconclusive(profile: dict[str, Any]) -> None:
    bare = {**profile, "features": {k: v for k, v in profile["features"].items() if k != "temp"}}
    found = finding_of(judge(the_spec(), bare, a_window()), "drift.psi:temp")
    assert (found.outcome, found.value) == (Outcome.INCONCLUSIVE, None)


def test_columns_the_log_drops_for_privacy_are_not_missed(profile: dict[str, Any]) -> None:
    private = a_spec(data=a_data_section(FEATURES, privacy={"temp": "drop"}), monitoring=MONITORING)
    assert judge(private, profile, a_window().drop(columns="f_temp")).passed


def test_a_profile_of_another_format_is_refused(profile: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="has format 99, this release reads 1"):
        judge(the_spec(), {**profile, "format": 99}, a_window())


def test_a_profile_needs_every_feature_of_its_type() -> None:
    frame = feature_frame(a_window(), the_spec())
    with pytest.raises(DataError, match="feature temp is not in the reference data"):
        build_profile(the_spec(), frame.drop(columns="temp"), [0.5], [1.0])
    with pytest.raises(DataError, match="feature temp holds 3000 of 3000 values that are not numbers"):
        build_profile(the_spec(), frame.assign(temp="warm"), [0.5], [1.0])


def test_an_optional_limit_is_not_judged(profile: dict[str, Any]) -> None:
    free = the_spec(error_rate=None, p99_latency=None, performance={})
    gates = {finding.gate.split(".")[0] for finding in judge(free, profile, a_window()).findings}
    assert gates == {"data", "drift", "operation"}
    assert free.monitoring.window.length == timedelta(days=7)


# --- how often it cries wolf, and how often it sleeps --------------------------------------------------


def many_features(count: int = 50) -> tuple[ModelSpec, Callable[[np.random.Generator, int], pd.DataFrame]]:
    """Half numbers, a quarter integers, a quarter categories with uneven levels."""
    kinds = ["number", "number", "integer", "category"]
    features = {f"x{i}": {"type": kinds[i % 4]} for i in range(count)}
    spec = a_spec(data=a_data_section(features), monitoring={"min_rows": 200})

    def draw(random: np.random.Generator, rows: int) -> pd.DataFrame:
        columns: dict[str, Any] = {}
        for i, name in enumerate(features):
            number = random.normal(size=rows)
            columns[name] = [number, np.exp(number), (number * 3).astype(int), None][i % 4]
            if i % 4 == 3:
                columns[name] = random.choice(list("abcdefgh"), rows, p=np.arange(1, 9) / 36)
        return pd.DataFrame({**columns, "score": random.random(rows), "error": None})

    return spec, draw


def test_fifty_undrifted_features_alarm_in_at_most_one_window_of_twenty() -> None:
    spec, draw = many_features()
    random = np.random.default_rng(0)
    reference = draw(random, 5000)
    profile = build_profile(spec, reference, reference["score"], np.full(5000, np.nan))
    rounds = [judge(spec, profile, draw(random, 200)) for _ in range(200)]
    alarms = sum(verdict.outcome is Outcome.FAILED for verdict in rounds)
    assert alarms <= 10
    assert all(verdict.passed for verdict in rounds if verdict.outcome is not Outcome.FAILED)


def test_the_naive_rule_would_cry_wolf_on_the_same_windows() -> None:
    """PSI > 0.1 without the sampling rule: what the rule is for."""
    spec, draw = many_features()
    random = np.random.default_rng(0)
    reference = draw(random, 5000)
    profile = build_profile(spec, reference, reference["score"], np.full(5000, np.nan))
    rounds = [judge(spec, profile, draw(random, 200)) for _ in range(30)]
    assert sum(any((f.value or 0) > 0.1 for f in v.findings if "psi" in f.gate) for v in rounds) >= 15


def test_a_shift_of_half_a_deviation_is_found_at_a_thousand_rows() -> None:
    spec, draw = many_features()
    strict = spec.model_copy(
        update={"monitoring": a_spec(monitoring={"min_rows": 200, "drift": {"psi": {"max": 0.1}}}).monitoring}
    )
    random = np.random.default_rng(4)
    reference = draw(random, 5000)
    profile = build_profile(strict, reference, reference["score"], np.full(5000, np.nan))
    found = 0
    for _ in range(60):
        window = draw(random, 1000)
        window["x0"] += 0.5
        found += failed(judge(strict, profile, window)) == {"drift.psi:x0"}
    assert found >= 57
