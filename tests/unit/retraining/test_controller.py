"""Triggers ask, safeguards refuse, and every decision says what was looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.retraining.situations import DAY, GOOD, LOSS, NOW, POLICY, judged, policy, situation, windows

from steward.gates import Finding, Outcome
from steward.monitoring.windows import Cause
from steward.retraining import Labels, Loss, Refused, RetrainingHistory, Situation, Trigger, decide
from steward.retraining.safeguards import SAFEGUARDS
from steward.types import format_instant

REFUSED = tuple(Refused(version, 10 * version, "worse on every slice") for version in (2, 3, 4))


def said(found: Any, name: str) -> Any:
    """A safeguard's entry on the record."""
    return next(each for each in found.detail["safeguards"] if each["name"] == name)


def test_enough_lost_windows_ask_for_a_training_and_say_why() -> None:
    decision = decide(situation(LOSS, GOOD, LOSS))
    assert decision.requested
    assert decision.trigger is Trigger.WINDOWS
    assert decision.reason == "performance was lost in 2 of the last 3 windows of version 1"
    assert [w["causes"] for w in decision.detail["windows"]] == [["performance"], [], ["performance"]]
    assert all(each["passed"] for each in decision.detail["safeguards"])


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([], "no window of the present champion has been judged"),
        ([LOSS], "performance was lost in 1 of the last 1 windows, 2 of 3 are needed"),
        ([LOSS, LOSS, GOOD, GOOD, LOSS], "lost in 1 of the last 3 windows"),
        ([LOSS, LOSS, (Cause.DATA,)], "the data of the latest window"),
        ([LOSS, LOSS, (Cause.DATA, Cause.PERFORMANCE)], "is broken: mend it first, never train on it"),
        ([(Cause.DATA, Cause.PERFORMANCE), (Cause.DATA, Cause.PERFORMANCE), LOSS], "lost in 1 of the last 3"),
        ([(Cause.DRIFT,)] * 3, "inputs drifted without loss: watch"),
        ([(Cause.OPERATION,)] * 3, "lost in 0 of the last 3 windows"),
        ([(Cause.FAIRNESS,)] * 3, "lost in 0 of the last 3 windows"),
    ],
)
def test_no_trigger_has_its_reason(found: list[tuple[Cause, ...]], reason: str) -> None:
    decision = decide(situation(*found))
    assert not decision.requested
    assert reason in decision.reason
    assert len(decision.detail["safeguards"]) == len(SAFEGUARDS) - 1, "same_champion is of requests alone"


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ({"rollout": "version 4 is being rolled out"}, "one at a time: version 4"),
        ({"open_work": "version 4 waits for approval"}, "one at a time: version 4 waits"),
        ({"last_requested_at": NOW - 2 * DAY}, "cooldown: the last request was at 2013-04-09T00:00:00Z, wait 3d"),
        ({"last_trained_at": NOW - 2 * DAY}, "cooldown: the last training"),
        ({"last_promoted_at": NOW - 2 * DAY, "last_requested_at": NOW - 4 * DAY}, "cooldown: the last promotion"),
        ({"last_requested_at": NOW + 9 * DAY}, "cooldown: the last request was at 2013-04-20"),
        ({"runs_in_period": 4}, "budget: 4 of 4 runs within 30d are used"),
        ({"cpu_hours_in_period": 2.5}, "budget: 2.50 of 2 CPU hours within 30d are used"),
        ({"cpu_hours_in_period": 1.5, "dearest_run": 0.6}, "1.50 of 2 CPU hours within 30d are used, and a training"),
        (
            {"refused": REFUSED},
            "stopped: 3 in a row refused since the last promotion (flight_delays@2, flight_delays@3",
        ),
    ],
)
def test_a_safeguard_says_no_with_its_reason_and_the_next_step(history: dict[str, Any], reason: str) -> None:
    decision = decide(situation(LOSS, LOSS, history=history))
    assert not decision.requested
    assert reason in decision.reason
    (refusing,) = [each for each in decision.detail["safeguards"] if not each["passed"]]
    assert refusing["binding"]
    assert refusing["advice"]


def test_a_cooldown_ends_on_its_minute() -> None:
    history = {"last_requested_at": NOW - 3 * DAY}
    assert decide(situation(LOSS, LOSS, history=history)).requested
    sooner = NOW - timedelta(microseconds=1)
    assert not decide(situation(LOSS, LOSS, history=history, now=sooner)).requested


