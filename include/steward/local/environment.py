"""What each process of the stack finds in its environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from steward.local.credentials import USERS, AirflowSecrets
from steward.local.home import Home
from steward.local.ports import LOOPBACK
from steward.local.postgres import APPLICATION, EmbeddedPostgres
from steward.local.processes import MARKER

# A shell prepared for another Airflow, MLflow or PostgreSQL must not redirect this one.
FOREIGN_PREFIXES = ("AIRFLOW", "MLFLOW_", "PG", "_AIRFLOW", MARKER)
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "False",
    # Small models on few cores: more threads only wait for each other.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class Urls:
    """Where the stack answers. `database` is the steward database as the application, for psycopg."""

    airflow: str
    mlflow: str
    server: str
    database: str

    @classmethod
    def of(cls, ports: Mapping[str, int], postgres: EmbeddedPostgres) -> Urls:
        addresses = {service: f"http://{LOOPBACK}:{port}" for service, port in ports.items()}
        return cls(
            airflow=addresses["airflow"],
            mlflow=addresses["mlflow"],
            server=addresses["server"],
            database=postgres.url("steward", "psycopg", APPLICATION),
        )


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what belongs to other installations, this Python's programs first on
    PATH.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    programs = str(Path(sys.executable).parent)
    return {**kept, "PATH": os.pathsep.join(filter(None, (programs, kept.get("PATH"))))}


def steward_settings(home: Home, urls: Urls, project: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The STEWARD_* settings of every process; where the project's files lie may be set by the caller.

    A home that keeps a `calendar` is a replay, and stays one when it is started again.
    """
    chosen = {
        "STEWARD_STORAGE": str(home.storage),
        "STEWARD_MODELS_DIR": str(project / "include" / "models"),
        "STEWARD_POLICY_FILE": str(project / "include" / "policy.yaml"),
        "STEWARD_REPORTS_DIR": str(home.reports),
    }
    calendar = environ.get("STEWARD_CLOCK_FILE") or (str(home.calendar) if home.calendar.exists() else None)
    replay = {"STEWARD_CLOCK_FILE": calendar} if calendar else {}
    return (
        {name: environ.get(name) or value for name, value in chosen.items()}
        | replay
        | {
            "STEWARD_HOME": str(home.root),
            "STEWARD_DATABASE_URL": urls.database,
            "STEWARD_MLFLOW_URL": urls.mlflow,
            "STEWARD_SERVER_URL": urls.server,
            "STEWARD_AIRFLOW_URL": urls.airflow,
            "STEWARD_LEDGER_KEY_FILE": str(home.ledger_key),
        }
    )


def airflow_settings(
    home: Home, urls: Urls, project: Path, postgres: EmbeddedPostgres, secrets: AirflowSecrets
) -> dict[str, str]:
    sections = {
        "core": _core(home, urls, project, secrets),
        "database": {
            "sql_alchemy_conn": postgres.url("airflow", "psycopg2"),
            "sql_alchemy_conn_async": postgres.url("airflow", "asyncpg"),
        },
        "api": {
            "host": LOOPBACK,
            "port": urls.airflow.rsplit(":", 1)[1],
            "base_url": urls.airflow,
            "workers": "1",
            "secret_key": secrets.api_secret_key,
            "instance_name": "Steward",
        },
        "api_auth": {"jwt_secret": secrets.jwt_secret},
        "scheduler": {"scheduler_idle_sleep_time": "0.5", "task_instance_heartbeat_timeout": "90"},
        # A finished short task holds its slot for one interval; an answered approval must not overtake it.
        "workers": {"min_heartbeat_interval": "1"},
        # A new file is seen within 10 s; an unchanged one is not parsed again all day.
        "dag_processor": {
            "refresh_interval": "10",
            "min_file_process_interval": "300",
            "dag_bundle_storage_path": str(home.airflow / "bundles"),
        },
        "logging": {"base_log_folder": str(home.airflow / "logs")},
        "usage_data_collection": {"enabled": "False"},
    }
    named = {
        f"AIRFLOW__{section.upper()}__{option.upper()}": value
        for section, options in sections.items()
        for option, value in options.items()
    }
    return {"AIRFLOW_HOME": str(home.airflow), **named}


def _core(home: Home, urls: Urls, project: Path, secrets: AirflowSecrets) -> dict[str, str]:
    return {
        "executor": "LocalExecutor",
        "parallelism": "4",
        "dags_folder": str(project / "dags"),
        "plugins_folder": str(project / "plugins"),
        "load_examples": "False",
        "dags_are_paused_at_creation": "False",
        "fernet_key": secrets.fernet_key,
        # Without it tasks dial port 8080, whoever listens there.
        "execution_api_server_url": f"{urls.airflow}/execution/",
        "simple_auth_manager_users": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "simple_auth_manager_passwords_file": str(home.passwords),
        # Needs no name server, which a laptop on a train does not have.
        "hostname_callable": "socket.gethostname",
    }


def env_file_text(settings: Mapping[str, str]) -> str:
    """`NAME='value'` per line, as pydantic-settings reads it."""
    quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in settings.items()}
    return "".join(f"{name}='{value}'\n" for name, value in sorted(quoted.items()))
