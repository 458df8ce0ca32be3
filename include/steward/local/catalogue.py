"""The services of the stack: how each is started, what it needs, how it shows that it is ready."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from packaging.version import Version

from steward.errors import NotFoundError
from steward.local.environment import Urls
from steward.local.errors import BrokenHomeError
from steward.local.health import airflow_check, health_page, http_check
from steward.local.home import Home, write_private
from steward.local.ports import LOOPBACK
from steward.local.postgres import EmbeddedPostgres
from steward.local.service import MigrationSpec, ServiceSpec

AIRFLOW_SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer")
ALL_SERVICES = ("postgres", "mlflow", *AIRFLOW_SERVICES, "model-server")
GROUPS = {"airflow": AIRFLOW_SERVICES, "all": ALL_SERVICES}
# The name of a component on Airflow's health page.
COMPONENTS = {
    "api-server": "metadatabase",
    "scheduler": "scheduler",
    "dag-processor": "dag_processor",
    "triggerer": "triggerer",
}
# Task logs are read from the disk all processes share: the log servers, which listen on every interface, stay
# off.
COMMANDS = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}


@dataclass(frozen=True)
class Surroundings:
    """What the specs are made from. `env` is the environment common to all, `airflow` Airflow's settings."""

    home: Home
    project: Path
    urls: Urls
    postgres: EmbeddedPostgres
    env: Mapping[str, str]
    airflow: Mapping[str, str]


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Groups spelled out and PostgreSQL added, in the order of ALL_SERVICES. Raises NotFoundError."""
    wanted = {"postgres"}
    for name in names:
        if name not in GROUPS and name not in ALL_SERVICES:
            known = ", ".join((*ALL_SERVICES, *GROUPS))
            raise NotFoundError(f"no service {name!r}", where="services", hint=f"choose among: {known}")
        wanted.update(GROUPS.get(name, (name,)))
    return tuple(name for name in ALL_SERVICES if name in wanted)


def service_specs(around: Surroundings) -> dict[str, ServiceSpec]:
    specs = [_postgres(around), _mlflow(around), *_airflow(around), _model_server(around)]
    return {spec.name: spec for spec in specs}


def migration_specs(around: Surroundings, services: Iterable[str]) -> list[MigrationSpec]:
    """The migrations that the chosen services need."""
    chosen = set(services)
    specs = [_steward_migration(around)]
    if chosen & set(AIRFLOW_SERVICES):
        migrate = ("airflow", "db", "migrate")
        specs.append(_migration(around, "airflow", "apache-airflow", migrate, {**around.env, **around.airflow}))
    if "mlflow" in chosen:
        specs.append(_mlflow_migration(around))
    return specs


def _postgres(around: Surroundings) -> ServiceSpec:
    postgres = around.postgres
    return ServiceSpec(
        name="postgres",
        argv=postgres.argv(),
        env=around.env,
        cwd=around.home.postgres,
        check=lambda _started_at: postgres.trouble(),
        # Fast shutdown: end the sessions, write a checkpoint.
        stop_signal=signal.SIGINT,
        stop_within=timedelta(seconds=60),
        kept=False,
        before=postgres.prepare,
        after=postgres.create_databases,
        adopt=postgres.running_server,
    )


def _mlflow(around: Surroundings) -> ServiceSpec:
    port = around.urls.mlflow.rsplit(":", 1)[1]
    options = (
        "--host",
        LOOPBACK,
        "--port",
        port,
        "--workers",
        "1",
        "--artifacts-destination",
        str(around.home.artifacts),
    )
    settings = {
        "MLFLOW_BACKEND_STORE_URI": around.postgres.url("mlflow", "psycopg2"),
        # Seven consumers of a job queue nobody fills: 1 GiB.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return ServiceSpec(
        name="mlflow",
        argv=(sys.executable, "-m", "mlflow", "server", *options),
        env={**around.env, **settings},
        cwd=around.home.root,
        needs=("mlflow-schema",),
        check=http_check(f"{around.urls.mlflow}/health"),
        after=_mlflow_migration(around).record,
        url=around.urls.mlflow,
    )


def _airflow(around: Surroundings) -> list[ServiceSpec]:
    return [
        ServiceSpec(
            name=name,
            argv=(sys.executable, "-m", "airflow", *COMMANDS.get(name, (name,))),
            env={**around.env, **around.airflow, "MLFLOW_TRACKING_URI": around.urls.mlflow},
            cwd=around.project,
            needs=("airflow-schema",),
            check=airflow_check(around.urls.airflow, COMPONENTS[name]),
            watch=(health_page(around.urls.airflow), COMPONENTS[name]) if name != "api-server" else ("", ""),
            url=around.urls.airflow if name == "api-server" else None,
        )
        for name in AIRFLOW_SERVICES
    ]


def _model_server(around: Surroundings) -> ServiceSpec:
    port = around.urls.server.rsplit(":", 1)[1]
    return ServiceSpec(
        name="model-server",
        argv=(sys.executable, "-m", "steward.serving", "--host", LOOPBACK, "--port", port),
        env={**around.env, "MLFLOW_TRACKING_URI": around.urls.mlflow},
        cwd=around.project,
        needs=("steward-schema",),
        check=http_check(f"{around.urls.server}/v2/health/ready"),
        url=around.urls.server,
    )


def _steward_migration(around: Surroundings) -> MigrationSpec:
    """Run at every start: it is quick, and a checkout may bring new tables without a new release."""
    owner = around.postgres.url("steward", "psycopg")
    return MigrationSpec(
        name="steward-schema",
        argv=(sys.executable, "-m", "steward.local.schema", owner, around.urls.database),
        env=around.env,
        cwd=around.home.root,
        is_current=lambda: False,
        record=lambda: None,
        needs=("postgres",),
    )


def _mlflow_migration(around: Surroundings) -> MigrationSpec:
    """A fresh database is left to the one server, which fills it at its start: 10 CPU seconds less."""
    upgrade = ("mlflow", "db", "upgrade", around.postgres.url("mlflow", "psycopg2"))
    spec = _migration(around, "mlflow", "mlflow", upgrade, around.env)
    return replace(spec, is_current=lambda: spec.is_current() or around.postgres.is_empty("mlflow"))


def _migration(
    around: Surroundings, database: str, package: str, command: tuple[str, ...], env: Mapping[str, str]
) -> MigrationSpec:
    is_current, record = schema_memory(around.home, database, version(package))
    return MigrationSpec(
        name=f"{database}-schema",
        argv=(sys.executable, "-m", *command),
        env=env,
        cwd=around.home.root,
        is_current=is_current,
        record=record,
        needs=("postgres",),
    )


def schema_memory(home: Home, database: str, installed: str) -> tuple[Callable[[], bool], Callable[[], None]]:
    """Whether a database has the schema of the installed release, and how to note that it has.

    The check raises BrokenHomeError for a schema newer than the installed release: going back may lose data.
    """

    note = home.schema_file(database)

    def is_current() -> bool:
        found = note.read_text().strip() if note.exists() else None
        if found is not None and Version(found) > Version(installed):
            raise BrokenHomeError(
                f"the database `{database}` has the schema of release {found}, and {installed} is installed",
                where=str(note),
                hint=f"install {found} again, or choose another STEWARD_HOME; nothing was changed",
            )
        return found == installed

    def record() -> None:
        write_private(note, f"{installed}\n")

    return is_current, record
