"""The embedded stack on this machine: up from nothing, a DAG through its REST API, a lost database, down, up again."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from steward.local import Stack, StackEvent, State
from steward.local.postgres import socket_folder
from steward.local.processes import marked

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TRIVIAL_DAG = """
from datetime import datetime

from airflow.sdk import DAG, task

with DAG("trivial", schedule=None, start_date=datetime(2026, 1, 1)):

    @task
    def add() -> int:
        return 1 + 1

    add()
"""
GIBIBYTE = 2**30


def free_ports() -> dict[str, str]:
    """Picked by the system, so that a stack already on this machine is left alone."""
    names = ("STEWARD_AIRFLOW_PORT", "STEWARD_MLFLOW_PORT", "STEWARD_SERVER_PORT")
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        return {name: str(one.getsockname()[1]) for name, one in zip(names, sockets, strict=True)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "plugins").mkdir()
    (tmp_path / "dags" / "trivial.py").write_text(TRIVIAL_DAG)
    return tmp_path


@pytest.fixture
def stack(project: Path) -> Iterator[Stack]:
    """In a folder too deep for a socket, with a blank in its name, as a user's may be."""
    home = project / "a folder" / ("deep/" * 20) / ".steward"
    made = Stack(home, project=project, services=["airflow", "mlflow"], environ={**os.environ, **free_ports()})
    yield made
    made.stop()


def wait_for(what: str, happened: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.3)


def airflow(stack: Stack) -> httpx.Client:
    token = stack.airflow_token("dana")
    return httpx.Client(base_url=stack.urls.airflow, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def run_trivial(stack: Stack) -> None:
    """Start the DAG as a data scientist and wait for its success."""
    with airflow(stack) as rest:
        wait_for("the DAG is parsed", lambda: rest.get("/api/v2/dags/trivial").status_code == 200, 30)
        asked = rest.post("/api/v2/dags/trivial/dagRuns", json={"logical_date": None}).raise_for_status()
        run = f"/api/v2/dags/trivial/dagRuns/{asked.json()['dag_run_id']}"
        wait_for("the run succeeds", lambda: rest.get(run).raise_for_status().json()["state"] == "success", 90)


def create_experiment(stack: Stack, name: str) -> None:
    address = f"{stack.urls.mlflow}/api/2.0/mlflow/experiments/create"
    httpx.post(address, json={"name": name}, timeout=30).raise_for_status()


def successful_runs(stack: Stack) -> int:
    """Straight from Airflow's database."""
    place = str(socket_folder(stack.home.root))
    with psycopg.connect(host=place, user="postgres", dbname="airflow") as connection:
        row = connection.execute("SELECT count(*) FROM dag_run WHERE state = 'success'").fetchone()
    assert row is not None
    return int(row[0])


def experiments(stack: Stack) -> set[str]:
    found = httpx.get(f"{stack.urls.mlflow}/api/2.0/mlflow/experiments/search?max_results=10", timeout=30)
    return {experiment["name"] for experiment in found.raise_for_status().json()["experiments"]}


def postgres_processes(stack: Stack) -> list[psutil.Process]:
    found = psutil.process_iter(["name", "cmdline"])
    return [process for process in found if str(stack.home.postgres) in " ".join(process.info["cmdline"] or [])]


def test_the_stack_lives_through_a_lost_database_a_stop_and_a_second_start(stack: Stack) -> None:
    events: list[StackEvent] = []

    ports = stack.up(events.append)
    assert services_in(State.HEALTHY, events) == set(stack.services)
    run_trivial(stack)
    create_experiment(stack, "kept")
    assert sum(one.memory for one in stack.status()) < 2 * GIBIBYTE

    stack.up(events.append)
    assert services_in(State.REUSED, events) == set(stack.services)

    stack.stop_service("postgres", kill=True)
    assert "not running" in {one.trouble for one in stack.status()}
    # Airflow's processes notice on their next beat and end; their keepers start them again.
    time.sleep(5)
    stack.start_service("postgres")
    wait_for("all services are well again", lambda: not any(one.trouble for one in stack.status()), 120)
    run_trivial(stack)

    assert set(stack.stop()) == set(stack.services)
    assert marked(str(stack.home.root)) == []
    assert postgres_processes(stack) == []
    assert not socket_folder(stack.home.root).exists()

    again = Stack(stack.home.root, services=["mlflow"], environ={})
    assert again.up() == ports
    assert "kept" in experiments(again)
    assert successful_runs(again) == 2


def services_in(state: State, events: list[StackEvent]) -> set[str]:
    return {event.service for event in events if event.state is state}
