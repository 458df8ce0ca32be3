"""The way back under load, with real servers and a real PostgreSQL: nobody's request fails, whatever ends.

Two servers of one host share a home; callers ask both all the time. `pytest -s` shows the figures.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from tests.faults.test_serving_without_database import House, eventually
from tests.postgres import PostgresServer
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life

from steward.actions.governance.verifying import differences
from steward.adapters.postgres import PostgresDatabase
from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.testing.database import FAKE_KEY
from steward.types import Window

pytestmark = pytest.mark.faults

OFF_TRAFFIC, FULL_ROLLBACK = 10.0, 5.0
REQUESTS, CHANGES, CONNECTIONS = 30_000, 300, 8
# The estimators themselves fall ill, so it is they that must answer.
YAML = MODEL_YAML.replace("deployment:\n", 'deployment:\n  onnx: "off"\n')


@dataclass
class Estate:
    """A house with two servers at work. `sick` tells their versions to fall ill."""

    house: House
    sick: Path
    urls: tuple[str, ...] = ()
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def life(self) -> Life:
        return self.house.life

    def start(self, port: int) -> str:
        command = [sys.executable, "-m", "tests.faults.sick_server", str(port)]
        environment = {**os.environ, **self.house.settings, "STEWARD_TEST_SICK": str(self.sick)}
        url = f"http://127.0.0.1:{port}"
        self.processes[url] = subprocess.Popen(command, env=environment)
        return url

    def is_ready(self, url: str) -> bool:
        assert self.processes[url].poll() is None, "the server ended by itself"
        try:
            return httpx.get(f"{url}/v2/models/toy/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def row(self, url: str, role: str) -> dict[str, Any] | None:
        index = httpx.get(f"{url}/v2/repository/index", timeout=5).json()
        return next((row for row in index if row["role"] == role), None)

    def epochs(self) -> set[int]:
        return {httpx.get(f"{url}/v2/health/ready", timeout=5).json()["epochs"]["toy"] for url in self.urls}

    def route(self) -> Any:
        with self.life.services.database.begin() as tx:
            return tx.routes.get("toy")

    def follows(self) -> None:
        """Wait until every server has the route of the database in force."""
        epoch = self.route().epoch
        eventually("every server follows", lambda: self.epochs() == {epoch})

    def fall_ill(self, strength: float, kind: str) -> None:
        """In one step: a server that read half of it would fail by the test's own fault."""
        partial = self.sick.with_suffix(".partial")
        partial.write_text(f"{strength} {kind}")
        partial.replace(self.sick)

    def stop(self) -> list[int]:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        try:
            return [process.wait(30) for process in self.processes.values()]
        finally:
            for process in self.processes.values():
                if process.poll() is None:
                    process.kill()
                    process.wait(10)


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """Version 3 serves, version 2 stands by, on two servers."""
    folder = tmp_path_factory.mktemp("estate")
    with ExitStack() as until_the_end:
        house = until_the_end.enter_context(a_house(folder))
        for _ in range(3):
            trained = house.life.train()
            house.life.approve(trained)
            house.life.release(trained)
        estate = Estate(house, folder / "sick")
        until_the_end.callback(estate.stop)
        estate.urls = tuple(estate.start(port) for port in free_ports(2))
        for url in estate.urls:
            eventually("the server is ready", lambda url=url: estate.is_ready(url))
        house.settings["STEWARD_SERVER_URL"] = ",".join(estate.urls)
        estate.follows()
        yield estate


