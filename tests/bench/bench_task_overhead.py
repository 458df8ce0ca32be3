"""What the scheduler costs: an action as a task of Airflow, beside the same action called directly.

A stack of its own in a temporary folder. Each action is a DAG of one step, rendered as a model's DAGs are, run several
times one after another. A worker's CPU is what the operating system counted for it and the task processes it waited
for; the stack's is all its processes, less what it burns when nothing runs. An empty task tells Airflow's part.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure

from steward.local import Stack
from steward.local.postgres import socket_folder
from steward.local.processes import family

pytestmark = [pytest.mark.bench, pytest.mark.timeout(280)]

PROJECT = Path(__file__).resolve().parents[2]
RUNS, IDLE_SECONDS = 5, 8.0
DAG_FILE = '''"""DAGs of one step each."""

from airflow.sdk import DAG, BaseOperator

from steward.plan import DagPlan, Schedule, Step
from steward_airflow.render import render


class NothingOperator(BaseOperator):
    def execute(self, context):
        return {}


def plan(step):
    params = {"snapshot": {"type": ["null", "string"], "default": None}}
    return DagPlan(f"bench_{step.name}", step.name, "", Schedule(), params, (), "bench", None, (step,))


close = render(plan(Step("close_run", "close_run", "", "flight_delays")))
validate = render(
    plan(Step("validate_data", "validate_data", "", "flight_delays", {"snapshot": {"run": "snapshot"}}))
)
with DAG("bench_nothing", schedule=None) as nothing:
    NothingOperator(task_id="nothing")
'''


@dataclass(frozen=True)
class Cost:
    """Of one call or one run, in seconds. `stack_cpu` is None where no stack was at work."""

    wall: float
    cpu: float
    stack_cpu: float | None = None
    waited: float = 0.0


# --- the stack ------------------------------------------------------------------------------------


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """PostgreSQL and Airflow; none of the actions measured speaks to MLflow."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "bench.py").write_text(DAG_FILE)
    (tmp_path / "plugins").symlink_to(PROJECT / "plugins")
    files = {
        "STEWARD_MODELS_DIR": str(PROJECT / "include" / "models"),
        "STEWARD_POLICY_FILE": str(PROJECT / "include" / "policy.yaml"),
    }
    environ = {**os.environ, **free_ports(), **files}
    made = Stack(tmp_path / ".steward", project=tmp_path, services=["airflow"], environ=environ)
    try:
        made.up()
        yield made
    finally:
        made.stop()


def free_ports() -> dict[str, str]:
    names = ("STEWARD_AIRFLOW_PORT", "STEWARD_MLFLOW_PORT", "STEWARD_SERVER_PORT")
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        return {name: str(one.getsockname()[1]) for name, one in zip(names, sockets, strict=True)}


def ask_database(stack: Stack, question: str, *values: str) -> tuple[Any, ...] | None:
    """Straight from Airflow's database: asking its API would be a part of what is measured."""
    place = str(socket_folder(stack.home.root))
    with psycopg.connect(host=place, user="postgres", dbname="airflow") as connection:
        return connection.execute(question, values).fetchone()


def wait_for_answer(stack: Stack, question: str, *values: str, seconds: float = 60) -> tuple[Any, ...]:
    deadline = time.monotonic() + seconds
    while not (row := ask_database(stack, question, *values)):
        assert time.monotonic() < deadline, f"{question} {values}: nothing within {seconds:.0f} s"
        time.sleep(0.2)
    return row


# --- CPU ------------------------------------------------------------------------------------------


class Meter:
    """What the operating system has counted so far, in seconds: of the workers, of the whole stack.

    The scheduler's children are its workers; a process's children are counted as its own once it has waited for them.
    """

    def __init__(self, stack: Stack) -> None:
        roots = {one.name: psutil.Process(one.pid) for one in stack.status() if one.pid is not None}
        self.scheduler, self.roots = roots["scheduler"], list(roots.values())
        self.idle_rate = self._measure_idle_rate()

    def workers(self) -> float:
        return sum(cpu_of(one) for one in family(self.scheduler) if "airflow worker" in " ".join(one.cmdline()))

    def everything(self) -> float:
        return sum(cpu_of(process) for root in self.roots for process in family(root))

    def _measure_idle_rate(self) -> float:
        """CPU seconds a second of the stack with nothing to do."""
        before, started = self.everything(), time.monotonic()
        time.sleep(IDLE_SECONDS)
        return (self.everything() - before) / (time.monotonic() - started)


def cpu_of(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:4])  # user and system, of itself and of the children it waited for
    except psutil.NoSuchProcess:
        return 0.0


# --- as a task ------------------------------------------------------------------------------------


