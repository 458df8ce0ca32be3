"""From the models folder to DAGs: structure, isolation of a broken spec, cost of parsing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.conftest import FIXED_MODELS, PROJECT, forget

from steward import wiring

pytestmark = pytest.mark.airflow
SHARDS = 4


def load() -> dict[str, Any]:
    from steward_airflow.loading import build, build_portfolio

    found: dict[str, Any] = {}
    for shard in range(SHARDS):
        build(found, shard=shard, of=SHARDS)
    build_portfolio(found)
    return found


def structure(dag: Any) -> dict[str, Any]:
    """What a reviewer wants to see of a rendered DAG."""
    return {
        "schedule": schedule(dag.timetable),
        "tags": sorted(dag.tags),
        "params": sorted(dag.params),
        "tasks": {
            task.task_id: f"{type(task).__name__} ⟵ {', '.join(sorted(task.upstream_task_ids)) or '·'}"
            + (f" [{task.trigger_rule}]" if task.trigger_rule != "all_success" else "")
            for task in dag.topological_sort()
        },
    }


def schedule(timetable: Any) -> list[str]:
    """Clocks as cron expressions, assets by name."""
    clock = getattr(timetable, "timetable", timetable)
    asset = getattr(timetable, "asset_condition", None)
    names = [asset.name] if asset else []
    return [clock.expression, *names] if hasattr(clock, "expression") else names


def test_structure_is_the_golden_one(models_dir: Path) -> None:
    golden = FIXED_MODELS / "dags.json"
    found = json.dumps({name: structure(dag) for name, dag in load().items()}, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(found)
    assert golden.read_text() == found, "UPDATE_GOLDEN=1 rewrites it, then read the diff"


def test_every_dag_survives_serialization(models_dir: Path) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    for name, dag in load().items():
        back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert sorted(back.task_ids) == sorted(dag.task_ids), name
        assert back.doc_md == dag.doc_md


def test_dags_run_one_at_a_time_and_catch_nothing_up(models_dir: Path) -> None:
    for name in ("flight_delays__train", "flight_delays__monitor"):
        dag = load()[name]
        assert (dag.max_active_runs, dag.catchup) == (1, False)
        assert dag.owner_links == {"operations-research": "mailto:dana@example.com"}
        assert all(task.doc_md and task.owner == "operations-research" for task in dag.tasks)


def test_a_broken_spec_leaves_the_others_and_says_why(models_dir: Path) -> None:
    broken = models_dir / "churn"
    shutil.copytree(models_dir / "flight_delays", broken)
    spec = broken / "model.yaml"
    spec.write_text(spec.read_text().replace("model: flight_delays", "model: churn\nrisk_teir: low"))
    dags = load()
    assert {"flight_delays__train", "flight_delays__monitor", "churn__broken"} <= set(dags)
    assert not {"churn__train", "churn__monitor"} & set(dags)
    assert "broken" in dags["churn__broken"].tags
    assert "risk_teir" in dags["churn__broken"].doc_md


def test_a_broken_spec_fails_its_one_task_with_the_faults(models_dir: Path) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    (models_dir / "flight_delays" / "model.yaml").write_text("model: [")
    with pytest.raises(AirflowFailException, match=r"model\.yaml"):
        load()["flight_delays__broken"].get_task("faults").execute({})


def test_an_impossible_schedule_breaks_its_own_model_only(models_dir: Path) -> None:
    spec = models_dir / "flight_delays" / "model.yaml"
    spec.write_text(spec.read_text().replace('"@daily"', '"61 25 * * *"'))
    dags = load()
    assert set(dags) >= {"flight_delays__broken", "steward__audit_inventory"}
    assert "'61 25 * * *' is no cron expression" in dags["flight_delays__broken"].doc_md


def test_a_replayed_calendar_leaves_only_asset_schedules(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STEWARD_CLOCK_FILE", str(tmp_path / "clock"))
    forget(wiring)
    dags = load()
    assert not dags["flight_delays__monitor"].timetable.can_be_scheduled
    assert type(dags["flight_delays__train"].timetable).__name__ == "AssetTriggeredTimetable"
    assert not dags["steward__audit_inventory"].timetable.can_be_scheduled


def test_a_task_start_builds_only_the_model_it_needs(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from steward_airflow import loading

    shutil.copytree(models_dir / "flight_delays", models_dir / "churn")
    built: list[str] = []
    monkeypatch.setattr(loading, "wanted_model", lambda: "flight_delays")
    monkeypatch.setattr(loading, "model_dags", lambda model: built.append(model) or iter(()))
    load()
    assert built == ["flight_delays"]


@pytest.mark.parametrize(("dag_id", "model"), [("churn__train", "churn"), ("a__b__monitor", "a__b"), (None, None)])
def test_the_wanted_model_is_read_from_the_parsing_context(
    monkeypatch: pytest.MonkeyPatch, dag_id: str | None, model: str | None
) -> None:
    from steward_airflow import loading

    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id or "")
    assert loading.wanted_model() == model


def test_a_model_stays_in_its_shard_whatever_others_come() -> None:
    from steward_airflow.loading import shard_of

    shards = [shard_of(f"model_{n}", SHARDS) for n in range(400)]
    assert {shards.count(shard) > 60 for shard in range(SHARDS)} == {True}
    assert shard_of("flight_delays", SHARDS) == 0


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_dag_files_are_found_and_load_nothing_heavy() -> None:
    """Through Airflow's own file scan, from the project's own folders."""
    code = """
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder="dags", load_op_links=False)
heavy = ["mlflow", "pandas", "sklearn", "evidently", "great_expectations", "deltalake", "skops", "scipy"]
print([sorted(bag.dags), bag.import_errors, [name for name in heavy if name in sys.modules]])
"""
    dags, errors, heavy = eval(run_python(code))
    wanted = {"flight_delays__train", "flight_delays__monitor", "steward__audit_inventory", "steward__rollback"}
    assert wanted <= set(dags)
    assert errors == {}
    assert heavy == []


def test_airflow_executes_one_file_below_plugins() -> None:
    code = """
from airflow.plugins_manager import _get_plugins
plugins, errors = _get_plugins()
print([[p.name for p in plugins if p.name == "steward"], errors])
"""
    assert eval(run_python(code)) == [["steward"], {}]


def test_astro_integrity_test_passes() -> None:
    test = PROJECT / ".astro" / "test_dag_integrity_default.py"
    if not test.exists():
        pytest.skip("not an Astro project")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "STEWARD_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(
        command, env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
