from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from tests.unit.specs import a_data_section, a_spec

from steward.errors import DataError, SpecError
from steward.evaluation.bootstrap import Comparison, compare, judge_non_inferiority
from steward.evaluation.decision import decision
from steward.evaluation.importance import permutation_importance
from steward.evaluation.judgement import evaluate
from steward.gates import Finding, Outcome, Verdict
from steward.types import RiskTier

ROWS = 3000


def a_holdout(seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Frame, labels and well-calibrated scores with an AUC of about 0.76."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"distance": draw.uniform(100, 3000, ROWS), "carrier": draw.choice(["UA", "AA", "DL"], ROWS)})
    scores = 1 / (1 + np.exp(1 - draw.normal(scale=1.2, size=ROWS)))
    return frame, (draw.random(ROWS) < scores).astype(float), scores


def an_evaluation(**about: object) -> dict[str, object]:
    return {"holdout": {"days": 14}, "bootstrap": 200, **about}


def gates(verdict: Verdict, outcome: Outcome) -> list[tuple[str, str]]:
    return [(f.gate, f.slice) for f in verdict.findings if f.outcome is outcome]


def test_a_good_candidate_passes_every_gate_on_every_slice() -> None:
    spec = a_spec(evaluation=an_evaluation(metrics={"roc_auc": {"min": 0.65}}, slices=["carrier", "distance > 1500"]))
    frame, labels, scores = a_holdout()
    body, verdict = evaluate(spec, frame, labels, scores, seed=0)
    assert verdict.passed
    assert [f.slice for f in verdict.findings] == [
        "overall", "carrier = AA", "carrier = DL", "carrier = UA", "distance > 1500",
    ]  # fmt: skip
    assert body["verdict"] == verdict.to_json()
    json.dumps(body, allow_nan=False)


def test_calibration_bins_share_the_rows_and_agree_for_a_calibrated_model() -> None:
    frame, labels, scores = a_holdout()
    table = evaluate(a_spec(), frame, labels, scores, seed=0)[0]["calibration"]
    assert [row["rows"] for row in table] == [ROWS // 10] * 10
    assert all(abs(row["predicted"] - row["seen"]) < 0.1 for row in table)


def test_a_model_of_several_classes_is_judged_by_its_own_metrics_on_every_slice() -> None:
    data = a_data_section({"distance": {"type": "number"}, "carrier": {"type": "category"}})
    data["label"] = {"column": "late", "classes": ["early", "on time", "late"]}
    gates = {"macro_f1": {"min": 0.5, "not_worse_than_champion": 0.01}, "log_loss": {"max": 1.0}}
    spec = a_spec(
        task="multiclass_classification", data=data, evaluation=an_evaluation(metrics=gates, slices=["carrier"])
    )
    frame, _, _ = a_holdout()
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 3, ROWS)
    odds = draw.normal(size=(ROWS, 3)) + 2 * np.eye(3)[labels]
    scores = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    body, verdict = evaluate(spec, frame, labels, scores, champion_scores=scores[:, ::-1], seed=0)
    assert verdict.passed
    assert set(body["metrics"]) == {"macro_f1", "log_loss", "accuracy", "balanced_accuracy"}
    assert {part["slice"] for part in body["slices"]} == {"carrier = AA", "carrier = DL", "carrier = UA"}
    assert body["calibration"][-1]["seen"] > body["calibration"][0]["seen"]
    json.dumps(body, allow_nan=False)


def test_a_candidate_weak_on_one_slice_is_refused_with_metric_slice_value_and_limit() -> None:
    spec = a_spec(evaluation=an_evaluation(metrics={"roc_auc": {"min": 0.65}}, slices=["carrier"]))
    frame, labels, scores = a_holdout()
    scores = np.where(frame["carrier"] == "DL", 0.3, scores)
    verdict = evaluate(spec, frame, labels, scores, seed=0)[1]
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reasons == ("Area under the ROC curve on carrier = DL is 0.5, below the limit 0.65",)


def test_less_is_better_has_an_upper_bound() -> None:
    spec = a_spec(evaluation=an_evaluation(metrics={"brier": {"max": 0.05}}))
    verdict = evaluate(spec, *a_holdout(), seed=0)[1]
    assert verdict.reasons[0].startswith("Brier score is 0.")
    assert "above the limit 0.05" in verdict.reasons[0]


def test_a_small_slice_is_named_inconclusive_and_leaves_the_tier_to_decide() -> None:
    spec = a_spec(evaluation=an_evaluation(metrics={"roc_auc": {"min": 0.65}}, slices=["distance > 2999"]))
    frame, labels, scores = a_holdout()
    verdict = evaluate(spec, frame, labels, scores, seed=0)[1]
    assert gates(verdict, Outcome.INCONCLUSIVE) == [("slice.rows", "distance > 2999")]
    assert "200 are needed: not judged" in verdict.reasons[0]


def test_unknown_outcomes_are_left_out_and_counted() -> None:
    frame, labels, scores = a_holdout()
    labels[:500] = np.nan
    body, verdict = evaluate(a_spec(), frame, labels, scores, seed=0)
    assert (body["rows"], body["labelled"]) == (ROWS, ROWS - 500)
    assert verdict.passed


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda y, p: (np.ones_like(y), p), "ranking needs both classes"),
        (lambda y, p: (y, np.full_like(p, np.nan)), "scores are not finite"),
        (lambda y, p: (np.full_like(y, np.nan), p), "0 rows with a known outcome"),
    ],
)
def test_what_cannot_be_measured_is_inconclusive_never_passed(spoil, said: str) -> None:
    frame, labels, scores = a_holdout()
    verdict = evaluate(a_spec(), frame, *spoil(labels, scores), seed=0)[1]
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert said in verdict.reasons[0]


