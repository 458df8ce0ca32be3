"""Whole runs by Airflow's own rules (`dag.test()`), the actions scripted: what runs, what is skipped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.airflow.conftest import ScriptedActions

from steward.errors import DataError, UnavailableError
from steward.types import format_instant

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_db")]

TRAIN, MONITOR = "flight_delays__train", "flight_delays__monitor"
PASSED = {"outcome": "PASSED", "reasons": []}
TRAINING: dict[str, Any] = {
    "admit_training": PASSED | {"admitted": True, "trigger": "manual", "requests": []},
    "take_snapshot": {"snapshot": "s1", "rows": 5000},
    "validate_data": PASSED | {"validation": "v1"},
    "train": {"training": "t1", "run_id": "r1"},
    "evaluate": PASSED | {"evaluation": "e1", "report": None},
    "register": PASSED | {"version": 7},
    "start_rollout": PASSED | {"rollout": "ro", "steps": [5, 25, 50, 100], "first": False},
    "shift_traffic": {"percent": 5, "epoch": 1},
    "analyse_canary": PASSED | {"final": True, "requests": 200},
    "complete_rollout": {"version": 7, "replaced": 6},
    "settle_rollout": {"rolled_back": False, "to": None, "seconds": None},
    "write_governance_reports": {"reports": ["flight_delays/card-v7.html"]},
    "close_run": {"summary": "done"},
}
JUDGED = {
    "outcome": "FAILED",
    "causes": ["performance"],
    "evidence": "w1",
    "version": 7,
    "window": {},
    "reasons": ["auc"],
}
ROLLOUT = [
    f"rollout.{name}"
    for name in ("start", *(f"{do}_{p}" for p in (5, 25, 50) for do in ("shift", "analyse")), "complete")
]


class Desk:
    """The request, its answers and the people who come by: what the ledger would hold."""

    def __init__(self) -> None:
        self.state = "open"
        self.people: list[tuple[str, str, str] | None] = []
        self.parked = 0

    def asked(self, **_: Any) -> dict[str, Any]:
        expires_at = format_instant(datetime.now(UTC) + timedelta(hours=1))
        return {
            "request": "q1",
            "needed": True,
            "subject": "?",
            "body": "",
            "evidence": "e1",
            "expires_at": expires_at,
        }

    def answer(self, *, by: str, approved: bool, **_: Any) -> dict[str, Any]:
        if by == "dana":
            return {"state": self.state, "counted": False, "message": "the author may not approve"}
        self.state = "approved" if approved else "rejected"
        return {"state": self.state, "counted": True, "message": "counted"}

    def expire(self, **_: Any) -> dict[str, Any]:
        self.state = "expired"
        return {"state": self.state}

    def decision(self, request: str) -> dict[str, Any] | None:
        assert request == "q1"
        if self.state == "open":
            return None
        return {
            "outcome": "PASSED" if self.state == "approved" else "FAILED",
            "state": self.state,
            "reasons": [self.state],
        }


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, actions: ScriptedActions) -> Desk:
    """Answers at once whatever the task asks when it parks: `dag.test()` itself would wait for ever."""
    from airflow.providers.standard.operators.hitl import HITLOperator

    from steward_airflow.approval_request import ApprovalRequest

    desk = Desk()
    actions.answers |= TRAINING | {
        "request_approval": desk.asked,
        "show_request": desk.asked,
        "answer_approval": desk.answer,
        "expire_approval": desk.expire,
    }

    def execute(self: Any, context: Any) -> Any:
        desk.parked += 1
        person = desk.people.pop(0)
        event = {"chosen_options": ["Reject"], "params_input": {}, "responded_at": datetime.now(UTC)}
        if person is None:
            return self.execute_complete(context, event | {"responded_by_user": None, "timedout": True})
        by, option, reason = person
        event |= {"chosen_options": [option], "params_input": {"reason": reason}}
        return self.execute_complete(context, event | {"responded_by_user": {"id": by, "name": by}, "timedout": False})

    monkeypatch.setattr(HITLOperator, "execute", execute)
    monkeypatch.setattr(ApprovalRequest, "decision", lambda request: desk.decision(request.id))
    return desk


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, dict[str, str]]]:
    """Run one of the fixed model's DAGs. → (state of the run, state by task)"""

    def one(dag_id: str, **conf: Any) -> tuple[str, dict[str, str]]:
        from steward_airflow.loading import model_dags

        dag = next(dag for dag in model_dags("flight_delays") if dag.dag_id == dag_id)
        for task in dag.tasks:
            task.retry_delay = timedelta(0)
        done = dag.test(run_conf=conf)
        return str(done.state), {ti.task_id: str(ti.state) for ti in done.get_task_instances()}

    return one


def states(tasks: dict[str, str], state: str) -> set[str]:
    return {task for task, found in tasks.items() if found == state}


