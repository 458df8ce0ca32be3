"""What the processes find in their environment, what the health page means, and which services there are."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values

from steward.errors import NotFoundError
from steward.local.catalogue import AIRFLOW_SERVICES, ALL_SERVICES, expand, schema_memory
from steward.local.credentials import AirflowSecrets
from steward.local.environment import Urls, airflow_settings, env_file_text, inherited, steward_settings
from steward.local.errors import BrokenHomeError
from steward.local.health import component_trouble
from steward.local.home import Home
from steward.local.postgres import EmbeddedPostgres

STARTED_AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOME = Home.at("/srv/steward")
PROJECT = Path("/srv/project")
POSTGRES = EmbeddedPostgres(HOME, {})
URLS = Urls.of({"airflow": 8090, "mlflow": 5001, "server": 8001}, POSTGRES)


def test_a_shell_made_for_another_installation_redirects_nothing() -> None:
    shell = {"AIRFLOW__CORE__EXECUTOR": "X", "MLFLOW_TRACKING_URI": "X", "PGHOST": "X", "LANG": "C", "PATH": "/bin"}
    kept = inherited(shell)
    assert set(kept) == {"LANG", "PATH"}
    assert kept["PATH"].endswith(":/bin")


def test_the_stack_decides_where_it_is_and_the_caller_where_the_project_is() -> None:
    caller = {"STEWARD_MODELS_DIR": "/elsewhere", "STEWARD_MLFLOW_URL": "http://other", "STEWARD_CLOCK_FILE": "/clock"}
    settings = steward_settings(HOME, URLS, PROJECT, caller)
    assert settings["STEWARD_MODELS_DIR"] == "/elsewhere"
    assert settings["STEWARD_CLOCK_FILE"] == "/clock"
    assert settings["STEWARD_MLFLOW_URL"] == "http://127.0.0.1:5001"
    assert settings["STEWARD_POLICY_FILE"] == "/srv/project/include/policy.yaml"


def test_without_a_replay_there_is_no_clock_file() -> None:
    assert "STEWARD_CLOCK_FILE" not in steward_settings(HOME, URLS, PROJECT, {})


def test_a_home_with_a_calendar_stays_a_replay(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.calendar.write_text("2013-04-01T06:00:00+00:00")
    assert steward_settings(home, URLS, PROJECT, {})["STEWARD_CLOCK_FILE"] == str(tmp_path / "calendar")


def test_the_env_file_survives_what_paths_may_contain() -> None:
    settings = {"STEWARD_HOME": "/a folder/it's $HOME", "STEWARD_STORAGE": 'C:\\new "one"', "STEWARD_X": "größe#1"}
    assert dict(dotenv_values(stream=StringIO(env_file_text(settings)), interpolate=False)) == settings


def test_airflow_dials_its_own_port_and_starts_dags_unpaused() -> None:
    found = airflow_settings(HOME, URLS, PROJECT, POSTGRES, AirflowSecrets("f", "j", "a"))
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8090/execution/"
    assert found["AIRFLOW__API__PORT"] == "8090"
    assert found["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert found["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "False"
    assert found["AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL"] == "1"


def test_postgres_always_comes_along() -> None:
    assert expand(["mlflow"]) == ("postgres", "mlflow")
    assert expand(["airflow"]) == ("postgres", *AIRFLOW_SERVICES)
    assert expand(["all"]) == ALL_SERVICES


def test_an_unknown_service_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="no service 'web'") as refused:
        expand(["web"])
    assert "scheduler" in str(refused.value)


def test_a_schema_is_current_once_it_was_recorded(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.create()
    is_current, record = schema_memory(home, "airflow", "3.3.2")
    assert not is_current()
    record()
    assert is_current()
    assert not schema_memory(home, "airflow", "3.3.3")[0]()


def test_a_schema_newer_than_the_installed_release_is_refused(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.create()
    schema_memory(home, "airflow", "3.10.0")[1]()
    with pytest.raises(BrokenHomeError, match=r"has the schema of release 3\.10\.0, and 3\.3\.2 is installed"):
        schema_memory(home, "airflow", "3.3.2")[0]()


@pytest.mark.parametrize(
    ("part", "trouble"),
    [
        ({"status": "healthy", "latest_scheduler_heartbeat": "2026-11-21T12:00:05+00:00"}, None),
        (
            {"status": "healthy", "latest_scheduler_heartbeat": "2026-11-21T11:59:50+00:00"},
            "Airflow has no heartbeat of this scheduler yet",
        ),
        ({"status": "unhealthy", "latest_scheduler_heartbeat": None}, "Airflow reports scheduler unhealthy"),
        ({}, "Airflow reports scheduler without a heartbeat"),
    ],
)
def test_only_a_heartbeat_of_this_very_process_counts(part: dict[str, str | None], trouble: str | None) -> None:
    assert component_trouble("scheduler", part, STARTED_AT) == trouble


def test_the_database_needs_no_heartbeat() -> None:
    assert component_trouble("metadatabase", {"status": "healthy"}, STARTED_AT) is None