def test_misaligned_vectors_and_unknown_metrics_are_errors() -> None:
    frame, labels, scores = a_holdout()
    with pytest.raises(DataError, match="scores have shape"):
        evaluate(a_spec(), frame, labels, scores[1:], seed=0)
    regression = a_spec(task="regression", evaluation=an_evaluation(metrics={"mae": {"max": 1}}))
    object.__setattr__(regression, "task", "llm_application")
    with pytest.raises(SpecError, match="mae does not measure"):
        evaluate(regression, frame, labels, scores, seed=0)


# --- against the champion ------------------------------------------------------------------------


def against(margin: float, champion_scores: np.ndarray, candidate: np.ndarray, labels: np.ndarray) -> Finding:
    found = compare("roc_auc", labels, candidate, champion_scores, count=300, seed=1)
    return judge_non_inferiority("roc_auc", found, margin, "flight_delays@3")


@pytest.mark.parametrize(
    ("lower", "upper", "outcome"),
    [
        (-0.004, 0.01, Outcome.PASSED),
        (-0.006, 0.01, Outcome.INCONCLUSIVE),
        (-0.02, -0.006, Outcome.FAILED),
        (-0.005, 0.01, Outcome.INCONCLUSIVE),  # the bound must exceed −d
    ],
)
def test_the_interval_decides(lower: float, upper: float, outcome: Outcome) -> None:
    found = Comparison("roc_auc", (lower + upper) / 2, lower, upper, 1000, 500)
    assert judge_non_inferiority("roc_auc", found, 0.005, "flight_delays@3").outcome is outcome


def test_a_much_worse_candidate_fails_and_an_equal_one_passes() -> None:
    _, labels, scores = a_holdout()
    noisy = scores + np.random.default_rng(5).normal(scale=0.5, size=ROWS)
    assert against(0.005, scores, noisy, labels).outcome is Outcome.FAILED
    assert against(0.005, scores, scores, labels).outcome is Outcome.PASSED
    assert "flight_delays@3" in against(0.005, scores, noisy, labels).reason


def test_less_is_better_is_oriented() -> None:
    _, labels, scores = a_holdout()
    worse = compare("brier", labels, np.full(ROWS, 0.9), scores, count=200, seed=0)
    assert isinstance(worse, Comparison)
    assert worse.upper < worse.difference + 0.1 < 0


def test_each_version_is_compared_at_its_own_threshold() -> None:
    _, labels, scores = a_holdout()
    same = compare("accuracy", labels, scores, scores, count=100, seed=0)
    apart = compare("accuracy", labels, scores, scores, count=100, seed=0, thresholds=(0.01, 0.5))
    assert isinstance(same, Comparison)
    assert isinstance(apart, Comparison)
    assert same.difference == 0
    accuracies = [((scores >= threshold) == labels).mean() for threshold in (0.01, 0.5)]
    assert apart.difference == pytest.approx(accuracies[0] - accuracies[1])