def test_the_budget_of_cpu_hours_leaves_room_for_the_next_training() -> None:
    assert decide(situation(LOSS, LOSS, history={"cpu_hours_in_period": 1.5, "dearest_run": 0.5})).requested


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"windows": []}, "no window of version 1 has been judged"),
        ({"windows": [judged(NOW - 9 * DAY, GOOD)]}, "the latest judged window ended 2013-04-02T00:00:00Z"),
        ({"windows": [judged(NOW, GOOD, data=Outcome.INCONCLUSIVE)]}, "could not be judged"),
        ({"windows": [judged(NOW, (Cause.DATA,))]}, "is broken"),
        ({"windows": [replace(judged(NOW, GOOD), outcomes={Cause.MONITOR: Outcome.INCONCLUSIVE})]}, "not be judged"),
        ({"windows": [replace(judged(NOW, GOOD), outcome=Outcome.INCONCLUSIVE, outcomes={})]}, "not be judged"),
    ],
)
def test_data_that_is_not_known_to_be_sound_is_not_trained_on(found: dict[str, Any], reason: str) -> None:
    decision = decide(situation(asked=Trigger.SCHEDULE, **found))
    assert not decision.requested
    assert reason in decision.reason


def test_one_check_of_the_data_that_lacks_rows_does_not_stop_a_training_the_others_allow() -> None:
    checks = [Finding("data.range:seats", Outcome.PASSED, ""), Finding("data.levels:x", Outcome.INCONCLUSIVE, "")]
    week = judged(NOW, GOOD, data=Outcome.INCONCLUSIVE)
    assert decide(situation(asked=Trigger.SCHEDULE, windows=[week], findings=checks)).requested


def test_the_first_training_needs_no_judged_window() -> None:
    assert decide(situation(asked=Trigger.SCHEDULE, windows=[], champion=None)).requested


@pytest.mark.parametrize(
    ("rule", "loss", "enough"),
    [
        ({"max_drop": 0.1}, Loss("roc_auc", 1, 0.6, 0.15, "AUC is 0.6"), True),
        ({"max_drop": 0.1}, Loss("roc_auc", 1, 0.7, 0.05, "AUC is 0.7"), False),
        ({"min": 0.65}, Loss("roc_auc", 1, 0.6, None, "AUC is 0.6"), True),
        ({"min": 0.65}, Loss("roc_auc", 1, None, 0.05, "AUC fell"), False),
        ({"max_drop": 0.1}, Loss("recall", 1, 0.1, 0.9, "recall is 0.1"), False),
    ],
)
def test_one_window_is_enough_for_a_loss_beyond_what_more_are_waited_for(
    rule: dict[str, float], loss: Loss, enough: bool
) -> None:
    decision = decide(situation(LOSS, policy=policy(at_once={"roc_auc": rule}), losses=[loss]))
    assert decision.requested is enough
    assert (decision.trigger is Trigger.AT_ONCE) is enough
    assert not enough or "AUC is 0.6" in decision.reason


def test_a_loss_on_broken_data_is_no_reason_at_once() -> None:
    loss = Loss("roc_auc", 1, 0.5, 0.3, "AUC is 0.5")
    broken = situation((*LOSS, Cause.DATA), policy=policy(at_once={"roc_auc": {"max_drop": 0.1}}), losses=[loss])
    decision = decide(broken)
    assert not decision.requested
    assert decision.trigger is None


def test_enough_new_outcomes_are_a_reason_and_too_few_a_safeguard() -> None:
    wanted = policy(new_labels=5000)
    assert decide(situation(GOOD, policy=wanted, labels=Labels(5000))).trigger is Trigger.NEW_LABELS
    assert not decide(situation(GOOD, policy=wanted, labels=Labels(4999))).requested
    assert not decide(situation(GOOD, policy=wanted)).requested, "nobody counted"
    guarded = policy(min_new_labels=100)
    assert decide(situation(LOSS, LOSS, policy=guarded, labels=Labels(100))).requested
    few = decide(situation(LOSS, LOSS, policy=guarded, labels=Labels(99)))
    assert "99 outcomes came that version 1 was not trained on, 100 are needed" in few.reason
    assert "nobody has counted any" in decide(situation(LOSS, LOSS, policy=guarded)).reason


def test_the_clock_asks_as_everybody_else() -> None:
    asked = {"asked": Trigger.SCHEDULE, "policy": policy(schedule="0 3 * * 0")}
    allowed = decide(situation(GOOD, **asked))
    assert (allowed.requested, allowed.reason) == (True, "the clock asks (retraining.schedule 0 3 * * 0)")
    assert "cooldown" in decide(situation(GOOD, history={"last_promoted_at": NOW}, **asked)).reason


def test_a_person_goes_beyond_what_speaks_against_it_only_with_a_reason() -> None:
    against = {"last_trained_at": NOW - DAY, "runs_in_period": 9}
    wanted = situation((Cause.DATA,), history=against, asked=Trigger.MANUAL)
    refused = decide(wanted)
    assert not refused.requested
    assert refused.reason.endswith("start it again with a reason to go beyond that")
    decision = decide(replace(wanted, said="the new airport opened"))
    assert decision.requested
    assert "the new airport opened (although the data of the latest window" in decision.reason
    assert "budget: 9 of 4 runs" in decision.reason
    assert not said(decision, "cooldown")["binding"]
    assert decide(replace(wanted, windows=windows(GOOD), history=RetrainingHistory())).requested, "nothing to go beyond"