@contextmanager
def a_house(folder: Path) -> Iterator[House]:
    from tests.faults.test_serving_without_database import NOBODY, POLICY, CachingTracker

    postgres = PostgresServer()
    postgres.start()
    try:
        life = build_life(folder, YAML)
        postgres.make_template()
        url, home, storage = postgres.url(postgres.new_database()), folder / "home", folder / "storage"
        database, log = PostgresDatabase(url, life.clock, FAKE_KEY), SegmentedPredictionLog(storage)
        tracker = CachingTracker(home / "serving" / "artefacts")
        tracker.cache.mkdir(parents=True)
        (home / "artefacts").symlink_to(tracker.cache)  # where the command line keeps what it fetched
        life.predictions = log  # type: ignore[assignment]
        life.services = replace(
            life.services, database=database, predictions=log, tracker=tracker, models=tracker, mirror=tracker
        )
        (home / "ledger.key").write_text(FAKE_KEY.hex())
        (home / "calendar").write_text(life.clock.now().isoformat())
        settings = {
            "STEWARD_HOME": str(home),
            "STEWARD_DATABASE_URL": url,
            "STEWARD_STORAGE": str(storage),
            "STEWARD_MODELS_DIR": str(folder / "models"),
            "STEWARD_POLICY_FILE": str(POLICY),
            "STEWARD_MLFLOW_URL": NOBODY,
            "STEWARD_CLOCK_FILE": str(home / "calendar"),
            "STEWARD_LEDGER_KEY_FILE": str(home / "ledger.key"),
        }
        yield House(life, folder, postgres, settings)
        database.close()
    finally:
        postgres.discard()


class Heard(NamedTuple):
    """`retried`: the first server did not answer, another did."""

    at: float
    status: int
    version: str
    role: str
    retried: bool


class Callers:
    """Threads that ask any server; one that does not answer, or is not ready yet, is left for another."""

    def __init__(self, urls: tuple[str, ...], threads: int = 6, pause: float = 0.02) -> None:
        self.heard: list[Heard] = []
        self._urls, self._pause, self._done = urls, pause, threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(30)

    def since(self, instant: float) -> list[Heard]:
        return [heard for heard in list(self.heard) if heard.at >= instant]

    def failed(self) -> list[Heard]:
        return [heard for heard in list(self.heard) if heard.status != 200]

    def _ask_on(self, number: int) -> None:
        clients = [httpx.Client(base_url=url, timeout=10, trust_env=False) for url in self._urls]
        while not self._done.is_set():
            random.shuffle(clients)
            self.heard.append(self._ask(clients))
            time.sleep(self._pause)
        for client in clients:
            client.close()

    def _ask(self, clients: list[httpx.Client]) -> Heard:
        tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [random.gauss(0, 1)]}
        body = {"inputs": [tensor], "parameters": {"key": str(random.random())}}
        for number, client in enumerate(clients):
            try:
                response = client.post("/v2/models/toy/infer", json=body)
            except httpx.TransportError:
                continue
            if response.status_code == 503 and "retry-after" in response.headers:
                continue
            said = response.json()
            role = said.get("parameters", {}).get("role", response.text)
            return Heard(time.monotonic(), response.status_code, said.get("model_version", ""), role, number > 0)
        return Heard(time.monotonic(), 0, "", "nobody answered", True)


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def test_a_rehearsed_rollback_is_quick_and_costs_no_answer(estate: Estate) -> None:
    with Callers(estate.urls, threads=3, pause=0.1) as callers:
        eventually("callers are answered", lambda: len(callers.heard) > 30)
        rehearsed = estate.house.steward("rehearse", "toy", "--json")
        assert rehearsed.returncode == 0, rehearsed.stdout + rehearsed.stderr
        drill = json.loads(rehearsed.stdout)
        assert (drill["outcome"], drill["to"]) == ("PASSED", 2)
        assert {heard.version for heard in callers.heard} == {"3"}, "a rehearsal changes nobody's answer"
        crowded = slowdown()
        rollbacks = [roll_back(estate, callers), roll_back(estate, callers, "--to", "1")]
        crowded = max(1.0, min(crowded, slowdown()))
    assert [(done["from"], done["to"]) for done, _ in rollbacks] == [(3, 2), (2, 1)]
    assert callers.failed() == []
    assert is_whole(estate)
    for done, took in rollbacks:
        slowest = max(server["followed"] for server in done["proof"]["servers"])
        print(
            f"\nrollback: {took:.2f} s from the start of the command to its end ({done['seconds_to_proof']:.2f} s of "
            f"it the work, servers followed within {slowest:.2f} s)"
        )
    print(
        f"0 of {len(callers.heard)} requests failed meanwhile; the rehearsal said {drill['seconds']:.2f} s; "
        f"all work took {crowded:.1f} times its own time here"
    )
    assert min(took for _, took in rollbacks) <= FULL_ROLLBACK * crowded


