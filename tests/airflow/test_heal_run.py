"""Healing by Airflow's own rules: the portfolio's run with the real actions, and its step in a monitor run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.conftest import ScriptedActions
from tests.unit.actions.conftest import Life, build_life

from steward import wiring
from steward.actions.healing.healing import HEALERS
from steward.errors import UnavailableError

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_db")]

JUDGED = {"outcome": "FAILED", "version": 2, "evidence": "e" * 64, "causes": ["performance"], "reasons": ["lost"]}
NOTED = {"incidents": ["i" * 32], "passing": [], "resolved": []}
DECLINED = {"requested": False, "reason": "not now", "request": None, "detail": {}}


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    life = build_life(tmp_path / "life")
    monkeypatch.setattr(wiring, "services", lambda: life.services)
    monkeypatch.setattr(wiring, "specs", lambda: life.services.specs)
    return life


def run(dag: Any) -> tuple[str, dict[str, str]]:
    for task in dag.tasks:
        task.retry_delay = timedelta(0)
    done = dag.test()
    return str(done.state), {ti.task_id: str(ti.state) for ti in done.get_task_instances()}


def heal() -> tuple[str, dict[str, str]]:
    from steward.plan import portfolio_plans
    from steward_airflow.render import render

    (plan,) = [plan for plan in portfolio_plans(("toy",)) if plan.id == "steward__heal"]
    return run(render(plan))


def test_a_stuck_run_is_closed_by_the_next_run_and_once(life: Life) -> None:
    life.do("take_snapshot", "stuck")
    life.clock.advance(timedelta(days=2))
    for _ in range(2):
        assert heal() == ("success", {"heal": "success"})
    (closed,) = life.events("run.closed")
    assert closed.body["outcome"] == "abandoned"
    assert closed.actor.startswith("airflow:")


def test_it_is_red_when_a_part_could_not_be_looked_at(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise UnavailableError("nobody there", where="memory")

    life.do("take_snapshot", "stuck")
    life.clock.advance(timedelta(days=2))
    monkeypatch.setitem(HEALERS, "champions", away)
    assert heal() == ("failed", {"heal": "failed"})
    assert len(life.events("run.closed")) == 1  # the rest was done


@pytest.mark.parametrize(
    ("healed", "shown"),
    [
        ({"rolled_back": True, "left": [], "reasons": ["lost"], "to": 1}, "success"),
        ({"rolled_back": False, "left": ["i"], "reasons": ["helps nobody"]}, "success"),
        ({"rolled_back": False, "left": [], "reasons": ["nothing failed"]}, "skipped"),
    ],
)
def test_a_failed_window_is_followed_by_its_healing(actions: ScriptedActions, healed: Any, shown: str) -> None:
    from steward_airflow.loading import model_dags

    answers = {"judge_window": JUDGED, "open_incident": NOTED, "heal_window": healed, "decide_retraining": DECLINED}
    actions.answers |= {**answers, "write_report": {"report": None}}
    state, tasks = run(next(dag for dag in model_dags("flight_delays") if dag.dag_id == "flight_delays__monitor"))
    assert (state, tasks["heal_window"], tasks["open_incident"]) == ("success", shown, "success")
    (called,) = actions.called("heal_window")
    assert called["evidence"] == JUDGED["evidence"]


def test_a_window_with_nothing_to_note_has_nothing_to_heal(actions: ScriptedActions) -> None:
    from steward_airflow.loading import model_dags

    actions.answers |= {
        "judge_window": JUDGED,
        "open_incident": {"incidents": [], "passing": [], "resolved": []},
        "write_report": {"report": None},
        "decide_retraining": DECLINED,
    }
    state, tasks = run(next(dag for dag in model_dags("flight_delays") if dag.dag_id == "flight_delays__monitor"))
    assert (state, tasks["heal_window"]) == ("success", "skipped")
    assert actions.called("heal_window") == []
