"""Readings that say a training will not help: narrow, with their evidence, and silent where nothing is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.retraining.situations import DAY, GOOD, LOSS, NOW, judged, situation

from steward.gates import Finding, Outcome
from steward.monitoring.windows import Cause
from steward.retraining import Candidate, Labels, Loss, Measured, Situation, Trigger, decide
from steward.retraining.diagnosis import diagnoses
from steward.types import Window

AUC_LOST = Loss("roc_auc", 1, 0.62, 0.1, "AUC is 0.62")
EVALUATION = Measured({"roc_auc": (0.72, 0.01)}, 0.2)


def candidate(own: float, beside: float, *, seq: int = 40, ends: timedelta = DAY, label_mean: float = 0.3) -> Candidate:
    """Ninety days that ended `ends` ago, the last fourteen of them held out."""
    window = Window.ending(NOW - ends, 90 * DAY)
    values = [Measured({"roc_auc": (value, 0.01)}, label_mean) for value in (own, beside)]
    return Candidate(seq, seq // 10, window, window.end - 14 * DAY, *values)


def lost_for_long(*candidates: Candidate, **changes: Any) -> Situation:
    """Every week for two months."""
    weeks = [judged(NOW - 7 * back * DAY, LOSS) for back in range(8, -1, -1)]
    given = {"losses": [AUC_LOST], "evaluation": EVALUATION, "window_seq": 77, **changes}
    return situation(windows=weeks, candidates=candidates, **given)


def named(found: Situation) -> list[str]:
    return [each.name for each in diagnoses(found)]


def test_a_candidate_that_knew_the_loss_and_was_no_better_says_that_another_will_not_be() -> None:
    found = lost_for_long(candidate(0.62, 0.62))
    (diagnosis,) = diagnoses(found)
    assert diagnosis.name == "no_better_on_the_same_rows"
    assert "roc_auc 0.62 against 0.62" in diagnosis.sentence
    assert diagnosis.evidence["events"] == [77, 40]
    decision = decide(found)
    assert not decision.requested
    assert decision.reason.startswith("retraining will not help: version 4 learned from rows of 2013-")
    assert decide(replace(found, asked=Trigger.MANUAL, said="a new feature")).requested, "a person may know better"


@pytest.mark.parametrize(
    "unlike",
    [
        pytest.param({"own": 0.63}, id="it was better"),
        pytest.param({"ends": 46 * DAY}, id="half of the rows would be new"),
    ],
)
def test_another_candidate_may_help(unlike: dict[str, Any]) -> None:
    given = {"own": 0.62, "beside": 0.62, **unlike}
    assert not named(lost_for_long(candidate(**given)))


def test_a_loss_that_was_only_held_out_was_never_learned_from() -> None:
    """The usual case: two bad weeks, and a candidate whose hold-out they are."""
    weeks = [judged(NOW - 7 * back * DAY, LOSS) for back in (1, 0)]
    assert not named(situation(windows=weeks, losses=[AUC_LOST], candidates=[candidate(0.62, 0.62)]))


def test_less_is_better_for_an_error() -> None:
    lost = Loss("mae", -1, 14.0, 6.0, "error is 14")
    rows = [Measured({"mae": (value, 0.1)}) for value in (13.0, 14.0)]
    better = replace(candidate(0, 0), own=rows[0], champion=rows[1])
    worse = replace(better, own=rows[1], champion=rows[0])
    assert not named(lost_for_long(better, losses=[lost], evaluation=None))
    assert named(lost_for_long(worse, losses=[lost], evaluation=None)) == ["no_better_on_the_same_rows"]


def test_a_feature_that_matters_and_went_missing_is_to_be_mended() -> None:
    gone = Finding("drift.trend_missing:seats", Outcome.FAILED, "seats is missing more each day", 0.4, 0.1)
    known = {"findings": [gone], "importance": {"seats": 0.3, "dest": 0.7}}
    (diagnosis,) = diagnoses(situation(LOSS, LOSS, **known))
    assert "seats (30% of what the features matter)" in diagnosis.sentence
    assert diagnosis.advice.startswith("mend the feature at its source")
    assert not named(situation(LOSS, LOSS, **{**known, "importance": {"seats": 0.04, "dest": 0.96}}))
    assert not named(situation(LOSS, LOSS, findings=[replace(gone, outcome=Outcome.PASSED)], importance={"seats": 1.0}))
    assert not named(situation((Cause.DRIFT,), GOOD, **known)), "without a loss there is nothing to explain"


def test_hardly_any_new_outcome_makes_the_same_model_again() -> None:
    few = situation(LOSS, LOSS, labels=Labels(since_champion=5000, since_training=99, rows=10_000))
    (diagnosis,) = diagnoses(few)
    assert "99 outcomes came since the last training, which learned from 10000 rows (1.0%)" in diagnosis.sentence
    assert not named(replace(few, labels=Labels(5000, 100, 10_000)))
    assert not named(replace(few, labels=Labels(5000, None, 10_000)))
    assert not named(replace(few, labels=Labels(5000, 99, None)))


def test_a_period_that_is_harder_for_every_model_is_no_decay() -> None:
    two = candidate(0.63, 0.62, seq=30, ends=20 * DAY), candidate(0.625, 0.62, seq=50)
    (diagnosis,) = diagnoses(lost_for_long(*two))
    assert diagnosis.name == "harder_period"
    assert "roc_auc 0.72 at the champion's evaluation, since then 0.62 and 0.63, 0.62 and 0.625" in diagnosis.sentence
    assert "outcomes average 0.2 then, 0.3 now" in diagnosis.sentence
    assert diagnosis.evidence["events"] == [77, 30, 50]
    assert not named(lost_for_long(two[1])), "one may be chance"
    assert not named(lost_for_long(*two, evaluation=None))


@pytest.mark.parametrize(
    ("own", "beside"), [(0.68, 0.62), (0.715, 0.71)], ids=["the candidate held up", "neither fell beyond chance"]
)
def test_a_champion_that_fell_alone_is_worn_out(own: float, beside: float) -> None:
    two = candidate(0.63, 0.62, seq=30, ends=20 * DAY), candidate(own, beside, seq=50)
    assert not named(lost_for_long(*two))


def test_new_outcomes_are_a_reason_of_their_own_whatever_is_said_of_the_loss() -> None:
    gone = Finding("drift.missing:seats", Outcome.FAILED, "")
    known = {"findings": [gone], "importance": {"seats": 1.0}}
    lost = situation(LOSS, LOSS, **known)
    assert not decide(lost).requested
    enough = replace(lost, policy=lost.policy.model_copy(update={"new_labels": 10}), labels=Labels(10))
    assert decide(enough).trigger is Trigger.NEW_LABELS
