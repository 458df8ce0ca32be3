"""Several server processes behind one port: any may end or die, and nobody is left without an answer."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.unit.serving.conftest import MODEL, ROW, tensors

pytestmark = pytest.mark.faults

INFER = f"/v2/models/{MODEL}/infer"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server(folder: Path, port: int, workers: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.faults.worker_under_test", str(folder), str(port), str(workers)]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        children = psutil.Process(process.pid).children() if process.poll() is None else []
        for each in (*children, process):
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                each.kill()
        process.wait(10)


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if found := condition():
                return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def slots_ready(folder: Path, port: int, count: int) -> bool:
    """Each has its slot, and says by its metrics that its model is routed."""
    kept = list((folder / "serving" / "slots").glob("*/metrics.json"))
    return len(kept) >= count and all(b"steward_route_epoch" in path.read_bytes() for path in kept)


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


class Askers:
    """Clients with connections of their own, asking until told to stop. `answers`: status, or what went wrong."""

    def __init__(self, port: int, count: int = 4) -> None:
        self.answers: list[int | str] = []
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port,)) for _ in range(count)]

    def __enter__(self) -> Askers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, port: int) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            while not self._done.is_set():
                try:
                    self.answers.append(client.post(INFER, json=tensors(ROW)).status_code)
                except httpx.TransportError as error:
                    self.answers.append(repr(error))
                time.sleep(0.002)


def counted(port: int) -> float:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return sum(float(value) for value in re.findall(r"^steward_requests_total{.*} (\S+)$", text, re.MULTILINE))


def test_one_of_two_servers_on_a_port_ends_and_no_request_fails(tmp_path: Path) -> None:
    port = free_port()
    with server(tmp_path, port) as leaving, server(tmp_path, port) as staying:
        until(lambda: slots_ready(tmp_path, port, 2))
        with Askers(port) as askers:
            until(lambda: len(askers.answers) > 50)
            leaving.send_signal(signal.SIGTERM)
            assert leaving.wait(30) == 0
            after = len(askers.answers)
            until(lambda: len(askers.answers) > after + 50)
        assert staying.poll() is None
        assert set(askers.answers) == {200}
        until(lambda: counted(port) == len(askers.answers), 10)


def test_a_killed_worker_is_replaced_and_its_counts_stay(tmp_path: Path) -> None:
    port = free_port()
    with server(tmp_path, port, workers=2) as supervisor:
        until(lambda: slots_ready(tmp_path, port, 2))
        with Askers(port) as askers:
            until(lambda: len(askers.answers) > 50)
            first, _ = workers_of(supervisor)
            first.kill()
            after = len(askers.answers)
            replaced = until(lambda: {each.pid for each in workers_of(supervisor) if each.is_running()} - {first.pid})
            until(lambda: len(askers.answers) > after + 50)
        failed = [answer for answer in askers.answers if answer != 200]
        assert len(failed) <= 4, "at most the requests it had in its hands, one per connection"
        assert replaced
        until(lambda: len([e for e in workers_of(supervisor) if e.status() != psutil.STATUS_ZOMBIE]) == 2)
        time.sleep(1.5)
        seen = {counted(port) for _ in range(10)}
        lost = len(askers.answers) - min(seen)
        assert len(seen) == 1, "whichever worker is asked"
        assert lost <= len(failed) + 300, "a killed worker takes a second of counts at most"
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(30) == 0


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    with server(tmp_path, free_port(), workers=2) as supervisor:
        children = until(lambda: len(found := workers_of(supervisor)) == 2 and found)
        supervisor.kill()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive


def test_readiness_tells_before_the_end_and_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    port = free_port()
    with server(tmp_path, port) as process, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        until(lambda: client.get("/v2/health/ready").status_code == 200)
        process.send_signal(signal.SIGTERM)
        told = until(lambda: (answer := client.get("/v2/health/ready")).status_code == 503 and answer, 5)
        assert told.json()["ready"] is False
        assert told.headers["connection"] == "close"
        assert client.post(INFER, json=tensors(ROW)).status_code == 200, "what still comes is answered"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(1) == 128 + signal.SIGTERM
