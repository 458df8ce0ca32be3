"""A live Airflow with Steward in it, as small as a browser can do with: the API server, and DAGs parsed once.

No scheduler: a run that is asked for stays queued, which is what a page can show of it. Airflow's database is made
once; each installation is the same API server started anew, on another record and another models folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from tests.e2e.test_local_stack import free_ports, wait_for

from steward.local import Stack
from steward.local.credentials import USERS
from steward.local.home import write_private
from steward.local.postgres import socket_folder
from steward.testing.database import FAKE_KEY

PROJECT = Path(__file__).parents[3]
VIEWER = "otto"
PASSWORD = "browser"
LOADER = """# Airflow dag loader
from steward_airflow.loading import build, build_portfolio
build(globals(), shard=0, of=1)
build_portfolio(globals())
"""
FOREIGN = "nightly_invoices"
FOREIGN_DAG = f"""
from datetime import datetime
from airflow.sdk import DAG, task

with DAG("{FOREIGN}", schedule=None, start_date=datetime(2026, 1, 1)):
    @task
    def send(): ...
    send()
"""


@dataclass(frozen=True)
class Record:
    """What an installation shows: the address of its record, its models, and what day it is there."""

    database_url: str
    models: Path
    today: datetime


@dataclass
class Host:
    """The folder of the stack, and what its processes find in their environment."""

    folder: Path
    ports: dict[str, str]

    def stack(self, record: Record, *services: str, **settings: str) -> Stack:
        home = self.folder / "home"
        given = {**self._settings(record), **settings}
        return Stack(home, project=PROJECT, services=services, extra_env=given, environ={**os.environ, **self.ports})

    def _settings(self, record: Record) -> dict[str, str]:
        calendar, key = self.folder / "calendar", self.folder / "ledger.key"
        calendar.write_text(record.today.isoformat())
        key.write_text(FAKE_KEY.hex())
        users = {**USERS, VIEWER: "VIEWER"}
        return {
            "STEWARD_DATABASE_URL": record.database_url,
            "STEWARD_MODELS_DIR": str(record.models),
            "STEWARD_CLOCK_FILE": str(calendar),
            "STEWARD_LEDGER_KEY_FILE": str(key),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.folder / "dags"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in users.items()),
        }

    def prepare(self) -> None:
        """DAG files and log-ins."""
        dags = self.folder / "dags"
        dags.mkdir(parents=True)
        (dags / "models.py").write_text(LOADER)
        (dags / "foreign.py").write_text(FOREIGN_DAG)
        passwords = self.folder / "home" / "airflow" / "passwords.json"
        passwords.parent.mkdir(parents=True, mode=0o700)
        write_private(passwords, json.dumps(dict.fromkeys((*USERS, VIEWER), PASSWORD)) + "\n")


@dataclass(frozen=True)
class Installation:
    """`url` is the address people type, without a slash at its end."""

    url: str
    stack: Stack

    def runs(self, dag: str) -> list[str]:
        """States of the DAG's runs, straight from Airflow's database."""
        place = str(socket_folder(self.stack.home.root))
        with psycopg.connect(host=place, user="postgres", dbname="airflow") as connection:
            return [row[0] for row in connection.execute("SELECT state FROM dag_run WHERE dag_id = %s", (dag,))]


def serve(host: Host, record: Record, prefix: str = "") -> Installation:
    """Start the API server on this record, below `prefix`. Airflow must have been set up."""
    settings = {}
    if prefix:
        settings["AIRFLOW__API__BASE_URL"] = f"http://127.0.0.1:{host.ports['STEWARD_AIRFLOW_PORT']}{prefix}"
    stack = host.stack(record, "api-server", **settings)
    stack.start_service("api-server")
    return Installation(f"{stack.urls.airflow}{prefix}", stack)


def set_up(host: Host, record: Record, dags: Collection[str]) -> None:
    """Databases, an API server, and the DAG processor until these DAGs are there."""
    stack = host.stack(record, "dag-processor", "api-server")
    stack.up()
    try:
        wait_for("the DAGs are parsed", lambda: parsed(stack) >= set(dags), 60)
    finally:
        stack.stop_service("dag-processor")


def parsed(stack: Stack) -> set[str]:
    place = str(socket_folder(stack.home.root))
    with psycopg.connect(host=place, user="postgres", dbname="airflow") as connection:
        return {row[0] for row in connection.execute("SELECT dag_id FROM serialized_dag")}


def new_host(folder: Path) -> Host:
    host = Host(folder, free_ports())
    host.prepare()
    return host
