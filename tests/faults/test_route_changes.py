"""A changed route reaches every server within a second, and no server ever goes back to an older one.

Three `steward serve` processes on one PostgreSQL; one of them is killed and starts again, and the database goes away
and comes back.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.faults.test_serving_without_database import House, eventually, house, is_ready

from steward.rollout import Route

__all__ = ["house"]  # a fixture
pytestmark = pytest.mark.faults

SERVERS, CHANGES = 3, 100
PAUSE, LOOK = 0.05, 0.01
SECOND = 1.0
BESIDE: tuple[dict[str, Any], ...] = (
    {},
    {"canary": 2, "percent": 20},
    {"canary": 2, "percent": 100},
    {"shadow": 2},
    {"standby": 2},
    {"champion": 2, "standby": 1},
)


class Server:
    """A server process, and a thread that writes down when it was first seen at each epoch."""

    def __init__(self, house: House) -> None:
        self.house, self.seen, self.lowered = house, {}, []  # type: ignore[var-annotated]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=5, trust_env=False)
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self.start()
        self._watcher.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "steward.serving", "--port", str(self.port)]
        self.process = subprocess.Popen(command, env={**os.environ, **self.house.settings})

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        self._stopping.set()
        self._watcher.join(10)
        self.client.close()
        self.kill()

    @property
    def epoch(self) -> int:
        return max(self.seen, default=0)

    def _watch(self) -> None:
        highest = 0
        with httpx.Client(base_url=self.client.base_url, timeout=5, trust_env=False) as client:
            while not self._stopping.wait(LOOK):
                try:
                    epoch = client.get("/v2/health/ready").json()["epochs"].get("toy", 0)
                except httpx.HTTPError:
                    continue
                if 0 < epoch < highest:
                    self.lowered.append((highest, epoch))
                if epoch > highest:
                    highest = epoch
                    self.seen[epoch] = time.monotonic()

    def reached(self, epoch: int) -> float:
        """When it was first seen at this epoch or a later one."""
        return min(at for number, at in self.seen.items() if number >= epoch)


@contextmanager
def servers(house: House) -> Iterator[list[Server]]:
    running: list[Server] = []
    try:
        running += [Server(house) for _ in range(SERVERS)]
        for server in running:
            eventually("the server is ready", lambda server=server: is_ready(server.client))  # type: ignore[misc]
        yield running
    finally:
        for server in running:
            server.stop()


def change(house: House, **parties: Any) -> tuple[int, float]:
    """Commit another route under the next epoch; the epoch, and when it was committed."""
    database, clock = house.life.services.database, house.life.clock
    with database.begin() as tx:
        present = tx.routes.get("toy")
        assert present is not None
        named = Route("toy", parties.pop("champion", 1), None, 0, present.epoch + 1, clock.now())
        route = tx.routes.set(replace(named, **parties))
    return route.epoch, time.monotonic()


def all_at(running: list[Server], epoch: int) -> bool:
    return all(server.epoch >= epoch for server in running)


def test_every_change_reaches_every_server_within_a_second(house: House, record_property: Any) -> None:
    life = house.life
    for params in (None, {"C": 0.5}):
        life.approve(trained := life.train(params))
        life.release(trained)
    with servers(house) as running:
        took = changes_one_by_one(house, running)
        told = f"{CHANGES} changes, {SERVERS} servers: p50 {took[0] * 1000:.0f} ms, p99 {took[1] * 1000:.0f} ms"
        record_property("route changes", told)
        print(f"\nfrom commit to in force: {told}")
        assert took[1] <= SECOND
        killed_server_comes_back(house, running)
        database_goes_away(house, running)
        assert [server.lowered for server in running] == [[]] * SERVERS


def changes_one_by_one(house: House, running: list[Server]) -> tuple[float, float]:
    """p50 and p99 of the seconds from commit to in force, over all changes and servers."""
    change(house, canary=2, percent=20)  # both versions are in memory from here on
    change(house, standby=2)
    draw, made = random.Random(3), {}
    for _ in range(CHANGES):
        epoch, at = change(house, **draw.choice(BESIDE))
        made[epoch] = at
        time.sleep(PAUSE)
    eventually("all servers follow", lambda: all_at(running, max(made)), 20)
    took = sorted(server.reached(epoch) - at for epoch, at in made.items() for server in running)
    return statistics.median(took), took[int(0.99 * len(took))]


def killed_server_comes_back(house: House, running: list[Server]) -> None:
    """What changed while it was down is in force when it is ready again; the others did not wait for it."""
    down, *others = running
    down.kill()
    epoch, at = change(house, canary=2, percent=20)
    eventually("the others follow", lambda: all_at(others, epoch), 10)
    assert max(server.reached(epoch) for server in others) - at <= SECOND
    down.start()
    eventually("the killed server is back", lambda: all_at(running, epoch), 30)


def database_goes_away(house: House, running: list[Server]) -> None:
    """The last table stays, also for a server that starts meanwhile; the first change afterwards reaches everyone."""
    before = max(server.epoch for server in running)
    house.postgres.stop()
    try:
        running[-1].kill()
        running[-1].start()
        eventually("a server starts from its own disk", lambda: is_ready(running[-1].client), 30)
        for server in running:
            health = server.client.get("/v2/health/ready")
            assert (health.status_code, health.json()["epochs"]) == (200, {"toy": before})
    finally:
        house.postgres.start()
    epoch, at = change(house, shadow=2)
    eventually("all servers follow again", lambda: all_at(running, epoch), 20)
    print(f"after the database was back: {max(s.reached(epoch) for s in running) - at:.1f} s")
