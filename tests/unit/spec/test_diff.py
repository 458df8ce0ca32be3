"""Every control that a change of spec weakens is named, and the same change the other way is not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from steward.spec import ModelSpec, diff
from steward.spec.controls import CONTROLS, runs_per_year

SOUND = yaml.safe_load((Path(__file__).parents[2] / "golden" / "specs" / "sound.yaml").read_text())
ABSENT = object()

# path, stricter, weaker, a word of the sentence
WEAKENED: list[tuple[str, Any, Any, str]] = [
    ("risk_tier", "high", "medium", "tier is lower"),
    ("monitoring.resolve_after", 3, 2, "fewer sound windows"),
    ("risk_tier", "medium", "low", "tier is lower"),
    ("frameworks", ["sr-26-2"], [], "sr-26-2"),
    ("data.features.seats", {"type": "number"}, ABSENT, "contract is gone"),
    ("data.features.seats.type", "integer", "number", "wider"),
    ("data.features.dest.type", "category", "text", "wider"),
    ("data.features.distance.min", 0, -1, "smaller values"),
    ("data.features.distance.min", 0, ABSENT, "smaller values"),
    ("data.features.distance.max", 6000, 7000, "larger values"),
    ("data.features.distance.max", 6000, ABSENT, "larger values"),
    ("data.features.origin.levels", ["EWR"], ["EWR", "LGA"], "LGA"),
    ("data.features.origin.levels", ["EWR"], ABSENT, "any level"),
    ("data.features.seats.max_missing", 0.1, 0.2, "missing"),
    ("data.features.seats.max_out_of_range", 0.0, 0.2, "out of range"),
    ("data.label.arrives_after", "1d", "3d", "later"),
    ("data.protected", ["origin", "carrier"], ["carrier"], "origin"),
    ("data.freshness", "2d", "1w", "older data"),
    ("data.min_rows", 5000, 50, "smaller window"),
    ("data.subject", "passenger", ABSENT, "erased"),
    ("data.log_keep", "30d", "400d", "kept longer"),
    ("data.privacy.seats", "hash", "keep", "seats is kept"),
    ("data.privacy.seats", "drop", "hash", "seats is hashed"),
    ("data.privacy.seats", "drop", ABSENT, "seats is kept"),
    ("data.privacy.flight_id", ABSENT, "keep", "flight_id is kept"),
    ("training.threshold.parity", 0.9, 0.8, "less close"),
    ("training.time_limit", "10m", "2h", "longer"),
    ("evaluation.holdout.days", 14, 7, "held out"),
    ("evaluation.metrics.brier", {"max": 0.2}, ABSENT, "gate is gone"),
    ("evaluation.metrics.roc_auc.min", 0.6, 0.5, "smaller value passes"),
    ("evaluation.metrics.roc_auc.min", 0.6, ABSENT, "smaller value passes"),
    ("evaluation.metrics.brier.max", 0.2, 0.3, "larger value passes"),
    ("evaluation.metrics.brier.max", 0.2, ABSENT, "larger value passes"),
    ("evaluation.metrics.roc_auc.not_worse_than_champion", 0.005, 0.05, "worse than the champion"),
    ("evaluation.metrics.roc_auc.not_worse_than_champion", 0.005, ABSENT, "worse than the champion"),
    ("evaluation.slices", ["origin", "carrier"], ["carrier"], "origin"),
    ("evaluation.fairness", {"adverse_action_rate": {"max": 0.5}}, ABSENT, "groups are no longer judged"),
    ("evaluation.fairness.demographic_parity_ratio", {"min": 0.8}, {"min": 0.7}, "lower parity ratio"),
    ("evaluation.fairness.demographic_parity_ratio", {"min": 0.8}, ABSENT, "lower parity ratio"),
    ("evaluation.fairness.demographic_parity_difference", {"max": 0.1}, {"max": 0.2}, "larger gap between groups"),
    ("evaluation.fairness.equalized_odds_difference", {"max": 0.1}, ABSENT, "larger gap in error rates"),
    ("evaluation.fairness.adverse_action_rate", {"max": 0.3}, {"max": 0.4}, "refused more often"),
    ("evaluation.fairness.accuracy_difference", {"max": 0.1}, {"max": 0.2}, "larger gap in accuracy"),
    ("evaluation.fairness.min_rows", 30, 300, "too small"),
    ("evaluation.fairness.intersections", True, False, "crossed groups"),
    ("evaluation.slice_min_rows", 200, 2000, "too small"),
    ("evaluation.bootstrap", 500, 100, "resamples"),
    ("approval.approvers", 2, 1, "fewer people"),
    ("approval.approvers", 2, ABSENT, "fewer people"),
    ("approval.expires_after", "1d", "2d", "open longer"),
    ("approval.expires_after", "1d", ABSENT, "open longer"),
    ("deployment.strategy", "canary", "direct", "all traffic"),
    ("deployment.steps", [5, 25, 50, 100], [5, 50, 100], "fewer steps"),
    ("deployment.steps", [5, 25, 50, 100], [10, 25, 50, 100], "larger steps"),
    ("deployment.steps", [5, 25, 40, 50, 100], [5, 10, 15, 20, 100], "larger steps"),
    ("deployment.bake.requests", 200, 20, "fewer requests"),
    ("deployment.bake.at_least", "5m", "1m", "shorter"),
    ("deployment.bake.at_most", "10m", "1h", "undecided"),
    ("deployment.guardrails.error_rate.max", 0.01, 0.1, "fail more often"),
    ("deployment.guardrails.error_rate", {"max": 0.01}, ABSENT, "fail more often"),
    ("deployment.guardrails.p99_latency.max", "250ms", "1s", "slower"),
    ("deployment.guardrails.prediction_psi.max", 0.2, 0.5, "differ more"),
    ("deployment.bake.finds", 0.05, 0.2, "higher error rate"),
    ("deployment.guardrails.disagreement.max", 0.05, 0.2, "otherwise more often"),
    ("deployment.guardrails.outcome", {"measure": "brier"}, ABSENT, "no longer judged"),
    ("deployment.guardrails.outcome.max_drop", 0.01, 0.1, "worse by more"),
    ("deployment.guardrails.outcome.min_rows", 50, 900, "judged later"),
    ("deployment.max_in_flight", 64, 900, "more at once"),
    ("monitoring.schedule", "@daily", "@weekly", "less often"),
    ("monitoring.schedule", "0 */6 * * *", "0 3 * * 1-5", "less often"),
    ("monitoring.window.days", 7, 30, "later"),
    ("monitoring.min_rows", 1000, 9000, "too small"),
    ("monitoring.quiet_windows", 3, 10, "sees too little is reported later"),
    ("monitoring.drift.psi.max", 0.2, 0.3, "more drift"),
    ("monitoring.drift.features.distance.max", 0.2, 0.5, "more drift of distance"),
    ("monitoring.drift.features.distance.max", 0.1, 0.5, "more drift of distance"),
    ("monitoring.drift.features.distance", ABSENT, {"max": 9.0}, "more drift of distance"),
    ("monitoring.drift.features.distance", {"max": 0.01}, ABSENT, "more drift of distance"),
    ("monitoring.drift.missing.max", 0.05, 0.2, "missing values"),
    ("monitoring.drift.unseen.max", 0.01, 0.1, "never had"),
    ("monitoring.drift.domain_classifier", {"max": 0.65}, ABSENT, "more drift of the features together"),
    ("monitoring.drift.domain_classifier.max", 0.65, 0.8, "more drift of the features together"),
    ("monitoring.drift.attribution", {"min": 0.9}, ABSENT, "what drives the answers"),
    ("monitoring.drift.attribution.min", 0.9, 0.7, "what drives the answers"),
    ("monitoring.performance.roc_auc", {"max_drop": 0.03}, ABSENT, "no longer watched"),
    ("monitoring.performance.roc_auc.max_drop", 0.03, 0.1, "larger loss"),
    ("monitoring.performance.calibration_gap.max", 0.05, 0.1, "larger value"),
    ("monitoring.performance.roc_auc.min", 0.6, 0.5, "smaller value"),
    ("monitoring.performance.brier.max_rise", 0.01, 0.05, "larger loss"),
    ("monitoring.estimated.roc_auc", {"max_drop": 0.03}, ABSENT, "no longer estimated"),
    ("monitoring.estimated.roc_auc.max_drop", 0.03, 0.1, "larger estimated loss"),
    ("monitoring.estimated.brier.max_rise", 0.03, 0.1, "larger estimated loss"),
    ("monitoring.estimated.brier.max", 0.1, 0.2, "larger estimate"),
    ("monitoring.estimated.accuracy.min", 0.9, 0.8, "smaller estimate"),
    ("monitoring.calibration", {"max": 0.05}, {"max": 0.1}, "worse calibration"),
    ("monitoring.calibration", {"max": 0.05}, ABSENT, "worse calibration"),
    ("monitoring.drift.confidence.max", 0.05, 0.1, "larger change of confidence"),
    ("monitoring.error_rate", {"max": 0.01}, ABSENT, "failed requests"),
    ("monitoring.fairness", {"adverse_action_rate": {"max": 0.5}}, ABSENT, "no longer judged in service"),
    ("monitoring.fairness.demographic_parity_ratio", {"min": 0.8}, {"min": 0.7}, "lower parity ratio"),
    ("monitoring.fairness.demographic_parity_difference", {"max": 0.1}, {"max": 0.2}, "larger gap between groups"),
    ("monitoring.fairness.equalized_odds_difference", {"max": 0.1}, ABSENT, "larger gap in error rates"),
    ("monitoring.fairness.adverse_action_rate", {"max": 0.3}, {"max": 0.4}, "refused more often"),
    ("monitoring.fairness.accuracy_difference", {"max": 0.1}, {"max": 0.2}, "larger gap in accuracy"),
    ("monitoring.fairness.min_rows", 30, 300, "too small"),
    ("monitoring.fairness.intersections", True, False, "crossed groups"),
    ("monitoring.business", {"correlation": {"min": 0.1}}, ABSENT, "pay"),
    ("monitoring.business.correlation", {"min": 0.2}, {"min": 0.1}, "less well"),
    ("monitoring.throughput", {"capacity": 50}, ABSENT, "load"),
    ("monitoring.throughput.max", 0.5, 0.9, "busier"),
    ("monitoring.throughput.capacity", 50, 90, "busier"),
    ("monitoring.p50_latency.max", "50ms", "1s", "slower answers"),
    ("monitoring.p95_latency.max", "150ms", "1s", "slower answers"),
    ("monitoring.completeness", {"min": 0.9}, {"min": 0.5}, "hours without a request"),
    ("monitoring.p99_latency.max", "250ms", "1s", "slower answers"),
    ("monitoring.roll_back_on", ["operation", "data"], ["operation"], "data failures no longer"),
    ("retraining.when.failed_windows", 2, 3, "must fail"),
    ("retraining.when.of", 5, 3, "looked at"),
    ("retraining.cooldown", "7d", "1d", "sooner"),
    ("retraining.budget.runs", 4, 5, "more often"),
    ("retraining.budget.per", "30d", "10d", "sooner"),
    ("retraining.budget.cpu_hours", 2, 5, "cost more"),
    ("retraining.budget.cpu_hours", 2, ABSENT, "cost more"),
    ("retraining.schedule", "0 3 * * 0", ABSENT, "clock"),
    ("retraining.at_once.roc_auc", {"max_drop": 0.1}, ABSENT, "sharp loss no longer"),
    ("retraining.at_once.roc_auc.max_drop", 0.1, 0.2, "only a larger loss"),
    ("retraining.at_once.brier.max_rise", 0.1, 0.2, "only a larger loss"),
    ("retraining.at_once.brier.max", 0.2, 0.3, "only a larger value"),
    ("retraining.at_once.roc_auc.min", 0.6, 0.5, "only a smaller value"),
    ("retraining.new_labels", 1000, 5000, "more new outcomes"),
    ("retraining.new_labels", 1000, ABSENT, "more new outcomes"),
    ("retraining.min_new_labels", 500, 100, "fewer new outcomes"),
    ("retraining.stop_after_refusals", 2, 5, "more refused candidates"),
    ("retirement.review_after", "90d", "365d", "less often"),
    ("retirement.idle_after", "30d", "60d", "reported later"),
    ("retirement.quiet", "7d", "1d", "switched off sooner"),
    ("retirement.keep", "365d", "30d", "shorter time"),
    ("consumers", [{"name": "desk", "contact": "desk@example.com"}], [], "desk would no longer be told"),
    ("upstream", ["air_time"], [], "air_time may be retired"),
]

# What else a spec must say for a control to be there.
BESIDE: dict[str, list[tuple[str, Any]]] = {
    "monitoring.throughput.max": [("monitoring.throughput.capacity", 50)],
    "deployment.bake.finds": [("deployment.bake.requests", ABSENT)],
    "deployment.guardrails.disagreement.max": [("deployment.steps", [0, 5, 25, 50, 100])],
    "deployment.guardrails.outcome.max_drop": [("deployment.guardrails.outcome.measure", "brier")],
    "deployment.guardrails.outcome.min_rows": [("deployment.guardrails.outcome.measure", "brier")],
}


def spec_with(path: str, value: Any) -> ModelSpec:
    tree = copy.deepcopy(SOUND)
    for place, given in [*BESIDE.get(path, []), (path, value)]:
        *above, last = place.split(".")
        node = tree
        for key in above:
            node = node.setdefault(key, {})
        if given is ABSENT:
            node.pop(last, None)
        else:
            node[last] = given
    return ModelSpec.model_validate(tree)


@pytest.mark.parametrize(("path", "strict", "weak", "word"), WEAKENED)
def test_weakening_is_named_and_strengthening_is_not(path: str, strict: Any, weak: Any, word: str) -> None:
    stricter, weaker = spec_with(path, strict), spec_with(path, weak)
    (change,) = diff(stricter, weaker)
    assert change.path.startswith(path) or path.startswith(change.path)
    assert change.weakened is not None
    assert word in change.weakened
    (back,) = diff(weaker, stricter)
    assert back.weakened is None
    assert (back.old, back.new) == (change.new, change.old)


def test_every_control_is_in_the_table() -> None:
    """A control without a row above could be weakened without anybody noticing."""
    spelt = {path.replace(".max", "") for path, *_ in WEAKENED} | {path for path, *_ in WEAKENED}
    wild = {
        control
        for control in CONTROLS
        for path in spelt
        if len(path.split(".")) == len(control.split("."))
        and all(want in ("*", got) for want, got in zip(control.split("."), path.split("."), strict=True))
    }
    # Both go with the strategy: a canary without them is refused.
    assert set(CONTROLS) - wild == {"deployment.smoke", "deployment.bake"}


@pytest.mark.parametrize("key", ["smoke", "bake"])
def test_what_a_direct_release_drops_is_named(key: str) -> None:
    direct = {**SOUND["deployment"], "strategy": "direct"}
    old = ModelSpec.model_validate({**SOUND, "deployment": direct})
    new = ModelSpec.model_validate({**SOUND, "deployment": {k: v for k, v in direct.items() if k != key}})
    (change,) = diff(old, new)
    assert change.path == f"deployment.{key}"
    assert change.weakened
    assert diff(new, old)[0].weakened is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("title", "Another"),
        ("training.seed", 8),
        ("training.params.max_iter", 5),
        ("owner.name", "Mo"),
        ("training.window.days", 60),
    ],
)
def test_a_change_of_no_control_weakens_nothing(path: str, value: Any) -> None:
    (change,) = diff(ModelSpec.model_validate(SOUND), spec_with(path, value))
    assert (change.path, change.new, change.weakened) == (path, value, None)


def test_nothing_changed() -> None:
    assert diff(ModelSpec.model_validate(SOUND), ModelSpec.model_validate(copy.deepcopy(SOUND))) == []


def test_a_new_feature_is_one_change() -> None:
    (change,) = diff(ModelSpec.model_validate(SOUND), spec_with("data.features.gate", {"type": "category"}))
    assert change.path == "data.features.gate"
    assert change.old is None
    assert change.weakened is None


def test_changes_are_told_as_they_are_written() -> None:
    (change,) = diff(ModelSpec.model_validate(SOUND), spec_with("retraining.cooldown", "12h"))
    assert str(change) == "retraining.cooldown: 1w → 12h  WEAKENED: it may retrain again sooner"
    assert change.to_json()["new"] == "12h"


@pytest.mark.parametrize(
    ("schedule", "times"),
    [
        (None, 0),
        ("@daily", 365.25),
        ("0 3 * * *", 365.25),
        ("0 3 * * 0", 52.2),
        ("0 3 * * MON-FRI", 260.9),
        ("*/15 * * * *", 35064),
        ("0 0 1 * *", 12),
        ("0 0 1 1 *", 1),
        ("0,30 8-18/2 * * *", 4383),
    ],
)
def test_how_often_a_schedule_fires(schedule: str | None, times: float) -> None:
    assert runs_per_year(schedule) == pytest.approx(times, rel=0.02)
