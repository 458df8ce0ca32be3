"""Whole runs of the retirement by Airflow's own rules, the actions scripted; and the monitor of a retired model."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.airflow.conftest import ScriptedActions

from steward.errors import PolicyError

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_db")]

PASSED = {"outcome": "PASSED", "final": True, "reasons": []}
FORM = {"model": "flight_delays", "reason": "superseded", "replacement": None, "quiet": None, "accept_missing": False}
LAST = {"close_endpoint", "archive", "bury"}


@pytest.fixture
def retiring(actions: ScriptedActions) -> ScriptedActions:
    actions.answers |= {
        "start_retirement": {"consumers": ["desk"]},
        "await_consumers": PASSED,
        "await_quiet": PASSED,
        "close_endpoint": {"version": 7},
        "archive_model": {"archive": "/archive/flight_delays"},
        "bury": {"versions": [7]},
    }
    return actions


def run(plan_id: str, **conf: Any) -> tuple[str, dict[str, str]]:
    from steward.plan import portfolio_plans
    from steward_airflow.render import render

    (plan,) = [plan for plan in portfolio_plans(("flight_delays",)) if plan.id == plan_id]
    dag = render(plan)
    for task in dag.tasks:
        task.retry_delay = timedelta(0)
        task.mode = "poke"  # a test does not come back in five minutes
    done = dag.test(run_conf=conf)
    return str(done.state), {ti.task_id: str(ti.state) for ti in done.get_task_instances()}


def test_a_retirement_goes_through_every_step(retiring: ScriptedActions) -> None:
    state, tasks = run("steward__retire", **FORM)
    assert (state, set(tasks.values())) == ("success", {"success"})
    assert retiring.called("archive_model")[0]["accept_missing"] is False
    called = [name for name, _ in retiring.calls]
    assert called == ["start_retirement", "await_consumers", "await_quiet", "close_endpoint", "archive_model", "bury"]


def test_called_off_while_it_waits_it_ends_green_and_closes_nothing(retiring: ScriptedActions) -> None:
    retiring.answers["await_quiet"] = {"outcome": "FAILED", "final": True, "reasons": ["the retirement was called off"]}
    state, tasks = run("steward__retire", **FORM)
    assert state == "success"
    assert {name for name, found in tasks.items() if found == "skipped"} == LAST


def test_a_refused_start_is_red_and_nothing_follows(retiring: ScriptedActions) -> None:
    retiring.answers["start_retirement"] = PolicyError("flight_delays is upstream of refunds")
    state, tasks = run("steward__retire", **FORM)
    assert state == "failed"
    assert (tasks["start"], tasks["bury"]) == ("failed", "upstream_failed")


def test_a_form_without_a_reason_is_refused(retiring: ScriptedActions) -> None:
    with pytest.raises(Exception, match="reason"):
        run("steward__retire", model="flight_delays", reason="")
    assert not retiring.calls


def test_a_version_that_is_not_reproducible_is_a_result_and_no_fault(actions: ScriptedActions) -> None:
    actions.answers["reproduce"] = {"verdict": "not reproducible", "reasons": ["the rows were altered"]}
    state, tasks = run("steward__reproduce", model="flight_delays", version=3)
    assert (state, tasks) == ("success", {"reproduce": "success"})


def test_the_monitor_of_a_retired_model_ends_green(actions: ScriptedActions) -> None:
    from steward_airflow.loading import model_dags

    retired = {"outcome": "INCONCLUSIVE", "version": None, "causes": [], "reasons": ["flight_delays was retired"]}
    actions.answers["judge_window"] = retired
    dag = next(dag for dag in model_dags("flight_delays") if dag.dag_id == "flight_delays__monitor")
    done = dag.test()
    assert str(done.state) == "success"
    assert [name for name, _ in actions.calls] == ["judge_window"]
