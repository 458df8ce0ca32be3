from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.served_days import (
    DAY,
    binary,
    classified,
    days_of,
    multiclass,
    predicted,
    profile_on,
    reading_on,
    regression,
    scored,
)

from steward.gates import OVERALL, Finding, Outcome
from steward.monitoring.checks.performance import judge_performance
from steward.monitoring.performance.measuring import between_days, measure_tally
from steward.spec import ModelSpec
from steward.types import JsonObject

AUC = {"performance": {"roc_auc": {"max_drop": 0.03}}}


@pytest.fixture(scope="module")
def profile() -> JsonObject:
    return profile_on(binary(evaluation={"slices": ["hub"]}, **AUC), scored)


def judged(spec: ModelSpec, profile: JsonObject, frames: Sequence[pd.DataFrame], **about: Any) -> list[Finding]:
    return judge_performance(reading_on(spec, profile, frames, **about))


def only(findings: list[Finding], part: str = OVERALL) -> Finding:
    (found,) = [finding for finding in findings if finding.slice == part]
    return found


def guessing(draw: np.random.Generator, rows: int, share: float = 0.5) -> pd.DataFrame:
    """So much of what ranked the outcomes is gone."""
    frame = scored(draw, rows)
    return frame.assign(label=np.where(draw.random(rows) < share, (draw.random(rows) < 0.3) * 1.0, frame["label"]))


def test_a_version_that_is_as_it_was_passes(profile: JsonObject) -> None:
    found = only(judged(binary(**AUC), profile, days_of(scored, 28)))
    assert found.outcome is Outcome.PASSED
    assert found.gate == "performance.roc_auc"
    assert found.limit == 0.03
    assert found.rows == 5600
    assert "at evaluation" in found.reason


def test_a_loss_is_found_with_its_size(profile: JsonObject) -> None:
    found = only(judged(binary(**AUC), profile, days_of(guessing, 28)))
    assert found.outcome is Outcome.FAILED
    assert 0.1 < (found.value or 0) < 0.2
    assert "worse, at most 0.03 worse is allowed and chance gives up to" in found.reason


@pytest.mark.parametrize(
    ("rule", "frames", "outcome"),
    [
        ({"log_loss": {"max_rise": 0.05}}, guessing, Outcome.FAILED),
        ({"log_loss": {"max_rise": 0.05}}, scored, Outcome.PASSED),
        ({"accuracy": {"min": 0.85}}, scored, Outcome.FAILED),
        ({"accuracy": {"min": 0.6}}, scored, Outcome.PASSED),
        ({"calibration_gap": {"max": 0.05}}, lambda d, n: scored(d, n, said=1.0), Outcome.FAILED),
        ({"f1": {"max_drop": 0.1}}, guessing, Outcome.FAILED),
        ({"balanced_accuracy": {"max_drop": 0.05}}, guessing, Outcome.FAILED),
    ],
)
def test_each_kind_of_limit(profile: JsonObject, rule: Any, frames: Any, outcome: Outcome) -> None:
    assert only(judged(binary(performance=rule), profile, days_of(frames, 14))).outcome is outcome


def test_every_limit_of_a_rule_is_judged(profile: JsonObject) -> None:
    rule = {"roc_auc": {"max_drop": 0.03, "min": 0.9}}
    found = judged(binary(performance=rule), profile, days_of(scored, 14))
    assert [finding.outcome for finding in found] == [Outcome.PASSED, Outcome.FAILED]


def test_models_of_classes_and_regressions_are_judged_too() -> None:
    spec = multiclass(performance={"macro_f1": {"max_drop": 0.1}, "log_loss": {"max_rise": 0.2}})
    profile = profile_on(spec, classified)
    assert {f.outcome for f in judged(spec, profile, days_of(classified, 14))} == {Outcome.PASSED}
    worse = judged(spec, profile, days_of(lambda d, n: classified(d, n, knows=0.3, sure=5), 14))
    assert {f.outcome for f in worse} == {Outcome.FAILED}
    spec = regression(performance={"mae": {"max_rise": 2.0}})
    profile = profile_on(spec, predicted)
    assert only(judged(spec, profile, days_of(predicted, 14))).outcome is Outcome.PASSED
    assert only(judged(spec, profile, days_of(lambda d, n: predicted(d, n, bias=9), 14))).outcome is Outcome.FAILED


# --- outcomes that come late --------------------------------------------------------------------------


def late(spec: ModelSpec, wait: timedelta) -> ModelSpec:
    label = spec.data.label.model_copy(update={"arrives_after": wait})
    return spec.model_copy(update={"data": spec.data.model_copy(update={"label": label})})


def test_early_outcomes_of_days_that_wait_are_no_evidence(profile: JsonObject) -> None:
    """Bad outcomes come at once, good ones after days: half of the last three days would look like a disaster."""
    frames = days_of(scored, 7)
    for place in (4, 5, 6):
        bad = frames[place]["label"] == (frames[place]["score"] < 0.5)
        frames[place] = frames[place].assign(label=frames[place]["label"].where(bad))
    spec = late(binary(**AUC), 3 * DAY)
    found = only(judged(spec, profile, frames, now=timedelta(hours=3)))
    assert found.outcome is Outcome.PASSED
    assert found.rows == 4 * 800
    hasty = only(judged(binary(**AUC), profile, frames, now=timedelta(hours=3)))
    assert (hasty.value or 0) > 0.05
    assert hasty.outcome is not Outcome.PASSED


def test_it_waits_for_outcomes(profile: JsonObject) -> None:
    none = [frame.assign(label=np.nan) for frame in days_of(scored, 7)]
    found = only(judged(binary(**AUC), profile, none))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "waits for outcomes: 0% of the answers whose outcome is due have one" in found.reason