def test_an_approved_candidate_is_released(desk: Desk, actions: ScriptedActions, run: Any) -> None:
    desk.people = [("vera", "Approve", "fine by me")]
    state, tasks = run(TRAIN, as_of="2013-04-01", params={"max_iter": 50}, reason="trying")
    assert state == "success"
    assert states(tasks, "skipped") == {"settle"}
    assert set(tasks) - {"settle"} == states(tasks, "success")
    assert actions.called("take_snapshot")[0] | {"run": ""} == {
        "run": "",
        "actor": "airflow:dag_test",
        "as_of": "2013-04-01",
        "window_days": None,
        "reason": "trying",
    }
    assert actions.called("train")[0]["params"] == {"max_iter": 50}
    door = actions.called("request_approval")[0]["door"]
    assert door["dag_id"] == TRAIN
    assert door["task_id"] == "await_approval"
    answered = actions.called("answer_approval")[0]
    assert answered == {
        "request": "q1",
        "evidence": "e1",
        "via": "airflow",
        "by": "vera",
        "approved": True,
        "reason": "fine by me",
    }
    assert [c["percent"] for c in actions.called("shift_traffic")] == [5, 25, 50]


@pytest.mark.parametrize("refusal", [{"proceed": False}, {"outcome": "INCONCLUSIVE"}, {"outcome": "FAILED"}])
def test_a_refused_candidate_ends_green_with_the_rest_skipped(
    desk: Desk, actions: ScriptedActions, run: Any, refusal: dict[str, Any]
) -> None:
    actions.answers["register"] = {"version": 7, "outcome": "PASSED", "reasons": ["auc is 0.5"]} | refusal
    state, tasks = run(TRAIN)
    assert state == "success"
    assert states(tasks, "skipped") == {"request_approval", "await_approval", *ROLLOUT, "settle", "publish"}
    assert tasks["register"] == tasks["close"] == "success"


def test_a_run_that_is_not_let_in_ends_green_with_everything_skipped(
    desk: Desk, actions: ScriptedActions, run: Any
) -> None:
    actions.answers["admit_training"] = {"admitted": False, "outcome": "FAILED", "reasons": ["declined: cooldown"]}
    state, tasks = run(TRAIN, reason="again")
    assert state == "success"
    assert states(tasks, "success") == {"admit", "close"}
    assert set(tasks) - {"admit", "close"} == states(tasks, "skipped")
    assert actions.called("admit_training")[0]["began"] == {"trigger": "manual", "reason": "again"}
    assert not actions.called("take_snapshot")


def test_an_inconclusive_candidate_goes_on_when_the_tier_says_so(
    desk: Desk, actions: ScriptedActions, run: Any
) -> None:
    desk.people = [("vera", "Approve", "few rows, but fine")]
    actions.answers["register"] = {
        "version": 7,
        "outcome": "INCONCLUSIVE",
        "proceed": True,
        "reasons": ["few rows"],
    }
    state, tasks = run(TRAIN)
    assert (state, tasks["rollout.complete"]) == ("success", "success")


def test_a_fault_ends_red_but_settles(desk: Desk, actions: ScriptedActions, run: Any) -> None:
    desk.people = [("vera", "Approve", "fine")]
    actions.answers["shift_traffic"] = DataError("boom")
    actions.answers["settle_rollout"] = {"rolled_back": True, "to": 6, "seconds": 0.1}
    state, tasks = run(TRAIN)
    assert state == "failed"
    assert tasks["rollout.shift_5"] == "failed"
    assert tasks["settle"] == "success"
    assert tasks["close"] == "upstream_failed"
    assert len(actions.called("shift_traffic")) == 1, "an error that cannot pass by itself is not tried again"


def test_a_service_that_is_away_is_tried_again(desk: Desk, actions: ScriptedActions, run: Any) -> None:
    desk.people = [("vera", "Approve", "fine")]
    actions.answers["take_snapshot"] = [UnavailableError("away"), TRAINING["take_snapshot"]]
    state, tasks = run(TRAIN)
    assert (state, tasks["snapshot"]) == ("success", "success")
    assert len(actions.called("take_snapshot")) == 2


def test_a_failed_canary_is_rolled_back_and_the_run_is_green(desk: Desk, actions: ScriptedActions, run: Any) -> None:
    desk.people = [("vera", "Approve", "fine")]
    passed, failed = (
        TRAINING["analyse_canary"],
        {"outcome": "FAILED", "final": True, "requests": 9, "reasons": ["slow"]},
    )
    actions.answers["analyse_canary"] = [passed, failed]
    actions.answers["settle_rollout"] = {"rolled_back": True, "to": 6, "seconds": 0.1}
    state, tasks = run(TRAIN)
    assert state == "success"
    assert states(tasks, "skipped") == {"rollout.shift_50", "rollout.analyse_50", "rollout.complete", "publish"}
    assert tasks["settle"] == tasks["close"] == "success"
    assert actions.called("settle_rollout")[0]["reason"] == "slow"


