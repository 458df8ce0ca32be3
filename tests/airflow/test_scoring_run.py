"""A scoring run by Airflow's own rules (`dag.test()`), with the real actions on services in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_PY, Life, build_life
from tests.unit.actions.test_scoring import BATCH_YAML, release

from steward import wiring
from steward.types import Window

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_db")]

SCORE = "toy__score"


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    life = build_life(tmp_path / "life", BATCH_YAML)
    monkeypatch.setattr(wiring, "services", lambda: life.services)
    monkeypatch.setattr(wiring, "specs", lambda: life.services.specs)
    return life


def run(**conf: Any) -> tuple[str, dict[str, str], dict[str, Any]]:
    """→ (state of the run, state by task, answer by task)"""
    from steward_airflow.loading import model_dags

    dag = next(dag for dag in model_dags("toy") if dag.dag_id == SCORE)
    for task in dag.tasks:
        task.retry_delay = timedelta(0)
    done = dag.test(run_conf=conf)
    tasks = done.get_task_instances()
    answers = {ti.task_id: ti.xcom_pull(task_ids=ti.task_id) for ti in tasks}
    return str(done.state), {ti.task_id: str(ti.state) for ti in tasks}, answers


def rows_of(life: Life, day: str, days: int = 2) -> int:
    end = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return len(life.predictions.served("toy", Window.ending(end, timedelta(days=days))))


def test_a_window_is_scored_and_a_later_run_brings_the_outcomes(batch: Life) -> None:
    release(batch)
    state, tasks, answers = run(as_of="2013-06-01", window_days=1)
    assert state == "success"
    assert tasks == {"score_window": "success", "note_scoring": "skipped", "record_outcomes": "skipped"}
    assert (answers["score_window"]["rows"], rows_of(batch, "2013-06-01")) == (48, 48)
    (event,) = batch.events("window.scored")
    assert event.actor.startswith("airflow:")
    _, tasks, answers = run(as_of="2013-06-02", window_days=1)
    assert tasks["record_outcomes"] == "success"
    assert answers["record_outcomes"]["recorded"] == 48


def test_broken_data_ends_the_run_green_with_an_incident(batch: Life) -> None:
    release(batch)
    code = batch.services.specs.module_path("toy")
    code.write_text(MODEL_PY.replace('"x": x, "y": y})', '"x": x, "y": y})[:0]'))
    state, tasks, answers = run(as_of="2013-06-01")
    assert (state, tasks["score_window"], tasks["note_scoring"]) == ("success", "success", "success")
    assert answers["score_window"]["refused"]
    assert rows_of(batch, "2013-06-01") == 0
    assert len(batch.events("incident.opened")) == 1


def test_without_a_champion_everything_is_skipped(batch: Life) -> None:
    state, tasks, _ = run(as_of="2013-06-01")
    assert (state, set(tasks.values())) == ("success", {"skipped"})


def test_a_run_of_a_backfill_sees_the_window_of_its_date() -> None:
    from types import SimpleNamespace

    from steward_airflow.runs import AirflowRun

    end = datetime(2013, 5, 20, tzinfo=UTC)
    for run_type, seen in (("scheduled", end.isoformat()), ("backfill", end.isoformat()), ("manual", None)):
        dag_run = SimpleNamespace(run_type=run_type, data_interval_end=end)
        context: Any = {"dag_run": dag_run, "params": {}}
        assert AirflowRun(context).field("as_of") == seen