def test_nobody_starts_beside_a_running_rollout() -> None:
    wanted = situation(GOOD, asked=Trigger.MANUAL, history={"rollout": "version 4 is being rolled out"})
    assert not decide(replace(wanted, said="at once, please")).requested


def test_a_request_was_judged_when_it_was_made_but_not_for_another_champion_or_broken_data() -> None:
    asked = {"asked": Trigger.REQUEST, "said": "lost", "request": 1}
    assert decide(situation(LOSS, history={"last_requested_at": NOW, "runs_in_period": 4}, **asked)).requested
    assert "version 1, which no longer serves" in decide(situation(LOSS, **{**asked, "champion": 2})).reason
    assert "is broken" in decide(situation((Cause.DATA,), **asked)).reason


def test_what_is_decided_is_plain_json() -> None:
    """A step that is repeated answers from the record: the same, to the last list."""
    detail = decide(situation(LOSS, LOSS, history={"refused": REFUSED})).detail
    assert detail == json.loads(json.dumps(detail))
    assert detail["trigger"] == "windows"


SPAN = st.integers(-40 * 24, 40 * 24).map(lambda hours: timedelta(hours=hours))
INSTANTS = st.none() | SPAN.map(lambda span: NOW + span)
HISTORIES = st.builds(
    RetrainingHistory,
    last_requested_at=INSTANTS,
    last_trained_at=INSTANTS,
    last_promoted_at=INSTANTS,
    runs_in_period=st.integers(0, 6),
    cpu_hours_in_period=st.floats(0, 4),
    dearest_run=st.floats(0, 2),
    rollout=st.none() | st.just("version 2 is being rolled out"),
    open_work=st.none() | st.just("a training run has not ended"),
    refused=st.integers(0, 3).map(lambda count: REFUSED[:count]),
)
JUDGED = st.builds(
    judged,
    SPAN.map(lambda span: NOW + span),
    st.sets(st.sampled_from(list(Cause))).map(sorted),
    data=st.sampled_from(list(Outcome)),
)
SITUATIONS = st.builds(
    Situation,
    st.just("flight_delays"),
    st.builds(
        policy,
        new_labels=st.none() | st.just(50),
        min_new_labels=st.sampled_from([0, 10]),
        budget=st.sampled_from([{"runs": 0, "per": "30d"}, {"runs": 3, "per": "7d", "cpu_hours": 2}]),
    ),
    st.just(NOW),
    st.none() | st.just(1),
    st.lists(JUDGED, max_size=5).map(lambda found: sorted(found, key=lambda each: each.window)),
    HISTORIES,
    st.none() | st.sampled_from([Trigger.SCHEDULE, Trigger.MANUAL]),
    st.sampled_from(["", "because"]),
    st.builds(Labels, st.none() | st.integers(0, 100), st.none() | st.integers(0, 100), st.none() | st.integers(0, 99)),
)


@given(SITUATIONS)
def test_whatever_the_situation_no_policy_is_exceeded_and_every_decision_is_explained(found: Situation) -> None:
    decision = decide(found)
    assert decide(found) == decision
    assert decision.reason
    told = {each["name"]: each for each in decision.detail["safeguards"]}
    assert set(told) >= {rule.name for rule in SAFEGUARDS if rule.name != "same_champion"}
    assert all(each["sentence"] and (each["passed"] or each["advice"]) for each in told.values())
    if not decision.requested:
        return
    history, rules = found.history, found.policy
    assert history.rollout is None
    if decision.trigger is Trigger.MANUAL:
        assert found.said or all(each["passed"] for each in told.values())
        return
    assert history.open_work is None
    assert history.runs_in_period < rules.budget.runs
    assert rules.budget.cpu_hours is None or (
        history.cpu_hours_in_period + history.dearest_run <= rules.budget.cpu_hours
    )
    past = (history.last_requested_at, history.last_trained_at, history.last_promoted_at)
    assert all(at is None or at + rules.cooldown <= NOW for at in past)
    assert len(history.refused) < rules.stop_after_refusals
    assert found.champion is None or (found.latest is not None and Cause.DATA not in found.latest.causes)
    assert not rules.min_new_labels or found.champion is None or (found.labels.since_champion or 0) >= 10


def test_instants_on_record_are_those_of_the_policy() -> None:
    decision = decide(situation(LOSS, LOSS, history={"last_requested_at": NOW}))
    assert said(decision, "cooldown")["ends"] == format_instant(NOW + POLICY.cooldown)
