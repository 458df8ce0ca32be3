"""A server that is told to end loses nothing; one that is killed loses at most a flush interval, and it is counted."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tests.unit.serving.conftest import MODEL, ROW, tensors

from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.types import Window

pytestmark = pytest.mark.faults

DAY = Window(datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 4, 2, tzinfo=UTC))


@contextmanager
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "tests.faults.server_under_test", str(folder), str(port)])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            wait_for(client, process)
            yield process, client
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def wait_for(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get(f"/v2/models/{MODEL}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the server did not start")


def ask(client: httpx.Client, name: str) -> None:
    response = client.post(f"/v2/models/{MODEL}/infer", json={**tensors(ROW), "id": name})
    assert response.status_code == 200


def stored(folder: Path) -> set[str]:
    return set(SegmentedPredictionLog(str(folder / "tables")).served(MODEL, DAY, ["decision_id"])["decision_id"])


def test_a_server_told_to_end_stores_every_answer(tmp_path: Path) -> None:
    with server(tmp_path) as (process, client):
        for i in range(40):
            ask(client, f"d{i}")
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert stored(tmp_path) == {f"d{i}" for i in range(40)}


def test_a_killed_server_loses_a_flush_interval_at_most_and_the_next_one_counts_it(tmp_path: Path) -> None:
    answered: dict[str, float] = {}
    with server(tmp_path) as (process, client):
        until = time.monotonic() + 3.5
        while time.monotonic() < until:
            ask(client, name := f"d{len(answered)}")
            answered[name] = time.monotonic()
        process.kill()
        killed_at = time.monotonic()
    lost = set(answered) - stored(tmp_path)
    assert all(killed_at - answered[name] < 2.0 for name in lost), "one interval, and the store's own time"
    with server(tmp_path) as (_, client):
        counted = re.search(r"^steward_prediction_log_lost_total\S* (\S+)$", client.get("/metrics").text, re.MULTILINE)
        assert counted is not None
        assert float(counted[1]) >= len(lost)
