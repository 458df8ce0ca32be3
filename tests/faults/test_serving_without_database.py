"""The database goes away under a model server that is at work: answers go on, verbs say so, and all is made up for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.postgres import PostgresServer
from tests.unit.actions.conftest import Life, build_life

from steward import actions
from steward.adapters.postgres import PostgresDatabase
from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.adapters.skops_models import save_model
from steward.errors import UnavailableError
from steward.testing.database import FAKE_KEY
from steward.testing.tracking import FakeTracker
from steward.training import LoggedModel, TrainingRecord
from steward.types import Window

pytestmark = pytest.mark.faults

# Longer than any patience of the server's: notices, polling and loading each come round more than once.
AWAY = timedelta(seconds=12)
POLICY = Path(__file__).parents[2] / "include" / "policy.yaml"
NOBODY = "http://127.0.0.1:9"


class CachingTracker(FakeTracker):
    """Puts artefacts where the server has kept them from an earlier life, so that it needs no tracker."""

    def __init__(self, cache: Path) -> None:
        super().__init__()
        self.cache = cache

    def log(self, record: TrainingRecord, model: Any, example: Any, files: Any = None) -> LoggedModel:
        logged = super().log(record, model, example, files)
        partial = self.cache / logged.run_id
        digest = save_model(model, partial)
        partial.rename(self.cache / digest)
        return replace(logged, digest=digest)


@dataclass
class House:
    """A model's life on PostgreSQL and Delta tables, and the folder a server of it works in."""

    life: Life
    folder: Path
    postgres: PostgresServer
    settings: dict[str, str]

    @contextmanager
    def server(self, *options: str) -> Iterator[httpx.Client]:
        """`steward serve`, until it is told to end and has."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "steward.serving", "--port", str(port), *options]
        process = subprocess.Popen(command, env={**os.environ, **self.settings})
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
                eventually("the server is ready", lambda: process.poll() is not None or is_ready(client))
                assert process.poll() is None, "the server ended by itself"
                yield client
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(10)

    def steward(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("steward")
        environment = {**os.environ, **self.settings}
        return subprocess.run([str(program), *arguments], env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    postgres = PostgresServer()
    postgres.start()
    life = build_life(tmp_path)
    postgres.make_template()
    url, home, storage = postgres.url(postgres.new_database()), tmp_path / "home", tmp_path / "storage"
    database, tables = PostgresDatabase(url, life.clock, FAKE_KEY), SegmentedPredictionLog(str(storage))
    tracker = CachingTracker(home / "serving" / "artefacts")
    tracker.cache.mkdir(parents=True)
    life.predictions = tables
    life.services = replace(
        life.services, database=database, predictions=tables, tracker=tracker, models=tracker, mirror=tracker
    )
    (home / "ledger.key").write_text(FAKE_KEY.hex())
    (home / "calendar").write_text(life.clock.now().isoformat())
    settings = {
        "STEWARD_HOME": str(home),
        "STEWARD_DATABASE_URL": url,
        "STEWARD_STORAGE": str(storage),
        "STEWARD_MODELS_DIR": str(tmp_path / "models"),
        "STEWARD_POLICY_FILE": str(POLICY),
        "STEWARD_MLFLOW_URL": NOBODY,
        "STEWARD_CLOCK_FILE": str(home / "calendar"),
        "STEWARD_LEDGER_KEY_FILE": str(home / "ledger.key"),
    }
    try:
        yield House(life, tmp_path, postgres, settings)
    finally:
        database.close()
        postgres.discard()


def test_workers_serve_what_the_ledger_routes_and_end_together(house: House) -> None:
    life = house.life
    first = life.train()
    life.approve(first)
    life.release(first)
    with house.server("--workers", "2") as client:
        slots = house.folder / "home" / "serving" / "slots"
        eventually("both have a table", lambda: len(list(slots.glob("*/routes.json"))) == 2)
        ask_while(client, 0, lambda: False)
    assert sorted(path.parent.name for path in slots.glob("*/metrics.json")) == ["0", "1"]


def test_a_database_that_goes_away_costs_no_answer_and_no_record(house: House) -> None:
    life = house.life
    first, second = life.train(), life.train({"C": 0.5})
    life.approve(first)
    life.release(first)
    life.approve(second)
    known = len(life.events())
    with house.server() as client:
        asked = ask_while(client, 0, lambda: False)
        house.postgres.stop()
        try:
            asked += ask_for(client, asked, AWAY)
            health = client.get("/v2/health/ready")
            assert (health.status_code, health.json()["status"]) == (200, "degraded")
            assert "control plane unreachable since" in health.json()["reasons"][0]
            every_verb_says_so(life, second)
            refused = house.steward("rollback", "toy", "--reason", "complaints")
            assert refused.returncode == UnavailableError.exit_code, refused.stdout + refused.stderr
            assert "the database is away" in refused.stderr
            assert "check that PostgreSQL runs" in refused.stderr
        finally:
            house.postgres.start()
        assert len(life.events()) == known
        rollout = life.do("start_rollout", second["run"], version=2)["rollout"]
        epoch = life.do("shift_traffic", second["run"], rollout=rollout, percent=20)["epoch"]
        eventually("the server follows again", lambda: health_of(client)["epochs"] == {"toy": epoch})
        assert health_of(client)["status"] == "ok"
        asked += ask_while(client, asked, lambda: False)
    assert answered(house) == {f"d{number}" for number in range(asked)}
    assert actions.verify_ledger(life.services, actor="test")["intact"]


def every_verb_says_so(life: Life, second: dict[str, Any]) -> None:
    """One of each kind: data, judgement, release, the way back."""
    verbs: dict[str, Callable[[], Any]] = {
        "take_snapshot": lambda: life.do("take_snapshot", "night"),
        "judge_window": lambda: life.do("judge_window", "night"),
        "start_rollout": lambda: life.do("start_rollout", second["run"], version=2),
        "roll_back": lambda: actions.roll_back(life.services, life.spec, actor="person:ravi", reason="complaints"),
    }
    for name, verb in verbs.items():
        with pytest.raises(UnavailableError, match="the database is away") as away:
            verb()
        assert away.value.hint, name


def ask_for(client: httpx.Client, start: int, time_: timedelta) -> int:
    ends = time.monotonic() + time_.total_seconds()
    return ask_while(client, start, lambda: time.monotonic() < ends)


def ask_while(client: httpx.Client, start: int, more: Callable[[], bool], at_least: int = 20) -> int:
    """One by one, each of which must be answered. Returns how many were asked."""
    count = 0
    while count < at_least or more():
        body = {
            "id": f"d{start + count}",
            "inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [0.1 * (count % 30)]}],
        }
        response = client.post("/v2/models/toy/infer", json=body)
        assert response.status_code == 200, response.text
        count += 1
        time.sleep(0.02)
    return count


def answered(house: House) -> set[str]:
    now = house.life.clock.now()
    window = Window(now - timedelta(days=1), now + timedelta(days=1))
    found = house.life.predictions.served("toy", window, ["decision_id"])["decision_id"]
    return {name for name in found if name.startswith("d")}


def health_of(client: httpx.Client) -> Any:
    return client.get("/v2/health/ready").json()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/v2/models/toy/ready").status_code == 200
    except httpx.TransportError:
        return False


def eventually(what: str, happened: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)
