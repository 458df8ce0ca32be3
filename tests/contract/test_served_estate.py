"""What every ServedEstate must do: the fake beside a real server asked over HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sklearn.linear_model import LogisticRegression

from steward.adapters.served_estate import HttpServedEstate
from steward.clock import SystemClock
from steward.errors import UnavailableError
from steward.inventory import ServedVersion
from steward.serving.app import ServerOptions, create_app
from steward.spec import load_spec
from steward.testing.control_plane import FakeServingSources
from steward.testing.data_stores import FakePredictionLog
from steward.testing.estate import FakeServedEstate

SPEC = Path(__file__).parents[1] / "golden" / "specs" / "sound.yaml"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(app: Any) -> Iterator[str]:
    port = free_port()
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.should_exit = True
        thread.join(10)


def test_a_server_says_what_it_serves(tmp_path: Path) -> None:
    spec, sources = load_spec(SPEC), FakeServingSources(tmp_path / "store")
    estimator = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    version = sources.register(spec, 3, estimator)
    app = create_app(sources, FakePredictionLog(), SystemClock(), ServerOptions(home=tmp_path, token="t0ken"))
    with server(app) as url:
        real = HttpServedEstate([url], "t0ken")
        deadline = time.monotonic() + 20
        while not httpx_ready(url) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert real.served() == []  # nothing is routed yet
        sources.route(spec.model, champion=3)
        while not real.served() and time.monotonic() < deadline:
            time.sleep(0.05)
        fake = FakeServedEstate()
        fake.versions = [ServedVersion(url, spec.model, 3, version.artefact_digest, "champion")]
        assert real.served() == fake.served()
        with pytest.raises(UnavailableError, match="401"):
            HttpServedEstate([url]).served()
    with pytest.raises(UnavailableError, match="does not say what it serves"):
        real.served()
    fake.away = True
    with pytest.raises(UnavailableError):
        fake.served()


def httpx_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v2/health/live", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False
