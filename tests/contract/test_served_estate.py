"""What every ServedEstate must do: the fake beside a real server asked over HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import uvicorn
from sklearn.linear_model import LogisticRegression

from steward.adapters.served_estate import HttpServedEstate
from steward.clock import SystemClock
from steward.errors import UnavailableError
from steward.inventory import ServedVersion
from steward.serving.http.app import ServerOptions, create_app
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


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[tuple[HttpServedEstate, FakeServedEstate]]:
    """A server whose champion of epoch 1 is version 3, and the fake that says the same; nobody is at the second url."""
    spec, sources = load_spec(SPEC), FakeServingSources(tmp_path / "store")
    version = sources.register(spec, 3, a_pipeline())
    sources.route(spec.model, champion=3)
    nobody = f"http://127.0.0.1:{free_port()}"
    app = create_app(sources, FakePredictionLog(), SystemClock(), ServerOptions(home=tmp_path, token="t0ken"))
    with server(app) as url:
        real, fake = HttpServedEstate([url, nobody], "t0ken", timeout=2), FakeServedEstate()
        fake.versions = [ServedVersion(url, spec.model, 3, version.artefact_digest, "champion")]
        fake.endpoints, fake.epochs = (url, nobody), {(url, spec.model): 1, (nobody, spec.model): 0}
        fake.answer = lambda row: score_of(row) if set(row) <= {"distance", "carrier"} else None
        deadline = time.monotonic() + 20
        while real.followed(spec.model, 1, timedelta(seconds=0.5))[url] is None:
            assert time.monotonic() < deadline, "the server did not start"
        yield real, fake


def a_pipeline() -> Any:
    frame = pd.DataFrame({"distance": [0.0, 1.0, 2.0, 3.0]})
    return LogisticRegression().fit(frame, [0, 0, 1, 1])


def score_of(row: dict[str, Any]) -> float:
    return float(a_pipeline().predict_proba(pd.DataFrame({"distance": [row["distance"]]}))[0, 1])


@pytest.mark.parametrize("which", [0, 1], ids=["http", "fake"])
def test_it_says_who_follows_an_epoch(estate: Any, which: int) -> None:
    url, nobody = estate[which].urls if which == 0 else estate[which].endpoints
    followed = estate[which].followed("flight_delays", 1, timedelta(seconds=1))
    assert followed[url] < 1
    assert followed[nobody] is None
    assert estate[which].followed("flight_delays", 2, timedelta(seconds=0.2)) == {url: None, nobody: None}


@pytest.mark.parametrize("which", [0, 1], ids=["http", "fake"])
def test_it_puts_rows_to_a_version_by_its_number(estate: Any, which: int) -> None:
    rows = [{"distance": 0.5}, {"distance": 2.5}]
    here, there = estate[which].tried("flight_delays", 3, rows)
    assert (here.fault, here.role, here.reached) == ("", "champion", True)
    assert here.digest == estate[1].versions[0].digest
    assert here.scores == pytest.approx([score_of(row) for row in rows])
    assert there.scores == ()


@pytest.mark.parametrize("which", [0, 1], ids=["http", "fake"])
def test_a_version_that_is_not_loaded_and_rows_that_are_refused_are_told(estate: Any, which: int) -> None:
    assert (
        "flight_delays@9 is not loaded there" in estate[which].tried("flight_delays", 9, [{"distance": 1.0}])[0].fault
    )
    refused = estate[which].tried("flight_delays", 3, [{"nonsense": 1.0}])[0]
    assert "it refused the rows (4" in refused.fault
    assert (refused.reached, refused.scores) == (True, ())


def test_an_endpoint_that_is_away_is_told_from_one_that_refuses(estate: Any) -> None:
    real, fake = estate
    assert [answer.reached for answer in real.tried("flight_delays", 3, [{"distance": 1.0}])] == [True, False]
    fake.away = True
    assert [answer.reached for answer in fake.tried("flight_delays", 3, [{"distance": 1.0}])] == [False, False]


def test_something_else_at_the_address_is_no_model_server() -> None:
    async def web_site(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"<html>"})

    with server(web_site) as url:
        deadline = time.monotonic() + 10
        while not httpx_ready(url) and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(UnavailableError, match="does not say what it serves"):
            HttpServedEstate([url]).served()
        assert [found.reached for found in HttpServedEstate([url]).tried("flight_delays", 3, [])] == [False]


def test_what_is_asked_to_prove_something_is_nobodys_traffic(tmp_path: Path) -> None:
    spec, sources, log = load_spec(SPEC), FakeServingSources(tmp_path / "store"), FakePredictionLog()
    sources.register(spec, 3, a_pipeline())
    sources.route(spec.model, champion=3)
    options = ServerOptions(home=tmp_path, flush_interval=0.05)
    with server(create_app(sources, log, SystemClock(), options)) as url:
        real = HttpServedEstate([url])
        assert real.followed(spec.model, 1, timedelta(seconds=20))[url] is not None
        real.tried(spec.model, 3, [{"distance": 1.0}])
    roles = {role for table in log.rows.get(spec.model, []) for role in table.column("role").to_pylist()}
    assert roles == {"tester"}


def test_a_server_says_which_champion_it_misses_and_who_answers(tmp_path: Path) -> None:
    spec, sources = load_spec(SPEC), FakeServingSources(tmp_path / "store")
    for number in (1, 2):
        sources.register(spec, number, LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    sources.champions = [1]
    lost = sources.folder / f"{spec.model}@2"
    lost.rename(lost.with_suffix(".lost"))
    sources.route(spec.model, champion=2)
    app = create_app(sources, FakePredictionLog(), SystemClock(), ServerOptions(home=tmp_path))
    with server(app) as url:
        real, deadline = HttpServedEstate([url]), time.monotonic() + 20
        while not (found := real.standing()[0]).epochs and time.monotonic() < deadline:
            time.sleep(0.05)
        (missing,) = found.missing
        assert (missing.model, missing.version, missing.answering) == (spec.model, 2, 1)
        assert f"{spec.model}@2 cannot be loaded, {spec.model}@1 answers instead: " in missing.reason
        fake = FakeServedEstate()
        fake.endpoints, fake.missing = (url,), {url: [missing]}
        fake.epochs = {(url, spec.model): found.epochs[spec.model]}
        assert real.standing() == fake.standing() == [found]
    (away,) = real.standing()
    fake.silent = {url}
    assert (away.missing, away.epochs) == ((), {})
    assert away.fault
    assert fake.standing()[0].fault


def test_a_champion_that_is_being_loaded_is_not_missing() -> None:
    from steward.adapters.served_estate import _missing
    from steward.inventory.estate import STILL_LOADING

    row = {"name": "toy", "version": "2", "state": "UNAVAILABLE", "role": "champion", "reason": STILL_LOADING}
    assert list(_missing([row])) == []
    assert [each.version for each in _missing([{**row, "reason": "its digest differs"}])] == [2]