def test_pairing_keeps_the_interval_narrow_and_the_seed_fixes_it() -> None:
    _, labels, scores = a_holdout()
    close = np.clip(scores + np.random.default_rng(1).normal(scale=0.005, size=ROWS), 0, 1)
    found = compare("roc_auc", labels, close, scores, count=300, seed=3)
    assert found == compare("roc_auc", labels, close, scores, count=300, seed=3)
    assert isinstance(found, Comparison)
    assert found.upper - found.lower < 0.005  # unpaired, two AUCs of this size differ by ± 0.02


def test_the_one_sided_interval_covers_as_often_as_it_says() -> None:
    """Two equally good scores differ by 0; the lower bound should exceed that in about 5 % of samples."""
    draw, missed = np.random.default_rng(7), 0
    for seed in range(200):
        signal = draw.normal(size=400)
        labels = (draw.random(400) < 1 / (1 + np.exp(-signal))).astype(float)
        one, other = signal + draw.normal(size=400), signal + draw.normal(size=400)
        found = compare("roc_auc", labels, one, other, count=200, seed=seed)
        assert isinstance(found, Comparison)
        missed += found.lower > 0
    assert 2 <= missed <= 22


def test_without_a_champion_an_absolute_bound_must_carry_the_gate() -> None:
    frame, labels, scores = a_holdout()
    both = a_spec(evaluation=an_evaluation(metrics={"roc_auc": {"min": 0.6, "not_worse_than_champion": 0.005}}))
    assert evaluate(both, frame, labels, scores, seed=0)[1].passed
    alone = a_spec(evaluation=an_evaluation(metrics={"roc_auc": {"not_worse_than_champion": 0.005}}))
    verdict = evaluate(alone, frame, labels, scores, seed=0)[1]
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "no champion to be compared with and no bound of its own" in verdict.reasons[0]


def test_the_champion_is_measured_beside_the_candidate() -> None:
    frame, labels, scores = a_holdout()
    spec = a_spec(evaluation=an_evaluation(metrics={"roc_auc": {"min": 0.6, "not_worse_than_champion": 0.005}}))
    body, verdict = evaluate(
        spec, frame, labels, scores, champion_scores=scores**2, champion_name="flight_delays@3", seed=0
    )
    assert body["champion"]["name"] == "flight_delays@3"
    assert body["champion"]["comparison"]["roc_auc"]["difference"] == 0  # the same order
    assert verdict.passed


# --- what follows ---------------------------------------------------------------------------------

SMALL = Finding("slice.rows", Outcome.INCONCLUSIVE, "small")
OPEN = Finding("champion.roc_auc", Outcome.INCONCLUSIVE, "straddles")
GOOD = Finding("metric.roc_auc", Outcome.PASSED, "good")
BAD = Finding("metric.roc_auc", Outcome.FAILED, "bad")


@pytest.mark.parametrize(
    ("findings", "low", "medium", "high"),
    [
        ([GOOD], "go", "go", "go"),
        ([GOOD, SMALL], "go", "ask", "ask"),
        ([GOOD, OPEN], "stop", "ask", "stop"),
        ([GOOD, OPEN, SMALL], "stop", "ask", "stop"),
        ([GOOD, BAD], "stop", "stop", "stop"),
        ([], "stop", "stop", "stop"),
    ],
)
def test_decision_by_tier(findings: list[Finding], low: str, medium: str, high: str) -> None:
    verdict = Verdict.of(findings)
    assert [decision(verdict, tier) for tier in (RiskTier.LOW, RiskTier.MEDIUM, RiskTier.HIGH)] == [
        low,
        medium,
        high,
    ]


def test_importance_of_a_feature_called_self() -> None:
    frame, labels, _ = a_holdout()
    spec = a_spec(data=a_data_section({"self": {"type": "number"}}))
    renamed = frame.rename(columns={"distance": "self"})
    found = permutation_importance(spec, lambda rows: rows["self"], renamed, labels, seed=0)
    assert list(found["features"]) == ["self"]


def test_importance_finds_the_column_the_model_reads() -> None:
    frame, labels, _ = a_holdout()
    frame["distance"] = labels * 1000 + np.random.default_rng(0).normal(scale=400, size=ROWS)
    found = permutation_importance(a_spec(), lambda rows: rows["distance"].to_numpy(), frame, labels, seed=0)
    assert list(found["features"]) == ["distance", "carrier"]
    assert found["features"]["distance"] > 0.2
    assert found["features"]["carrier"] == 0
    assert found["rows"] == 2000
