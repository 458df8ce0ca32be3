"""A whole window of rows, counted and judged by every family: trouble is named, with its cause and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.readings import WEEK, profile_of
from tests.unit.specs import a_data_section, a_spec

from steward.gates import Finding, Outcome, Verdict
from steward.monitoring.checks import judging
from steward.monitoring.checks.judging import causes
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import DayTally, Tally
from steward.monitoring.tallies.counting import tally_of
from steward.monitoring.windows import Cause
from steward.spec import ModelSpec

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
    return profile_of(the_spec(), a_window(10_000, seed=0))


def judge(spec: ModelSpec, profile: dict[str, Any], served: pd.DataFrame) -> Verdict:
    """The rows in their order, as seven days of equal length; all outcomes are due."""
    counted = [
        DayTally("m", 1, (WEEK.start + timedelta(days=day)).date(), tally_of(spec, profile, "p", rows), WEEK.end)
        for day, rows in enumerate(served.iloc[len(served) * d // 7 : len(served) * (d + 1) // 7] for d in range(7))
    ]
    whole = Tally.total("p", (each.tally for each in counted))
    return judging.judge(Reading(spec, profile, WEEK, whole, counted, (), WEEK.end + timedelta(days=9)))


def failed(verdict: Verdict) -> set[str]:
    return {finding.gate for finding in verdict.failed()}


def finding_of(verdict: Verdict, gate: str) -> Finding:
    (finding,) = [finding for finding in verdict.findings if finding.gate == gate]
    return finding


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
        (lambda w: w.assign(f_temp="warm"), {"data.type:temp"}, Cause.DATA, "not of type number, such as 'warm'"),
        (
            lambda w: w.assign(f_temp=pd.Timestamp("2013-01-01")),
            {"data.type:temp"}, Cause.DATA, "such as '2013-01-01 00:00:00'",
        ),
        (lambda w: w.assign(f_temp=np.nan), {"data.missing:temp"}, Cause.DATA, "missing in all 3000 rows"),
        (
            lambda w: w.assign(f_temp=np.inf),
            {"data.missing:temp", "data.range:temp"}, Cause.DATA, "missing in all 3000 rows",
        ),
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
            {"drift.levels:dest", "drift.psi:dest"}, Cause.DRIFT, "outside the levels of the reference in 3.00%",
        ),
        (
            lambda w: w.assign(f_dest=range(len(w))),
            {"data.levels:dest", "drift.psi:dest"}, Cause.DATA, "outside the levels of the reference in 100.00%",
        ),
        (lambda w: w.assign(f_temp=w["f_temp"] + 10), {"drift.psi:temp"}, Cause.DRIFT, "temp moved: PSI"),
        (lambda w: w.assign(f_hub=True), {"drift.psi:hub"}, Cause.DRIFT, "hub moved"),
        (
            lambda w: w.assign(f_remark=w["f_remark"] + " and more"),
            {"drift.psi:remark", "drift.words:remark", "drift.unseen_words:remark"}, Cause.DRIFT, "remark moved",
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
            {"operation.error_rate"}, Cause.OPERATION, "60 of 3000 requests failed (0.02), 0.01 is allowed",
        ),
        (
            lambda w: w.assign(latency_ms=w["latency_ms"].mask(w.index < 60, 900.0)),
            {"operation.p99_latency"}, Cause.OPERATION, "60 of 3000 took longer, 1% may",
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
    verdict = judge(the_spec(performance={}), profile, a_window().assign(score=lambda w: w["score"] ** 2, label=np.nan))
    assert failed(verdict) == {"drift.prediction_psi", "drift.confidence"}
    assert causes(verdict) == (Cause.DRIFT,)


def test_several_causes_come_in_their_order(profile: dict[str, Any]) -> None:
    window = a_window().drop(columns="f_temp").assign(error="Timeout", f_hub=True)
    assert causes(judge(the_spec(), profile, window)) == (Cause.DATA, Cause.DRIFT, Cause.OPERATION)


def test_below_the_minimum_no_drift_and_no_loss_is_judged_and_the_number_said(profile: dict[str, Any]) -> None:
    verdict = judge(the_spec(), profile, a_window(199).drop(columns="f_temp"))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reasons[0].startswith("199 rows were answered in the window, 200 are needed")
    assert {finding.gate.split(".")[0] for finding in verdict.findings} <= {"monitor", "operation", "data"}
    assert causes(verdict) == ()
    assert judge(the_spec(), profile, a_window(0)).outcome is Outcome.INCONCLUSIVE


def test_columns_the_log_drops_for_privacy_are_not_missed(profile: dict[str, Any]) -> None:
    private = a_spec(data=a_data_section(FEATURES, privacy={"temp": "drop"}), monitoring=MONITORING)
    assert judge(private, profile, a_window().drop(columns="f_temp")).passed


def test_an_optional_limit_is_not_judged(profile: dict[str, Any]) -> None:
    free = the_spec(error_rate=None, p99_latency=None, performance={})
    gates = {finding.gate.split(".")[0] for finding in judge(free, profile, a_window()).findings}
    assert gates == {"data", "drift", "operation", "monitor"}
    assert free.monitoring.window.length == timedelta(days=7)
