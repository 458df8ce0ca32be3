"""Self-healing with a real server, a real PostgreSQL and `steward heal`: nobody is left without an answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.faults.test_serving_without_database import House, eventually
from tests.faults.test_way_back import a_house, free_ports

from steward.actions.governance.verifying import differences
from steward.types import VersionRef

pytestmark = pytest.mark.faults

SICK = 2.0  # how version 2 was fitted: the server's estimators fall ill by it


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Version 2 serves, version 1 stands by."""
    with a_house(tmp_path_factory.mktemp("healing")) as house:
        for params in ({"C": 1.0}, {"C": SICK}):
            trained = house.life.train(params)
            house.life.approve(trained)
            house.life.release(trained)
            house.life.do("close_run", trained["run"])
        (house.folder / "home" / "calendar").write_text(house.life.clock.now().isoformat())
        yield house


@contextmanager
def server(house: House) -> Iterator[str]:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    house.settings["STEWARD_SERVER_URL"] = url
    environment = {**os.environ, **house.settings, "STEWARD_TEST_SICK": str(house.folder / "sick")}
    process = subprocess.Popen([sys.executable, "-m", "tests.faults.sick_server", str(port)], env=environment)
    try:
        eventually("the server is ready", lambda: answers(url) == 200)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def answers(url: str) -> int:
    try:
        return httpx.get(f"{url}/v2/models/toy/ready", timeout=5).status_code
    except httpx.TransportError:
        return 0


class Caller:
    """Asks on until it is told to stop: what was heard, by version (a number) or status."""

    def __init__(self, url: str) -> None:
        self.url, self.heard, self._stop = url, Counter[str](), threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)

    def __enter__(self) -> Caller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(15)

    def _ask_on(self) -> None:
        with httpx.Client(timeout=10, trust_env=False) as client:
            place = 0
            while not self._stop.wait(0.01):
                place += 1
                said = client.post(f"{self.url}/models/toy/invocations", json={"dataframe_records": [{"x": place % 7}]})
                version = said.headers.get("x-steward-version", "") if said.status_code == 200 else ""
                self.heard[version or f"status {said.status_code}"] += 1


def heal(house: House, *options: str) -> Any:
    done = house.steward("heal", "--json", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["found"]


def incidents(house: House, cause: str) -> list[Any]:
    with house.life.services.database.begin() as tx:
        assert tx.events.verify().intact
        assert differences(tx) == []
        return [each for each in tx.incidents.all("toy") if each.cause == cause]


def artefact(house: House, number: int) -> Path:
    with house.life.services.database.begin() as tx:
        digest = tx.versions.get(VersionRef("toy", number)).artefact_digest
    return house.folder / "home" / "serving" / "artefacts" / digest


def test_a_lost_artefact_costs_nobody_an_answer_and_everybody_hears_of_it(house: House) -> None:
    kept = artefact(house, 2)
    away = kept.rename(house.folder / "lost")
    with server(house) as url, Caller(url) as caller:
        eventually("the last good version answers", lambda: caller.heard["1"] > 20)
        (found,) = heal(house)
        assert f"{url} cannot load version 2, version 1 answers instead" in found["said"]
        assert heal(house) == []
        (fell,) = house.life.events("server.fell_back")
        assert (fell.version, fell.body["server"], fell.body["answering"]) == (2, url, 1)
        away.rename(kept)
        eventually("the champion is back", lambda: caller.heard["2"] > 20)
        (over,) = heal(house)
        assert over["said"] == "every server answers and has what it should serve"
    assert set(caller.heard) == {"1", "2"}, caller.heard
    (incident,) = incidents(house, "serving")
    assert incident.state == "resolved"
    print(f"\n{caller.heard.total()} requests answered, none failed")


def test_a_server_that_is_away_is_told_and_over_when_it_is_back(house: House) -> None:
    (port,) = free_ports(1)
    house.settings["STEWARD_SERVER_URL"] = f"http://127.0.0.1:{port}"
    (found,) = heal(house)
    assert (found["kind"], found["model"]) == ("serving", "*")
    with server(house):
        heal(house)
    with house.life.services.database.begin() as tx:
        assert [each.state for each in tx.incidents.all("*")] == ["resolved"]


def test_a_champion_that_falls_ill_in_service_gives_way_by_itself(house: House) -> None:
    with server(house) as url, Caller(url) as caller:
        eventually("the champion answers", lambda: caller.heard["2"] > 20)
        (house.folder / "sick").write_text(f"{SICK} fails")
        eventually("requests fail", lambda: caller.heard["status 500"] > 40)
        time.sleep(2)  # a flush interval of the log
        began = time.monotonic()
        (found,) = heal(house)
        assert (found["rolled_back"]["from"], found["rolled_back"]["to"]) == (2, 1)
        healthy = caller.heard["1"]
        eventually("the version before answers", lambda: caller.heard["1"] > healthy + 20)
        print(f"\nfrom the start of `steward heal` to answers of the version before: {time.monotonic() - began:.1f} s")
    (event,) = house.life.events("rollout.rolled_back")
    assert "error rate is" in event.reason
    assert [each.state for each in incidents(house, "operation")] == ["resolved"]