def slowdown() -> float:
    """How much longer than its own work takes something lasts on this machine now: others may use it too."""
    started, worked = time.perf_counter(), time.process_time()
    program = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    return (time.perf_counter() - started - (time.process_time() - worked)) / 0.5


def roll_back(estate: Estate, callers: Callers, *to: str) -> tuple[dict[str, Any], float]:
    """→ what the command said, and how long it took from its start; afterwards nobody meets the version that left."""
    started = time.monotonic()
    rolled = estate.house.steward("rollback", "toy", *to, "--reason", "complaints", "--json")
    ended = time.monotonic()
    assert rolled.returncode == 0, rolled.stdout + rolled.stderr
    done = json.loads(rolled.stdout)
    assert done["proof"]["outcome"] == "PASSED"
    time.sleep(0.5)
    assert {heard.version for heard in callers.since(ended)} == {str(done["to"])}
    return done, ended - started


def is_whole(estate: Estate) -> bool:
    with estate.life.services.database.begin() as tx:
        return tx.events.verify().intact and differences(tx) == []


@pytest.mark.parametrize(("kind", "strength"), [("fails", 0.5), ("nan", 0.25), ("hangs", 0.125)])
def test_a_bad_canary_is_off_traffic_with_nobody_to_ask(estate: Estate, kind: str, strength: float) -> None:
    """Airflow does not run here, and PostgreSQL is stopped before the canary falls ill."""
    life, number = estate.life, begin_canary(estate, strength)
    with Callers(estate.urls) as callers:
        eventually("the canary answers", lambda: "canary" in {heard.role for heard in callers.heard})
        estate.house.postgres.stop()
        try:
            estate.fall_ill(strength, kind)
            ill_at = time.monotonic()
            eventually("every server took it off", lambda: all(is_off(estate, url) for url in estate.urls), 30)
            took, off_at = time.monotonic() - ill_at, time.monotonic()
            time.sleep(1)
        finally:
            estate.house.postgres.start()
        eventually("the trip is recorded", lambda: life.state(number) == "rejected", 30)
        estate.follows()
    estate.sick.unlink()
    assert callers.failed() == []
    assert {heard.role for heard in callers.since(off_at + 0.1)} == {"champion"}
    (event,) = [event for event in life.events("rollout.rolled_back") if event.version == number]
    assert event.actor == "model-server"
    assert "errors among its last" in event.reason
    assert is_whole(estate)
    print(f"\na canary that {kind}: off traffic on two servers after {took:.1f} s, {len(callers.heard)} answered")
    assert took <= OFF_TRAFFIC


def begin_canary(estate: Estate, strength: float) -> int:
    """A new version fitted with this C takes its first step, on every server."""
    life = estate.life
    trained = life.train({"C": strength})
    life.approve(trained)
    rollout = life.do("start_rollout", trained["run"], version=trained["version"])["rollout"]
    life.do("shift_traffic", trained["run"], rollout=rollout, percent=20)
    estate.follows()
    return int(trained["version"])


def is_off(estate: Estate, url: str) -> bool:
    row = estate.row(url, "canary")
    return row is not None and "errors among" in row["reason"]