# --- chance -------------------------------------------------------------------------------------------


def test_within_chance_is_not_called_a_loss_nor_good(profile: JsonObject) -> None:
    found = only(judged(binary(**AUC), profile, days_of(lambda d, n: guessing(d, n, 0.3), 7, rows=30)))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert (found.value or 0) > 0.03
    steady = only(judged(binary(**AUC), profile, days_of(scored, 7, rows=40)))
    assert steady.outcome is Outcome.INCONCLUSIVE


def stormy(draw: np.random.Generator, rows: int) -> pd.DataFrame:
    """Whole days on which everything is as it never was, and which nobody could foresee."""
    odds = float(draw.normal(scale=1.5))
    frame = scored(draw, rows)
    chances = 1 / (1 + np.exp(odds + np.log(1 / frame["score"] - 1)))
    return frame.assign(label=(draw.random(rows) < chances).astype(float))


def test_days_that_differ_do_not_pass_for_a_loss() -> None:
    """The same noise on the hold-out and in service: rows alone would cry wolf one night in five."""
    spec = binary(performance={"brier": {"max_rise": 0.01}})
    stub: JsonObject = {"features": {}, "score": None, "threshold": 0.5, "calibration": {"edges": []}}
    alarms, naive = 0, 0
    for seed in range(30):
        holdout = reading_on(spec, stub, days_of(stormy, 14, rows=200, seed=seed))
        days = [day.tally.overall for day in holdout.days]
        before = measure_tally("brier", sum(days[1:], days[0])).to_json()
        told = {**before, "error": between_days("brier", days), "days": 14}
        served = reading_on(spec, {**stub, "performance": {"brier": told}}, days_of(stormy, 14, 200, 1000 + seed))
        found = only(judge_performance(served))
        assert "by how days differ" in found.reason
        alarms += found.outcome is Outcome.FAILED
        alone = replace(served, profile={**stub, "performance": {"brier": before}}, days=())
        naive += only(judge_performance(alone)).outcome is Outcome.FAILED
    assert alarms <= 2
    assert naive >= 6


def test_a_loss_is_found_among_days_that_differ() -> None:
    spec = binary(performance={"brier": {"max_rise": 0.01}})

    def ruined(draw: np.random.Generator, rows: int) -> pd.DataFrame:
        return stormy(draw, rows).assign(score=lambda frame: 1 - frame["score"])

    profile = profile_on(spec, stormy, rows=400)
    assert only(judged(spec, profile, days_of(ruined, 14, rows=400))).outcome is Outcome.FAILED


def test_a_metric_the_profile_lacks_has_no_baseline(profile: JsonObject) -> None:
    found = only(judged(binary(**AUC), {**profile, "performance": {}}, days_of(scored, 7)))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "no value in the version's profile" in found.reason


def test_one_class_of_outcomes_has_no_auc(profile: JsonObject) -> None:
    found = only(judged(binary(**AUC), profile, [frame.assign(label=0.0) for frame in days_of(scored, 7)]))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "ranking needs both classes" in found.reason


# --- slices -------------------------------------------------------------------------------------------

SLICED = {"slices": ["hub"], "slice_min_rows": 200}


def test_a_slice_that_fails_names_itself_while_the_whole_passes(profile: JsonObject) -> None:
    def weak(draw: np.random.Generator, rows: int) -> pd.DataFrame:
        frame = scored(draw, rows)
        hub = np.where(draw.random(rows) < 0.08, "EWR", "JFK")
        guessed = (draw.random(rows) < 0.3).astype(float)
        return frame.assign(hub=hub, label=np.where(hub == "EWR", guessed, frame["label"]))

    spec = binary(evaluation=SLICED, performance={"roc_auc": {"max_drop": 0.05}})
    found = judged(spec, profile, days_of(weak, 28))
    assert only(found).outcome is Outcome.PASSED
    failed = only(found, "hub = EWR")
    assert failed.outcome is Outcome.FAILED
    assert "of hub = EWR" in failed.reason
    assert (failed.rows or 0) < 600
    assert only(found, "hub = JFK").outcome is Outcome.PASSED


def test_a_slice_too_small_to_tell_is_named_and_changes_no_outcome(profile: JsonObject) -> None:
    def rare(draw: np.random.Generator, rows: int) -> pd.DataFrame:
        return scored(draw, rows).assign(hub=np.where(draw.random(rows) < 0.01, "EWR", "JFK"))

    found = judged(binary(evaluation=SLICED, **AUC), profile, days_of(rare, 14))
    assert {finding.slice for finding in found} == {OVERALL, "hub = JFK"}
    assert only(found).outcome is Outcome.PASSED
    assert "; cannot be told apart from chance on hub = EWR (" in only(found).reason


def test_slices_share_the_chance_of_a_false_alarm(profile: JsonObject) -> None:
    frames = days_of(scored, 14)
    alone = only(judged(binary(**AUC), profile, frames))
    beside = only(judged(binary(evaluation=SLICED, **AUC), profile, frames))

    def chance(found: Finding) -> float:
        return float(found.reason.split("chance gives up to ")[1].split(",")[0].split(" ")[0].split(";")[0])

    assert chance(beside) > chance(alone)


def test_of_many_slices_the_first_are_named(profile: JsonObject) -> None:
    def many(draw: np.random.Generator, rows: int) -> pd.DataFrame:
        return scored(draw, rows).assign(hub=draw.choice(list("abcdefgh"), rows))

    found = judged(binary(evaluation=SLICED, **AUC), profile, days_of(many, 7, rows=100))
    assert [finding.slice for finding in found] == [OVERALL]
    assert found[0].reason.endswith("and 3 more")