def as_task(stack: Stack, action: str, meter: Meter, **conf: str) -> list[Cost]:
    """RUNS runs, after one that warms what stays warm between tasks."""
    dag = f"bench_{action}"
    wait_for_answer(stack, "SELECT 1 FROM dag WHERE dag_id = %s AND NOT is_paused AND NOT is_stale", dag)
    headers = {"Authorization": f"Bearer {stack.airflow_token('dana')}"}
    with httpx.Client(base_url=stack.urls.airflow, headers=headers, timeout=60, trust_env=False) as rest:
        costs = [one_run(stack, rest, dag, conf, meter) for _ in range(RUNS + 1)]
    return costs[1:]


def one_run(stack: Stack, rest: httpx.Client, dag: str, conf: dict[str, str], meter: Meter) -> Cost:
    workers, everything, started = meter.workers(), meter.everything(), time.monotonic()
    wanted = {"logical_date": None, "conf": conf}
    run = rest.post(f"/api/v2/dags/{dag}/dagRuns", json=wanted).raise_for_status().json()["dag_run_id"]
    state, wall, waited = wait_for_answer(
        stack,
        "SELECT r.state, extract(epoch FROM r.end_date - r.queued_at)::float8,"
        " extract(epoch FROM t.start_date - r.queued_at)::float8"
        " FROM dag_run r JOIN task_instance t USING (dag_id, run_id)"
        " WHERE r.dag_id = %s AND r.run_id = %s AND r.end_date IS NOT NULL",
        dag,
        run,
    )
    assert state == "success", f"{dag}: the run ended as {state}; its log is under {stack.home.airflow / 'logs'}"
    time.sleep(1.0)  # the worker lays the task down a moment after the run has ended
    idle = meter.idle_rate * (time.monotonic() - started)
    return Cost(wall, meter.workers() - workers, meter.everything() - everything - idle, waited)


# --- directly -------------------------------------------------------------------------------------


def directly(stack: Stack, *arguments: str) -> Any:
    command = [sys.executable, "-m", "tests.bench.direct_actions", *arguments]
    done = subprocess.run(command, env=stack.env(), cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def called(stack: Stack, action: str, **arguments: str) -> list[Cost]:
    """The first call is that of a new process, from its very beginning."""
    given = [f"{name}={value}" for name, value in arguments.items()]
    return [Cost(**cost) for cost in directly(stack, action, str(RUNS + 1), str(time.time()), *given)]


# --- the bench ------------------------------------------------------------------------------------


def middle(costs: list[Cost]) -> Cost:
    stack_cpu = [cost.stack_cpu for cost in costs if cost.stack_cpu is not None]
    return Cost(
        median(cost.wall for cost in costs),
        median(cost.cpu for cost in costs),
        median(stack_cpu) if stack_cpu else None,
        median(cost.waited for cost in costs),
    )


def test_task_overhead(report: Report, stack: Stack) -> None:
    snapshot = directly(stack, "snapshot")
    digest = str(snapshot["snapshot"])
    meter = Meter(stack)
    empty = middle(as_task(stack, "nothing", meter))
    figures = [
        Figure("an empty task: wall, from request to end", empty.wall, "s"),
        Figure("an empty task: CPU of the worker", empty.cpu, "CPU s"),
        Figure("the stack with nothing to do: CPU", meter.idle_rate, "CPU s each second"),
    ]
    for action, arguments in {"close_run": {}, "validate_data": {"snapshot": digest}}.items():
        task = middle(as_task(stack, action, meter, **arguments))
        first, *again = called(stack, action, **arguments)
        direct = middle(again)
        figures += compared(action, task, first, direct)
        report.headline(f"`{action}` as a task, beside the action called directly", task.wall, direct.wall, "s")
        report.headline(f"`{action}` as a task, beside the action called directly", task.cpu, direct.cpu, "CPU s")
        report.headline(f"`{action}` as a task, beside the action in a new process", task.cpu, first.cpu, "CPU s")
    report.table(f"An action as a task ({snapshot['rows']:,} rows to validate)", "the action called directly", *figures)


def compared(action: str, task: Cost, first: Cost, warm: Cost) -> list[Figure]:
    assert task.stack_cpu is not None

    def wall(how: str, seconds: float) -> Figure:
        return Figure(f"`{action}` {how}", seconds, "s", seconds / warm.wall)

    def cpu(how: str, seconds: float) -> Figure:
        return Figure(f"`{action}` {how}", seconds, "CPU s", seconds / warm.cpu)

    return [
        wall("called directly: wall", warm.wall),
        cpu("called directly: CPU", warm.cpu),
        wall("in a new process, imports and all: wall", first.wall),
        cpu("in a new process, imports and all: CPU", first.cpu),
        wall("as a task, from request to end: wall", task.wall),
        wall("as a task: of that, until it started", task.waited),
        cpu("as a task: CPU of the worker", task.cpu),
        cpu("as a task: CPU of the whole stack above idle", task.stack_cpu),
        wall("as a task: wall added to the direct call", task.wall - warm.wall),
        cpu("as a task: CPU of the worker added to the direct call", task.cpu - warm.cpu),
    ]