def test_a_server_that_is_killed_costs_callers_of_another_nothing(estate: Estate) -> None:
    """Its routing table and artefacts are where it left them; it comes back beside the one that stayed."""
    url = estate.urls[0]
    with Callers(estate.urls) as callers:
        eventually("callers are answered", lambda: len(callers.heard) > 50)
        estate.processes[url].kill()
        estate.processes[url].wait(10)
        time.sleep(1)
        killed_at = time.monotonic()
        estate.start(int(url.rpartition(":")[2]))
        eventually("it is back", lambda: estate.is_ready(url))
        back = time.monotonic() - killed_at
        time.sleep(0.5)
    assert callers.failed() == []
    retried = sum(heard.retried for heard in callers.heard)
    assert retried > 0, "nobody met the dead server"
    print(f"\nkill -9: 0 of {len(callers.heard)} lost, {retried} asked the other server; back after {back:.1f} s")


def test_no_answer_is_lost_or_a_strangers_while_routes_change(estate: Estate, tmp_path: Path) -> None:
    numbers = usable_versions(estate)
    routes = {estate.route().epoch: {estate.route().champion}}
    stop, out = tmp_path / "stop", tmp_path / "answers"
    port = estate.urls[0].rpartition(":")[2]
    command = [sys.executable, "-m", "tests.faults.steady_client", port, str(REQUESTS), str(CONNECTIONS)]
    started = time.monotonic()
    client = subprocess.Popen([*command, str(stop), str(out)])
    try:
        for _ in range(CHANGES):
            champion, other = random.sample(numbers, 2)
            canary = random.choice([None, other])
            route = change_route(estate, champion, canary, random.choice([5, 50, 100]) if canary else 0)
            routes[route.epoch] = {champion, canary} if canary else {champion}
            time.sleep(0.05)
        estate.follows()
        stop.touch()
        assert client.wait(120) == 0
    finally:
        if client.poll() is None:
            client.kill()
            client.wait(10)
    took = time.monotonic() - started
    answers = [line.split("\t") for line in out.read_text().splitlines()]
    failed = [answer for answer in answers if answer[1] != "200"]
    assert len(answers) >= REQUESTS
    assert failed == []
    logged = log_of(estate, {name for name, _, _ in answers})
    strangers = [(name, version) for name, _, version in answers if int(version) not in routes[logged[name][1]]]
    assert strangers == []
    assert all(str(logged[name][0]) == version for name, _, version in answers), "the log says who answered"
    epochs = Counter(epoch for _, epoch in logged.values())
    print(
        f"\nswap under load: {len(answers):,} requests, {CHANGES} changes in {took:.0f} s ({len(epochs)} of them met "
        f"by a request): 0 failed, 0 answered by a version outside the table"
    )


def usable_versions(estate: Estate) -> list[int]:
    """The champion, and the two before it: servers load nothing else than what was released."""
    numbers = [estate.route().champion]
    for strength in (0.75, 0.875):
        trained = estate.life.train({"C": strength})
        estate.life.approve(trained)
        estate.life.release(trained)
        numbers.append(trained["version"])
    estate.follows()
    return numbers


def change_route(estate: Estate, champion: int, canary: int | None, percent: int) -> Any:
    with estate.life.services.database.begin() as tx:
        route = tx.routes.get("toy")
        assert route is not None
        return tx.routes.set(
            replace(route, champion=champion, canary=canary, percent=percent, standby=None, epoch=route.epoch + 1)
        )


def log_of(estate: Estate, names: set[str]) -> dict[str, tuple[int, int]]:
    """Version and epoch by decision id, once all of them are stored."""
    now = estate.life.clock.now()
    window = Window(now - timedelta(days=1), now + timedelta(days=1))
    found: dict[str, tuple[int, int]] = {}

    def all_there() -> bool:
        frame = estate.life.predictions.served("toy", window, ["decision_id", "version", "epoch"])
        found.update(
            (name, (int(version), int(epoch)))
            for name, version, epoch in zip(frame["decision_id"], frame["version"], frame["epoch"], strict=True)
        )
        return names <= set(found)

    eventually("every answer is logged", all_there, 30)
    return found


def test_servers_with_a_hung_version_still_end_when_told(estate: Estate) -> None:
    """Last of this file: it ends both."""
    assert set(estate.stop()) <= {0, -signal.SIGTERM}
