"""A training is asked for, let in or declined on the record: every time one event, with all that was looked at."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from steward import actions
from steward.errors import ConflictError, PolicyError, RequestError
from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.ledger import AuditEvent
from steward.monitoring.tallies import DayTally, Moments, OutcomeTally, Tally
from steward.monitoring.windows import Cause, JudgedWindow
from steward.types import JsonObject, Window

DAY = timedelta(days=1)
PASSED_DATA = Finding("data.range:x", Outcome.PASSED, "in range")
LOST = Finding("performance.roc_auc", Outcome.FAILED, "AUC fell by 0.2", 0.2, 0.05)
BROKEN = Finding("data.missing:x", Outcome.FAILED, "x is missing")


@pytest.fixture
def served(life: Any) -> Any:
    """A first version serves since five days, outside of every cooldown."""
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    life.do("close_run", trained["run"])
    life.clock.advance(5 * DAY)
    return life


def judge(life: Any, *findings: Finding, ends: timedelta = timedelta(0)) -> str:
    """Record a window of the champion that ended `ends` ago, as a monitor run does. → its evidence"""
    verdict = Verdict.of([PASSED_DATA, *findings])
    causes = tuple(cause for cause in Cause if any(f.gate.startswith(f"{cause}.") for f in verdict.failed()))
    window = Window.ending(life.clock.now() - ends, 7 * DAY)
    body = {"version": life.champion(), "window": window.to_json(), "verdict": verdict.to_json(), "causes": causes}
    outcomes = {Cause.DATA: Outcome.PASSED, **dict.fromkeys(causes, Outcome.FAILED)}
    with life.services.database.begin() as tx:
        digest = tx.evidence.put(Evidence("window", "toy", body))
        now = life.clock.now()
        champion = life_champion(tx)
        tx.windows.record(JudgedWindow("toy", champion, window, verdict.outcome, causes, digest, now, outcomes))
    return digest


def life_champion(tx: Any) -> int:
    return int(tx.versions.champion("toy").number)


def ask(life: Any, *findings: Finding, night: str = "night") -> JsonObject:
    answer: JsonObject = life.do("decide_retraining", night, evidence=judge(life, *findings))
    return answer


def admit(life: Any, run: str, trigger: str, **more: Any) -> JsonObject:
    answer: JsonObject = life.do("admit_training", run, "airflow:toy__train", began={"trigger": trigger, **more})
    return answer


def last(life: Any, kind: str) -> AuditEvent:
    event: AuditEvent = life.events(kind)[-1]
    return event


def names(event: AuditEvent) -> dict[str, bool]:
    return {each["name"]: each["passed"] for each in event.body["detail"]["safeguards"]}


def test_a_request_lets_one_run_in_and_only_one(served: Any) -> None:
    asked = ask(served, LOST)
    assert asked["requested"]
    requested = last(served, "retraining.requested")
    assert (asked["request"], requested.body["trigger"]) == (requested.seq, "windows")
    assert all(names(requested).values())
    admitted = admit(served, "r1", "request", requests=[asked["request"]])
    assert admitted["admitted"]
    assert admitted["reason"].startswith("asked for earlier: performance was lost in 1 of the last 1 windows")
    assert last(served, "retraining.admitted").body["requests"] == [asked["request"]]
    again = admit(served, "r2", "request", requests=[asked["request"]])
    assert not again["admitted"]
    assert again["reasons"] == [
        f"declined: the request (event {asked['request']}) was answered before, by run r1: it starts one training, "
        "not two"
    ]
    assert admit(served, "r1", "request", requests=[asked["request"]]) == admitted, "a step that is repeated"
    assert len(served.events("retraining.admitted")) == len(served.events("retraining.declined")) == 1


@pytest.mark.parametrize("cited", [[], [1], [10_000]])
def test_an_asset_event_that_no_request_stands_behind_starts_nothing(served: Any, cited: list[int]) -> None:
    """Whoever may emit events in Airflow can send one."""
    refused = admit(served, "r1", "request", requests=cited)
    assert not refused["admitted"]
    assert "no request on record" in refused["reason"]


@pytest.mark.parametrize("trigger", ["request", "schedule", "manual"])
def test_a_run_that_had_begun_before_runs_were_let_in_goes_on(served: Any, trigger: str) -> None:
    """Airflow adds the new first step to a run of the release before, which may wait for people since days."""
    trained = served.train()
    served.ask(trained)
    let_in = admit(served, trained["run"], trigger)
    assert let_in["admitted"]
    assert "had begun" in let_in["reason"]
    refused = admit(served, "another", "schedule")
    assert "waits for approval" in refused["reason"]


def test_a_request_whose_event_comes_late_is_not_followed_beyond_the_policy(served: Any) -> None:
    """It counts as open no more: another was made in its place, and its own share of the budget has lapsed."""
    late = ask(served, LOST)["request"]
    served.clock.advance(4 * DAY)
    newer = ask(served, LOST, night="later")["request"]
    assert admit(served, "r1", "request", requests=[newer])["admitted"]
    served.do("close_run", "r1")
    refused = admit(served, "r2", "request", requests=[late])
    assert f"the request (event {late}) is of 2013-06-06" in refused["reason"]
    assert last(served, "retraining.declined").body["requests"] == [late]


def test_requests_that_coalesced_are_answered_by_one_run(served: Any) -> None:
    first = ask(served, LOST)["request"]
    served.clock.advance(4 * DAY)
    second = ask(served, LOST, night="later")["request"]
    assert admit(served, "r1", "request", requests=[first, second])["requests"] == [first, second]
    assert not admit(served, "r2", "request", requests=[first])["admitted"]


def test_a_request_is_not_followed_when_the_data_broke_or_the_champion_changed_meanwhile(served: Any) -> None:
    asked = ask(served, LOST)["request"]
    served.clock.advance(DAY)
    judge(served, BROKEN)
    assert "is broken" in admit(served, "r1", "request", requests=[asked])["reason"]
    served.clock.advance(5 * DAY)
    asked = ask(served, LOST, night="later")["request"]
    trained = served.train()
    served.approve(trained)
    served.release(trained)
    judge(served)
    assert "version 1, which no longer serves" in admit(served, "r9", "request", requests=[asked])["reason"]


def test_one_request_at_a_time_and_the_cooldown_after_it(served: Any) -> None:
    asked = ask(served, LOST)["request"]
    twice = ask(served, LOST, night="again")
    assert "has not been answered by a run" in twice["reason"]
    admit(served, "r1", "request", requests=[asked])
    assert "a training run began" in ask(served, LOST, night="third")["reason"]
    served.do("close_run", "r1")
    assert ask(served, LOST, night="fourth")["reason"].startswith("cooldown: the last request was at")
    served.clock.advance(3 * DAY)
    assert ask(served, LOST, night="fifth")["requested"]


def test_the_same_decision_asked_twice_is_one_event(served: Any) -> None:
    digest = judge(served, LOST)
    decisions = [served.do("decide_retraining", "night", evidence=digest) for _ in range(3)]
    assert decisions[0] == decisions[1] == decisions[2]
    assert len(served.events("retraining.requested")) == 1


def test_the_clock_asks_the_controller_and_a_no_is_on_record(served: Any) -> None:
    judge(served)
    assert admit(served, "r1", "schedule")["admitted"]
    served.do("close_run", "r1")
    declined = admit(served, "r2", "schedule")
    assert declined["reasons"][0].startswith("declined: cooldown: the last request was at")
    event = last(served, "retraining.declined")
    assert event.body["trigger"] == "schedule"
    assert [name for name, passed in names(event).items() if not passed] == ["cooldown"]
    served.do("close_run", "r2")
    closed = last(served, "run.closed")
    assert closed.reason.startswith("ended after retraining.declined: cooldown")
    assert closed.version is None


def test_runs_of_the_clock_count_against_the_budget(served: Any) -> None:
    for run in ("r1", "r2", "r3"):
        judge(served)
        answer = admit(served, run, "schedule")
        served.do("close_run", run)
        served.clock.advance(4 * DAY)
    assert not answer["admitted"]
    assert "budget: 2 of 2 runs within 30d are used" in answer["reason"]


def test_a_person_may_go_beyond_with_a_reason_and_the_record_says_so(served: Any) -> None:
    asked = ask(served, LOST)["request"]
    admit(served, "r1", "request", requests=[asked])
    served.do("close_run", "r1")
    bare = admit(served, "m1", "manual", reason="")
    assert not bare["admitted"]
    assert bare["reason"].endswith("start it again with a reason to go beyond that")
    admitted = served.do("admit_training", "m2", "airflow:dana", began={"trigger": "manual", "reason": "new airport"})
    assert admitted["admitted"]
    event = last(served, "retraining.admitted")
    assert (event.actor, event.body["trigger"]) == ("airflow:dana", "manual")
    assert event.reason.startswith("asked for by hand: new airport (although cooldown: the last request")
    assert not names(event)["cooldown"]


def test_nobody_trains_beside_a_running_rollout(served: Any) -> None:
    trained = served.train()
    served.approve(trained)
    served.do("start_rollout", trained["run"], version=2)
    judge(served)
    assert "version 2 is being rolled out" in admit(served, "m1", "manual", reason="at once")["reason"]


def test_the_first_training_is_let_in_by_the_clock(life: Any) -> None:
    assert admit(life, "r1", "schedule")["admitted"]


def refuse(life: Any, count: int) -> None:
    """Candidates that learn nothing, four days apart, as runs that began by themselves."""
    for _ in range(count):
        life.clock.advance(4 * DAY)
        trained = life.train({"C": 0})
        assert not trained["proceed"]
        life.do("close_run", trained["run"])


def test_refused_candidates_stop_retraining_until_a_person_lets_it_go_on(served: Any) -> None:
    served.spec = served.spec.model_copy(
        update={"retraining": served.spec.retraining.model_copy(update={"stop_after_refusals": 2})}
    )
    with pytest.raises(ConflictError, match="nothing to let go on"):
        actions.allow_retraining(served.services, model="toy", by="ravi", via="test", reason="just in case")
    refuse(served, 2)
    served.clock.advance(4 * DAY)
    stopped = ask(served, LOST)
    assert "stopped: 2 in a row refused since the last promotion (toy@2, toy@3)" in stopped["reason"]
    (breaker,) = [s for s in stopped["detail"]["safeguards"] if s["name"] == "breaker"]
    assert "steward retrain allow toy --reason" in breaker["advice"]
    with pytest.raises(RequestError):
        actions.allow_retraining(served.services, model="toy", by="ravi", via="test", reason=" ")
    for nobody in ("sam", "stranger"):
        with pytest.raises(PolicyError, match="approver"):
            actions.allow_retraining(served.services, model="toy", by=nobody, via="test", reason="please")
    allowed = actions.allow_retraining(served.services, model="toy", by="ravi", via="test", reason="labels were late")
    assert allowed["refused"] == [2, 3]
    event = last(served, "retraining.allowed")
    assert (event.actor, event.reason, event.body["refused"]) == ("person:ravi", "labels were late", [2, 3])
    assert ask(served, LOST, night="after")["requested"]


def test_the_owner_may_let_retraining_go_on(served: Any) -> None:
    refuse(served, 1)
    allowed = actions.allow_retraining(served.services, model="toy", by="olga", via="test", reason="labels were late")
    assert allowed["refused"] == [2]


def test_what_a_person_tried_does_not_stop_what_runs_by_itself(served: Any) -> None:
    admit(served, f"run{served.runs + 1}", "manual", reason="a tiny model")
    refuse(served, 1)
    served.clock.advance(4 * DAY)
    (breaker,) = [s for s in ask(served, LOST)["detail"]["safeguards"] if s["name"] == "breaker"]
    assert breaker["refused"] == []


def count_outcomes(life: Any, rows: int, *, ago: timedelta = DAY) -> None:
    tally = Tally("p" * 64, outcomes={"overall": OutcomeTally(rows, Moments(rows, 0.0, 0.0, 0.0, 1.0))})
    now = life.clock.now()
    with life.services.database.begin() as tx:
        tx.tallies.record(DayTally("toy", 1, (now - ago).date(), tally, now))


def with_policy(life: Any, **changes: Any) -> None:
    life.spec = life.spec.model_copy(update={"retraining": life.spec.retraining.model_copy(update=changes)})


def test_new_outcomes_are_counted_from_the_days_since_the_champions_training(served: Any) -> None:
    with_policy(served, new_labels=500)
    count_outcomes(served, 300)
    count_outcomes(served, 1000, ago=30 * DAY)
    assert not ask(served)["requested"]
    count_outcomes(served, 200, ago=2 * DAY)
    decision = ask(served, night="later")
    assert decision["requested"]
    assert decision["reason"] == "500 outcomes came that version 1 was not trained on, 500 are reason enough"


def test_a_loss_beyond_one_windows_patience_is_read_from_its_evidence(served: Any) -> None:
    rules = {"roc_auc": {"max_drop": 0.15}}
    served.spec = type(served.spec).model_validate(
        {
            **served.spec.model_dump(mode="json", exclude_none=True),
            "retraining": {"when": {"failed_windows": 2, "of": 3}, "at_once": rules},
        }
    )
    decision = ask(served, LOST)
    assert decision["requested"], decision["reason"]
    assert decision["reason"] == "one window is enough: AUC fell by 0.2"


def test_a_candidate_that_was_no_better_on_the_same_rows_is_remembered(served: Any) -> None:
    """It learned from a week that was lost already; the diagnosis cites its event and both values."""
    judge(served, LOST, ends=DAY)
    served.clock.advance(8 * DAY)
    refuse(served, 1)
    served.clock.advance(4 * DAY)
    decision = ask(served, LOST)
    assert not decision["requested"]
    assert decision["reason"].startswith("retraining will not help: version 2 learned from rows of")
    (found,) = [s for s in decision["detail"]["safeguards"] if s["name"] == "may_help"]
    (diagnosis,) = found["diagnoses"]
    own, beside = diagnosis["evidence"]["compared"]["roc_auc"]
    assert own == 0.5
    assert beside > 0.7
    assert diagnosis["evidence"]["events"] == [last(served, "version.rejected").seq]


def test_a_feature_that_went_missing_is_weighed_by_its_importance(served: Any) -> None:
    gone = Finding("drift.trend_missing:x", Outcome.FAILED, "x is missing more every day", 0.5, 0.1)
    decision = ask(served, LOST, gone)
    assert not decision["requested"]
    assert "the loss comes with values that went missing: x (100% of what the features matter)" in decision["reason"]
