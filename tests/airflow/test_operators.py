"""Single operators, outside a run: what they read from it, what they park on, what they do when time is up."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.airflow.conftest import ScriptedActions

from steward.approval import RequestState
from steward.errors import ConflictError, NotFoundError, PolicyError, UnavailableError
from steward.types import format_instant

pytestmark = pytest.mark.airflow
NOW = datetime(2013, 4, 1, tzinfo=UTC)


def task(task_id: str, dag: str = "train") -> Any:
    from steward.plan import compile_plan
    from steward.wiring import specs
    from steward_airflow.render import render

    plan = compile_plan(specs().get("flight_delays"))
    return render(getattr(plan, dag)).get_task(task_id)


class FakeTaskInstance:
    """Answers of earlier tasks, and what this one leaves."""

    map_index, id = -1, "0198"

    def __init__(self, **answers: Any) -> None:
        self.answers, self.left = answers, dict[str, Any]()

    def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
        return self.answers.get(task_ids) if key == "return_value" else self.left.get(key)

    def xcom_push(self, key: str, value: Any) -> None:
        self.left[key] = value


def context_of(ti: FakeTaskInstance | None = None, **fields: Any) -> Any:
    run = {"dag_id": "flight_delays__train", "run_id": "r", "run_type": "manual", "data_interval_end": NOW}
    dag_run = SimpleNamespace(**run | {"triggering_user_name": None} | fields.pop("dag_run", {}))
    return {"ti": ti or FakeTaskInstance(), "dag_run": dag_run, "params": {}, **fields}


# --- what a run is asked -------------------------------------------------------------------------


def test_actor_is_the_person_who_triggered_else_the_dag() -> None:
    from steward_airflow.runs import AirflowRun

    assert AirflowRun(context_of(dag_run={"triggering_user_name": "dana"})).actor == "airflow:dana"
    assert AirflowRun(context_of()).actor == "airflow:flight_delays__train"


@pytest.mark.parametrize(
    ("run_type", "given", "as_of"),
    [
        ("manual", "2013-05-01", "2013-05-01"),
        ("manual", None, None),
        ("scheduled", None, "2013-04-01T00:00:00+00:00"),
        ("scheduled", "2013-05-01", "2013-05-01"),
        ("asset_triggered", None, None),
    ],
)
def test_a_scheduled_run_is_as_of_its_own_date(run_type: str, given: str | None, as_of: str | None) -> None:
    from steward_airflow.runs import AirflowRun

    context = context_of(dag_run={"run_type": run_type}, params={"as_of": given})
    assert AirflowRun(context).field("as_of") == as_of


def test_the_reason_of_an_automatic_run_is_that_of_all_its_events() -> None:
    from steward_airflow.runs import AirflowRun

    events = [
        SimpleNamespace(extra={"reason": "auc fell"}, source_run_id="a"),
        SimpleNamespace(extra={"reason": "again"}, source_run_id="b"),
        SimpleNamespace(extra=None, source_run_id="c"),
    ]
    context = context_of(dag_run={"run_type": "asset_triggered"}, triggering_asset_events={"asset": events})
    assert AirflowRun(context).field("reason") == "auc fell; again; asset event of c"
    assert AirflowRun(context_of(params={"reason": "by hand"})).field("reason") == "by hand"
    assert AirflowRun(context_of()).field("reason") == "manual run"


def test_how_a_run_began_is_told_with_the_requests_it_answers() -> None:
    from steward_airflow.runs import AirflowRun

    cited = ({"request": 41}, {"request": 43, "reason": "again"}, {"request": "41"}, {"reason": "by hand"}, None)
    events = [SimpleNamespace(extra=extra, source_run_id="a") for extra in cited]
    asset = context_of(dag_run={"run_type": "asset_triggered"}, triggering_asset_events={"asset": events})
    assert AirflowRun(asset).field("began") == {"trigger": "request", "requests": [41, 43]}
    assert AirflowRun(context_of(dag_run={"run_type": "scheduled"})).field("began") == {"trigger": "schedule"}
    for by_hand in ("manual", "backfill", "operator_triggered"):
        context = context_of(dag_run={"run_type": by_hand}, params={"reason": "new airport"})
        assert AirflowRun(context).field("began") == {"trigger": "manual", "reason": "new airport"}
    assert AirflowRun(context_of()).field("began") == {"trigger": "manual", "reason": ""}


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (UnavailableError("away"), True),
        (ConflictError("changed"), True),
        (PolicyError("no"), False),
        (NotFoundError("gone"), False),
        (ZeroDivisionError("by zero"), True),
    ],
)
def test_only_what_may_pass_by_itself_is_tried_again(actions: ScriptedActions, error: Exception, again: bool) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    actions.answers["take_snapshot"] = error
    context = context_of(params={"window_days": None})
    with pytest.raises(Exception, match=str(error)) as caught:
        task("snapshot").execute(context)
    assert isinstance(caught.value, AirflowFailException) is not again


def test_a_rollback_is_of_the_model_the_form_names(actions: ScriptedActions) -> None:
    actions.answers["roll_back"] = {"from": 7, "to": 6, "epoch": 9}
    form = {"model": "flight_delays", "reason": "wrong answers", "to": 6}
    context = context_of(params=form, dag_run={"triggering_user_name": "oscar"})
    assert portfolio_task("steward__rollback", "roll_back").execute(context) == {"from": 7, "to": 6, "epoch": 9}
    assert actions.called("roll_back") == [{"run": "r", "actor": "airflow:oscar", "reason": "wrong answers", "to": 6}]
    ti = FakeTaskInstance(roll_back={"from": 7, "to": 6, "epoch": 9})
    actions.answers["prove_rollback"] = {"outcome": "PASSED"}
    portfolio_task("steward__rollback", "prove_rollback").execute({**context, "ti": ti})
    assert actions.called("prove_rollback") == [{"run": "r", "actor": "airflow:oscar", "to": 6, "epoch": 9}]


@pytest.mark.parametrize(
    ("dag", "step"), [("steward__rollback", "prove_rollback"), ("steward__rehearse", "rehearse_rollback")]
)
def test_a_way_back_that_is_not_proved_is_red_and_keeps_its_answer(
    actions: ScriptedActions, dag: str, step: str
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    said = {"outcome": "INCONCLUSIVE", "reasons": ["http://one does not say that it follows"]}
    actions.answers[step] = said
    ti = FakeTaskInstance(roll_back={"from": 7, "to": 6, "epoch": 9})
    context = {**context_of(params={"model": "flight_delays", "reason": "wrong answers", "to": 6}), "ti": ti}
    with pytest.raises(AirflowFailException, match="INCONCLUSIVE: http://one does not say"):
        portfolio_task(dag, step).execute(context)
    assert ti.left == {"return_value": said}


@pytest.mark.parametrize("step", ["roll_back", "settle"])
def test_the_way_back_needs_no_sound_spec(actions: ScriptedActions, models_dir: Path, step: str) -> None:
    going_back = task(step) if step == "settle" else portfolio_task("steward__rollback", step)
    (models_dir / "flight_delays" / "model.yaml").write_text("rubbish")
    actions.answers[going_back.action] = {"rolled_back": True, "to": 6}
    context = context_of(params={"model": "flight_delays", "reason": "wrong answers", "to": None})
    assert going_back.execute(context)["to"] == 6


def test_a_portfolio_action_is_told_who_calls_it(actions: ScriptedActions) -> None:
    actions.answers["verify_ledger"] = {"events": 12}
    portfolio_task("steward__audit_inventory", "verify_ledger").execute(
        context_of(dag_run={"dag_id": "steward__audit_inventory"})
    )
    assert actions.called("verify_ledger") == [{"actor": "airflow:steward__audit_inventory"}]


@pytest.mark.parametrize("compact", [None, True])
def test_maintenance_is_told_whether_to_merge(actions: ScriptedActions, compact: bool | None) -> None:
    actions.answers["maintain_log"] = {"models": {}, "compacted": bool(compact)}
    task = portfolio_task("steward__maintain", "maintain_log")
    task.execute(context_of(params={"compact": compact}, dag_run={"dag_id": "steward__maintain"}))
    assert actions.called("maintain_log") == [{"actor": "airflow:steward__maintain", "compact": compact}]


def portfolio_task(dag_id: str, task_id: str) -> Any:
    from steward.plan import portfolio_plans
    from steward_airflow.render import render

    (plan,) = [plan for plan in portfolio_plans(("flight_delays",)) if plan.id == dag_id]
    return render(plan).get_task(task_id)


# --- the canary sensor ---------------------------------------------------------------------------


def test_running_out_of_time_is_a_no_and_not_a_fault(actions: ScriptedActions) -> None:
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    actions.answers["analyse_canary"] = {"outcome": "INCONCLUSIVE", "final": False, "reasons": ["few"], "requests": 1}
    sensor, ti = task("rollout.analyse_50"), FakeTaskInstance(**{"rollout.start": {"rollout": "ro"}})
    sensor.timeout = sensor.poke_interval = 0.01
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        sensor.execute(context_of(ti, task=sensor))
    assert list(skipped.value.tasks) == ["rollout.complete"]
    assert ti.left["return_value"]["outcome"] == "INCONCLUSIVE"
    assert "no verdict in time" in ti.left["return_value"]["reasons"][0]
    assert len(actions.called("analyse_canary")) > 1


def test_a_look_is_a_table_in_the_log() -> None:
    from steward_airflow.sensors import told

    findings = [
        {"gate": "canary.requests", "outcome": "PASSED", "reason": "the canary answered 200 of the 200 requests"},
        {"gate": "canary.error_rate", "outcome": "INCONCLUSIVE", "reason": "error rate is 0.02, too few prove it"},
    ]
    answer = {"outcome": "INCONCLUSIVE", "reasons": ["error rate"], "requests": 200, "findings": findings}
    assert list(told(answer)) == [
        "200 requests: INCONCLUSIVE",
        "  canary.requests    PASSED        the canary answered 200 of the 200 requests",
        "  canary.error_rate  INCONCLUSIVE  error rate is 0.02, too few prove it",
    ]
    assert list(told({"outcome": "PASSED", "reasons": []})) == ["PASSED"]
    assert list(told({"outcome": "FAILED", "reasons": ["gone"], "requests": 0})) == ["0 requests: gone"]


def test_short_bakes_keep_their_slot_and_long_ones_give_it_back() -> None:
    from steward_airflow.sensors import VerdictSensor

    fields: dict[str, Any] = {"action": "analyse_canary", "model": "m", "arguments": {}, "skips": ()}
    wait = timedelta(hours=1)
    modes = [VerdictSensor(task_id="a", poll=timedelta(seconds=s), wait=wait, **fields).mode for s in (6, 30)]
    assert modes == ["poke", "reschedule"]


def test_a_long_wait_outlives_a_service_that_is_away(actions: ScriptedActions) -> None:
    sensor, context = portfolio_task("steward__retire", "await_quiet"), context_of(params={"model": "flight_delays"})
    assert (sensor.mode, sensor.poke_interval, sensor.timeout) == ("reschedule", 300, 365 * 86400)
    waiting = {"outcome": "INCONCLUSIVE", "final": False, "reasons": ["last asked yesterday"]}
    quiet = {"outcome": "PASSED", "final": True, "reasons": []}
    actions.answers["await_quiet"] = [UnavailableError("the database is away"), waiting, quiet]
    assert [bool(sensor.poke(context)) for _ in range(3)] == [False, False, True]


def test_a_retirement_called_off_closes_nothing(actions: ScriptedActions) -> None:
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    called_off = {"outcome": "FAILED", "final": True, "reasons": ["the retirement was called off"]}
    actions.answers["await_consumers"] = called_off
    sensor = portfolio_task("steward__retire", "await_consumers")
    sensor.mode = "poke"  # final at once: nothing to come back for
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        sensor.execute(context_of(params={"model": "flight_delays"}, task=sensor))
    assert set(skipped.value.tasks) == {"await_quiet", "close_endpoint", "archive", "bury"}


def test_the_form_reaches_the_retirement_and_the_reproduction(actions: ScriptedActions) -> None:
    form = {"model": "flight_delays", "reason": "superseded", "replacement": "heir", "quiet": None, "version": 3}
    context = context_of(params=form)
    actions.answers |= {"start_retirement": {"consumers": []}, "reproduce": {"verdict": "bit-exact"}}
    portfolio_task("steward__retire", "start").execute(context)
    (given,) = actions.called("start_retirement")
    assert (given["reason"], given["replacement"], given["quiet"]) == ("superseded", "heir", None)
    portfolio_task("steward__reproduce", "reproduce").execute(context)
    assert actions.called("reproduce")[0]["version"] == 3


# --- waiting for people --------------------------------------------------------------------------


class FakeLedger:
    """One request with its answers, as `wiring.database()` would show it."""

    def __init__(self, state: RequestState = RequestState.OPEN, away: int = 0) -> None:
        self.state, self.away, self.people = state, away, list[SimpleNamespace]()
        self.approvals = self

    def begin(self) -> Any:
        if self.away:
            self.away -= 1
            raise UnavailableError("the database is away")
        return nullcontext(self)

    def get(self, request: str) -> Any:
        return SimpleNamespace(state=self.state)

    def answers(self, request: str) -> list[SimpleNamespace]:
        return self.people


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, actions: ScriptedActions) -> list[dict[str, Any]]:
    """What Airflow was asked to show, on the evidence the ledger has meanwhile."""
    from airflow.providers.standard.operators import hitl

    from steward import wiring

    actions.answers["show_request"] = asked()
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **detail: shown.append(detail))
    monkeypatch.setattr(wiring, "clock", lambda: SimpleNamespace(now=lambda: NOW))
    return shown


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> FakeLedger:
    from steward import wiring

    ledger = FakeLedger()
    monkeypatch.setattr(wiring, "database", lambda: ledger)
    return ledger


def asked(expires_at: datetime = NOW + timedelta(minutes=3), **more: Any) -> dict[str, Any]:
    page = {"subject": "Release 7?", "body": "| auc |", "evidence": "e1"}
    return {"request": "q1", "needed": True, "expires_at": format_instant(expires_at), **page, **more}


def waiting(request: dict[str, Any] | None) -> tuple[Any, Any, FakeTaskInstance]:
    ti, operator = FakeTaskInstance(request_approval=request), task("await_approval")
    return operator, context_of(ti, task=operator, task_instance=ti), ti


def answer(option: str = "Approve", who: str | None = "vera", **more: Any) -> dict[str, Any]:
    user = {"id": "2", "name": who} if who else None
    said = {"chosen_options": [option], "params_input": {"reason": "fine"}, "responded_at": NOW}
    return said | {"responded_by_user": user, "timedout": who is None} | more


def test_it_parks_until_the_request_expires(screen: list[dict[str, Any]], ledger: FakeLedger) -> None:
    from airflow.sdk.exceptions import TaskAwaitingInput

    operator, context, _ = waiting(asked())
    operator.params["reason"] = "the run's own, which Airflow puts here"
    with pytest.raises(TaskAwaitingInput) as parked:
        operator.execute(context)
    assert parked.value.timeout == timedelta(minutes=3)
    (shown,) = screen
    assert (shown["subject"], shown["body"]) == ("Release 7?", "| auc |")
    assert shown["options"] == ["Approve", "Reject"]
    assert shown["defaults"] == ["Reject"]
    assert list(shown["params"]) == ["reason", "evidence"], "the fields of the run's own form do not belong here"
    assert shown["params"]["evidence"]["schema"]["const"] == "e1", "sent along with the answer, never typed"
    assert shown["params"]["reason"]["value"] == ""


def test_a_long_wait_looks_into_the_ledger_now_and_then(screen: list[dict[str, Any]], ledger: FakeLedger) -> None:
    from airflow.sdk.exceptions import TaskAwaitingInput

    from steward_airflow.approval import LOOK_EVERY

    operator, context, _ = waiting(asked(NOW + timedelta(days=3)))
    with pytest.raises(TaskAwaitingInput) as parked:
        operator.execute(context)
    assert parked.value.timeout == LOOK_EVERY
    with pytest.raises(TaskAwaitingInput):
        operator.execute_complete(context, answer(who=None))
    ledger.state = RequestState.APPROVED
    assert operator.execute_complete(context, answer(who=None))["outcome"] == "PASSED"


def test_a_decision_made_elsewhere_needs_no_waiting(screen: list[dict[str, Any]], ledger: FakeLedger) -> None:
    ledger.state, ledger.people = RequestState.APPROVED, [SimpleNamespace(by="vera", reason="fine")]
    operator, context, _ = waiting(asked())
    assert operator.execute(context) == {"outcome": "PASSED", "state": "approved", "by": ["vera"], "reasons": []}
    assert not screen


def test_where_the_policy_asks_nobody_nobody_is_asked(screen: list[dict[str, Any]], ledger: FakeLedger) -> None:
    operator, context, _ = waiting(asked(request=None, needed=False))
    assert operator.execute(context)["outcome"] == "PASSED"
    assert not screen


def test_a_refused_answer_parks_again_and_is_shown(
    screen: list[dict[str, Any]], ledger: FakeLedger, actions: ScriptedActions
) -> None:
    from airflow.sdk.exceptions import TaskAwaitingInput

    refusal = {"state": "open", "counted": False, "message": "the author may not approve"}
    actions.answers["answer_approval"] = [refusal, ConflictError("dana has answered")]
    operator, context, ti = waiting(asked())
    for message in ("the author may not approve", "dana has answered"):
        with pytest.raises(TaskAwaitingInput):
            operator.execute_complete(context, answer(who="dana"))
        assert ti.left["last_answer"]["message"] == message
    assert len(screen) == 2, "storing the detail again is what clears the refused answer"


def test_an_answer_without_the_form_is_taken_as_it_is(ledger: FakeLedger, actions: ScriptedActions) -> None:
    """Airflow does not enforce its form; whether a reason is needed is the policy's question."""
    ledger.state = RequestState.APPROVED
    actions.answers["answer_approval"] = {"state": "approved", "counted": True, "message": "ok"}
    operator, context, _ = waiting(asked())
    operator.execute_complete(context, answer(params_input=None))
    assert actions.called("answer_approval")[0]["reason"] == ""


