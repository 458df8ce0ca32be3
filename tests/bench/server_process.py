"""A server under measurement: a process, what it and its children cost, and how it is asked."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

# MLflow starts `uvicorn` by name.
PATHS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": PATHS}


@dataclass(frozen=True)
class Measured:
    """One closed loop. `cpu` in seconds per request, of the server and its children; the others in seconds too."""

    per_second: float
    cpu: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Server:
    """One that answers POST `path`. `started` is how long it took to its first answer."""

    pid: int
    port: int
    path: str
    started: float

    def asked(self, bodies: Path, seconds: float, connections: int) -> Measured:
        before = self._cpu()
        command = [sys.executable, "-m", "tests.bench.load"]
        given = [str(self.port), self.path, str(bodies), str(seconds), str(connections)]
        said = subprocess.run([*command, *given], check=True, capture_output=True, text=True, timeout=seconds + 60)
        found = json.loads(said.stdout)
        assert found["requests"] > 0
        return Measured(found["per_second"], (self._cpu() - before) / found["requests"], found["p50"], found["p99"])

    def _cpu(self) -> float:
        process = psutil.Process(self.pid)
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
        return sum(each.user + each.system for each in times)


@contextmanager
def running(command: list[str], port: int, path: str, body: bytes, log: Path) -> Iterator[Server]:
    """A server that answers this request; it is ended by SIGTERM and waited for."""
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=ENVIRONMENT, stdout=out, stderr=out, start_new_session=True)
    try:
        while not answers(port, path, body):
            assert process.poll() is None, f"{command} ended: {log.read_text()[-2000:]}"
            assert time.monotonic() < began + 90, f"{command} did not answer in time: {log.read_text()[-2000:]}"
            time.sleep(0.05)
        yield Server(process.pid, port, path, time.monotonic() - began)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def answers(port: int, path: str, body: bytes) -> bool:
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nConnection: close\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return connection.recv(100).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
