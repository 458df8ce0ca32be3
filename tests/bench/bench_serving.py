"""One-row requests per second with logging on, beside a bare handler and beside `mlflow models serve`.

The same fitted pipeline behind each, one server process each, asked in turn by the same two connections from this
process. The ratio is what to compare between machines.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.bench.serving_processes import MODEL

from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.adapters.skops_models import TRUSTED_TYPES, save_model
from steward.types import Window

pytestmark = [pytest.mark.bench, pytest.mark.timeout(240)]

CONNECTIONS, ROUNDS, SECONDS = 2, 5, 2.0
# MLflow starts `uvicorn` by name.
PATHS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": PATHS}


def flights_model() -> tuple[Any, pd.DataFrame]:
    """The shipped model, fitted on two weeks, and some rows to ask about."""
    file = Path("include/models") / MODEL / "model.py"
    described = importlib.util.spec_from_file_location("bench_flights", file)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    frame = module.load(datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 15, tzinfo=UTC)).dropna(subset="late")
    return module.build({}).fit(frame[module.FEATURES], frame["late"]), frame[module.FEATURES]


def tensors(row: dict[str, Any]) -> bytes:
    inputs = [
        {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
        for name, value in row.items()
    ]
    return json.dumps({"inputs": inputs}).encode()


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(frame.to_json(orient="records"))


@contextmanager
def process(command: list[str], port: int, health: str) -> Iterator[int]:
    """Port of a server that answers; it is ended by SIGTERM and waited for."""
    log = subprocess.DEVNULL
    running = subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 90
        while not answers(port, health):
            assert running.poll() is None, f"{command} ended with {running.returncode}"
            assert time.monotonic() < deadline, f"{command} did not answer in time"
            time.sleep(0.1)
        yield port
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGTERM)
        running.wait(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
            return int(connection.recv(100).split(b" ")[1]) in {200, 404}
    except OSError:
        return False


def requests_per_second(port: int, path: str, bodies: list[bytes], seconds: float) -> float:
    """Closed loop on CONNECTIONS connections; every answer must be 200."""
    counts, until = [0] * CONNECTIONS, time.monotonic() + seconds

    def ask(worker: int) -> None:
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while time.monotonic() < until:
                body = bodies[counts[worker] % len(bodies)]
                head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                assert read_answer(connection) == 200
                counts[worker] += 1

    workers = [threading.Thread(target=ask, args=(worker,)) for worker in range(CONNECTIONS)]
    started = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert min(counts) > 0, "a connection got no answer"
    return sum(counts) / (time.monotonic() - started)


def read_answer(connection: socket.socket) -> int:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, body = received.split(b"\r\n\r\n", 1)
    lines = [line.split(b":", 1) for line in head.lower().split(b"\r\n")[1:]]
    left = int(dict(lines)[b"content-length"]) - len(body)
    while left > 0:
        left -= len(connection.recv(left))
    return int(head.split(b" ", 2)[1])


def mlflow_folder(model: Any, example: pd.DataFrame, folder: Path) -> Path:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    signature = infer_signature(example, model.predict_proba(example))
    mlflow.sklearn.save_model(
        model,
        folder,
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
        signature=signature,
        pyfunc_predict_fn="predict_proba",
        pip_requirements=["scikit-learn"],
    )
    return folder


def test_requests_per_second(report: Report, tmp_path: Path) -> None:
    model, frame = flights_model()
    save_model(model, tmp_path / "model")
    rows = plain(frame.head(200))
    bodies = [tensors(row) for row in rows]
    mlflow_bodies = [json.dumps({"dataframe_records": [row]}).encode() for row in rows]
    infer = f"/v2/models/{MODEL}/infer"
    asked = {"bare": (infer, bodies), "steward": (infer, bodies), "mlflow": ("/invocations", mlflow_bodies)}
    served = [sys.executable, "-m", "tests.bench.serving_processes"]
    ports = {name: free_port() for name in asked}
    commands = {name: [*served, name, str(ports[name]), str(tmp_path)] for name in ("bare", "steward")}
    folder = mlflow_folder(model, frame.head(5), tmp_path / "mlflow")
    scoring = ["models", "serve", "-m", str(folder), "--env-manager", "local", "-p", str(ports["mlflow"])]
    commands["mlflow"] = [sys.executable, "-m", "mlflow", *scoring, "-h", "127.0.0.1", "--workers", "1"]
    figures: dict[str, list[float]] = {name: [] for name in asked}
    with ExitStack() as running:
        for name, command in commands.items():
            health = "/ping" if name == "mlflow" else f"/v2/models/{MODEL}/ready"
            running.enter_context(process(command, ports[name], health))
        for turn in range(ROUNDS + 1):
            for name, (path, given) in asked.items():
                speed = requests_per_second(ports[name], path, given, SECONDS if turn else 0.5)
                if turn:  # the first turn warms
                    figures[name].append(speed)
    speeds = {name: statistics.median(values) for name, values in figures.items()}
    hand_in(speeds, len(stored(tmp_path / "tables")), report)


def stored(tables: Path) -> pd.DataFrame:
    today = datetime.now(UTC)
    window = Window(today.replace(year=today.year - 1), today.replace(year=today.year + 1))
    return SegmentedPredictionLog(str(tables)).served(MODEL, window, ["decision_id"])


def hand_in(speeds: dict[str, float], logged: int, report: Report) -> None:
    assert logged > 100, "the log is on"
    names = {"bare": "a bare handler", "steward": "Steward, logging", "mlflow": "`mlflow models serve`"}
    for other in ("bare", "mlflow"):
        what = f"One-row requests a second, logged, beside {names[other]}"
        report.headline(what, speeds["steward"], speeds[other], "a second")
    figures = [Figure(names[name], speed, "a second", speed / speeds["bare"]) for name, speed in speeds.items()]
    report.table(f"One-row requests, {CONNECTIONS} connections, one server process each", names["bare"], *figures)