def test_evidence_that_came_meanwhile_is_shown_and_an_answer_is_to_what_was_shown(
    screen: list[dict[str, Any]], ledger: FakeLedger, actions: ScriptedActions
) -> None:
    """Parked on e1, a document makes it e2: the page follows at the next look; an open browser still says e1."""
    from airflow.sdk.exceptions import TaskAwaitingInput

    actions.answers["show_request"] = [asked(), *[asked(evidence="e2", body="| auc | report |")] * 4]
    actions.answers["answer_approval"] = {"state": "open", "counted": False, "message": "on other evidence"}
    operator, context, _ = waiting(asked(NOW + timedelta(days=3)))
    with pytest.raises(TaskAwaitingInput):
        operator.execute(context)
    for given in ({"reason": "fine"}, {"reason": "fine"}, {"reason": "fine", "evidence": "e1"}):
        with pytest.raises(TaskAwaitingInput):
            operator.execute_complete(context, answer(params_input=given))
    assert [call["evidence"] for call in actions.called("answer_approval")] == ["e1", "e2", "e1"]
    assert [detail["body"] for detail in screen] == ["| auc |", *["| auc | report |"] * 3]
    assert screen[-1]["params"]["evidence"]["value"] == "e2"


def test_an_answer_survives_a_database_that_is_away(
    screen: list[dict[str, Any]], ledger: FakeLedger, actions: ScriptedActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import TaskAwaitingInput

    from steward_airflow import approval

    monkeypatch.setattr(approval, "PAUSE_SECONDS", 0)
    actions.answers["answer_approval"] = UnavailableError("the database is away")
    operator, context, _ = waiting(asked())
    with pytest.raises(TaskAwaitingInput) as parked:
        operator.execute_complete(context, answer())
    assert parked.value.method_name == "execute_complete"
    assert not screen, "asking anew would clear the answer on Airflow's record"


def test_no_answer_in_time_is_recorded_as_a_no(
    screen: list[dict[str, Any]], ledger: FakeLedger, actions: ScriptedActions
) -> None:
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    def expire(**_: Any) -> dict[str, Any]:
        ledger.state = RequestState.EXPIRED
        return {"state": "expired"}

    actions.answers["expire_approval"] = expire
    operator, context, ti = waiting(asked(NOW))
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        operator.execute_complete(context, answer("Reject", who=None))
    assert "rollout.complete" in skipped.value.tasks
    assert {"settle", "close"}.isdisjoint(skipped.value.tasks)
    assert ti.left["return_value"]["outcome"] == "FAILED"
    assert actions.called("expire_approval") == [{"request": "q1", "actor": "airflow:flight_delays__train"}]


# --- links ---------------------------------------------------------------------------------------


def test_links_lead_to_what_the_task_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from steward import wiring

    settings = wiring.settings().model_copy(update={"mlflow_url": "http://mlflow:5000/"})
    monkeypatch.setattr(wiring, "settings", lambda: settings)
    report, train, start = task("write_report", "monitor"), task("train"), task("rollout.start")
    report.answer, train.answer = {"report": "flight_delays/a.html"}, {"run_id": "r1"}
    assert [link_of(t) for t in (report, train, start)] == [
        "/steward/reports/flight_delays/a.html",
        "http://mlflow:5000/#/runs/r1",
        "http://127.0.0.1:8000/v2/models/flight_delays",
    ]
    assert link_of(task("train")) == "", "a task that failed has made nothing"


def link_of(operator: Any) -> str:
    (link,) = operator.operator_extra_links
    return link.get_link(operator, ti_key=None)