def test_a_rejected_candidate_is_not_released(desk: Desk, actions: ScriptedActions, run: Any) -> None:
    desk.people = [("vera", "Reject", "no")]
    state, tasks = run(TRAIN)
    assert state == "success"
    assert states(tasks, "skipped") == {*ROLLOUT, "settle", "publish"}
    assert not actions.called("start_rollout")


def test_no_answer_is_a_no(desk: Desk, actions: ScriptedActions, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from steward_airflow.approval_request import ApprovalRequest

    desk.people = [None]
    monkeypatch.setattr(ApprovalRequest, "remaining", timedelta(0))
    _, tasks = run(TRAIN)
    assert states(tasks, "skipped") == {*ROLLOUT, "settle", "publish"}
    assert desk.state == "expired"
    assert not actions.called("answer_approval")


def test_the_author_is_refused_and_the_task_parks_again(desk: Desk, run: Any) -> None:
    desk.people = [("dana", "Approve", "mine"), None, ("vera", "Approve", "fine")]
    state, tasks = run(TRAIN)
    assert (state, tasks["rollout.complete"]) == ("success", "success")
    assert desk.parked == 3


def test_an_approval_marked_by_hand_asks_nobody_and_fails(desk: Desk, actions: ScriptedActions, run: Any) -> None:
    actions.answers["request_approval"] = None
    state, tasks = run(TRAIN)
    assert (state, tasks["await_approval"]) == ("failed", "failed")
    assert not actions.called("start_rollout")


@pytest.fixture
def monitoring(actions: ScriptedActions) -> ScriptedActions:
    actions.answers |= {
        "judge_window": JUDGED,
        "open_incident": {"incidents": ["i1"], "passing": [], "resolved": []},
        "heal_window": {"rolled_back": False, "left": [], "reasons": ["nothing failed"]},
        "write_report": {"report": "flight_delays/2013-04-08-v7.html"},
        "decide_retraining": {"requested": False, "reason": "cooling down", "request": None, "detail": {}},
    }
    return actions


def retraining_events() -> list[dict[str, Any]]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    with create_session() as session:
        return [e.extra for e in session.query(AssetEvent).order_by(AssetEvent.id)]


def test_a_failed_window_opens_an_incident_and_writes_a_report(monitoring: ScriptedActions, run: Any) -> None:
    before = len(retraining_events())
    state, tasks = run(MONITOR, as_of="2013-04-08")
    assert state == "success"
    assert states(tasks, "success") == {"judge_window", "open_incident", "write_report"}
    assert len(monitoring.called("decide_retraining")) == 1, "a no is a decision too"
    assert len(retraining_events()) == before, "a no emits nothing"


def test_a_request_emits_the_asset_that_starts_training(monitoring: ScriptedActions, run: Any) -> None:
    before = len(retraining_events())
    monitoring.answers["decide_retraining"] = {
        "requested": True,
        "reason": "2 of 3 failed",
        "request": 41,
        "detail": {"n": 2},
    }
    state, tasks = run(MONITOR)
    assert (state, tasks["request_retraining"]) == ("success", "success")
    (extra,) = retraining_events()[before:]
    assert extra["reason"] == "2 of 3 failed"
    assert extra["detail"] == {"n": 2}
    assert extra["request"] == 41
    assert extra["window"]["evidence"] == "w1"
    assert extra["run"].startswith("manual__")


def test_a_good_window_calls_for_nothing(monitoring: ScriptedActions, run: Any) -> None:
    monitoring.answers["open_incident"] = {"incidents": [], "passing": [], "resolved": []}
    monitoring.answers["write_report"] = {"report": None, "reason": "the last one is not a week old"}
    state, tasks = run(MONITOR)
    assert state == "success"
    assert states(tasks, "skipped") == {"open_incident", "heal_window", "write_report", "request_retraining"}


def test_a_report_is_drawn_of_a_good_window_too_when_asked_for(monitoring: ScriptedActions, run: Any) -> None:
    monitoring.answers["open_incident"] = {"incidents": [], "passing": [], "resolved": []}
    _, tasks = run(MONITOR, report=True)
    assert (tasks["open_incident"], tasks["write_report"]) == ("skipped", "success")
    (asked,) = monitoring.called("write_report")
    assert asked["asked"] is True


def test_nothing_served_means_nothing_to_do(monitoring: ScriptedActions, run: Any) -> None:
    monitoring.answers["judge_window"] = JUDGED | {"version": None, "outcome": "INCONCLUSIVE"}
    state, tasks = run(MONITOR)
    assert state == "success"
    assert states(tasks, "success") == {"judge_window"}
    assert not monitoring.called("decide_retraining")
