"""Requests for predictions over a real HTTP server, as sockets see it, and what testers and limits change."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from steward.serving.answers.answering import Limits
from steward.serving.answers.contract import Batch
from steward.serving.http.hot_path import Asked, read_path
from steward.serving.memory.versions import Answer, LoadedVersion
from steward.serving.protocols.calls import make_call
from steward.spec import ModelSpec

from .conftest import MODEL, ROW, Stack, make_estimator, make_spec, ready, tensors, wait_until

INFER = f"/v2/models/{MODEL}/infer"


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v2/models/m/infer", Asked(True, "m")),
        ("/v2/models/m/versions/7/infer", Asked(True, "m", "7")),
        ("/invocations", Asked(False, None)),
        ("/models/m/invocations", Asked(False, "m")),
        ("/v2/models//infer", None),
        ("/v2/models/m/versions//infer", None),
        ("/v2/models/m/infer/", None),
        ("/v2/models/a/b/infer", None),
        ("/models//invocations", None),
        ("/v2/models/m/ready", None),
        ("v2/models/m/infer", None),
        ("", None),
    ],
)
def test_paths_that_ask_for_predictions(path: str, asked: Asked | None) -> None:
    assert read_path(path) == asked


@contextmanager
def listening(stack: Stack, **options: Any) -> Iterator[int]:
    """The stack's server behind uvicorn, as in production: its port."""
    config = uvicorn.Config(stack.application(**options), port=0, http="httptools", log_level="error", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        wait_until(lambda: exchange(port, get("/v2/health/ready"))[0][0] == 200 and MODEL in served_by(port))
        yield port
    finally:
        server.should_exit = True
        thread.join(10)


def served_by(port: int) -> list[str]:
    return list(json.loads(exchange(port, get("/v2/health/ready"))[0][1])["epochs"])


@pytest.fixture
def released(stack: Stack, spec: ModelSpec) -> Stack:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    return stack


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


def post(body: bytes, path: str = INFER, length: int | None = None) -> bytes:
    declared = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {declared}\r\n\r\n".encode() + body


def chunked(*parts: bytes) -> bytes:
    written = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))
    return f"POST {INFER} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + written


def exchange(port: int, *sent: bytes, answers: int = 1) -> list[tuple[int, bytes]]:
    """(status, body) of the answers to what is sent over one connection."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        for piece in sent:
            connection.sendall(piece)
        stream = connection.makefile("rb")
        return [_answer(stream) for _ in range(answers)]


def _answer(stream: Any) -> tuple[int, bytes]:
    status, length = int(stream.readline().split()[1]), 0
    while (line := stream.readline().strip().lower()) != b"":
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return status, stream.read(length)


def test_requests_on_one_connection_are_answered_each(released: Stack) -> None:
    """In pieces, in chunks, and pipelined, in the order they were sent."""
    asked = [json.dumps({**tensors(ROW), "id": f"r{n}"}).encode() for n in range(4)]
    with listening(released) as port:
        half = len(asked[0]) // 2
        pipelined = post(asked[2]) + get("/v2/health/live") + post(asked[3])
        sent = [post(asked[0][:half], length=len(asked[0])), asked[0][half:], chunked(asked[1][:9], asked[1][9:])]
        answers = exchange(port, *sent, pipelined, answers=5)
    assert [status for status, _ in answers] == [200] * 5
    assert [json.loads(body).get("id") for _, body in answers] == ["r0", "r1", "r2", None, "r3"]


def test_a_slow_body_is_told_so_and_the_next_connection_is_answered(released: Stack) -> None:
    with listening(released, limits=Limits(body_seconds=0.05)) as port:
        ((status, body),) = exchange(port, post(b"{", length=100))
        assert (status, json.loads(body)["code"]) == (408, "slow_body")
        assert exchange(port, post(json.dumps(tensors(ROW)).encode()))[0][0] == 200


def test_who_hangs_up_in_the_middle_harms_nobody(released: Stack, caplog: pytest.LogCaptureFixture) -> None:
    with listening(released) as port:
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(post(b"{", length=100))
        wait_until(lambda: b'kind="caller_gone"' in exchange(port, get("/metrics"))[0][1])
        assert exchange(port, post(json.dumps(tensors(ROW)).encode()))[0][0] == 200
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("path", [INFER, f"/v2/models/{MODEL}/versions/1/infer", "/invocations"])
def test_predictions_are_asked_for_by_post(served: TestClient, path: str) -> None:
    response = served.get(path)
    assert (response.status_code, response.headers["allow"], response.json()["code"]) == (405, "POST", "no_such_route")


def test_a_token_comes_before_everything(released: Stack) -> None:
    client = ready(released.start(token="secret"))
    for path in (INFER, "/invocations", "/v2/models/nobody/infer", "/v2/models/m/versions/1/infer"):
        assert client.post(path, content=b"{").status_code == 401
        assert client.get(path).status_code == 401
    given = {"authorization": "Bearer secret"}
    assert client.post(INFER, json=tensors(ROW), headers=given).status_code == 200
    assert client.post(INFER, json=tensors(ROW), headers={"authorization": "Bearer sécret".encode()}).status_code == 401


@pytest.fixture
def two(stack: Stack, spec: ModelSpec) -> TestClient:
    """A champion, and a canary that decides the other way and answers one key in a hundred."""
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.register(spec, 2, make_estimator(flip=True))
    stack.sources.route(MODEL, champion=1, canary=2, percent=1)
    return ready(stack.start())


@pytest.mark.parametrize("number", [1, 2])
def test_a_tester_is_answered_by_the_version_they_name(stack: Stack, two: TestClient, number: int) -> None:
    named = {"x-steward-version": str(number)}
    by_header = two.post(INFER, json=tensors(ROW), headers=named).json()
    by_path = two.post(f"/v2/models/{MODEL}/versions/{number}/infer", json=tensors(ROW)).json()
    by_mlflow = two.post("/invocations", json={"instances": [ROW]}, headers=named)
    assert (
        by_header["model_version"] == by_path["model_version"] == by_mlflow.headers["x-steward-version"] == str(number)
    )
    assert by_header["parameters"]["role"] == by_mlflow.headers["x-steward-role"] == "tester"
    assert by_header["outputs"][1]["data"] == by_path["outputs"][1]["data"] == [number - 1]
    rows = stack.logged()
    assert set(zip(rows["version"], rows["role"], strict=True)) == {(number, "tester")}


@pytest.mark.parametrize("named", ["3", "0", "-1", "1.0", "latest", "", "²", "9" * 400])
def test_a_version_that_is_not_loaded_is_not_found(two: TestClient, named: str) -> None:
    response = two.post(INFER, json=tensors(ROW), headers={"x-steward-version": named.encode()})
    assert (response.status_code, response.json()["code"]) == (404, "unknown_version")
    assert "repository/index" in response.json()["hint"]


def test_what_a_tester_meets_takes_no_canary_off(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.register(spec, 2, make_estimator(strict_carriers=("UA",)))
    stack.sources.route(MODEL, champion=1, canary=2, percent=1)
    client = ready(stack.start())
    request, named = tensors({**ROW, "carrier": "AA"}), {"x-steward-version": "2"}
    answers = [client.post(INFER, json=request, headers=named) for _ in range(30)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(500, "model_failed")}
    assert stack.trips == []
    assert client.post("/v2/repository/index").json()[1]["reason"] == ""


def test_a_canary_that_hangs_takes_no_threads_from_another_models(
    stack: Stack, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, answer = threading.Event(), LoadedVersion.answer

    def hangs_for_one(version: LoadedVersion, batch: Batch) -> Answer:
        if str(version.ref) == f"{MODEL}@2":
            go.wait(10)
        return answer(version, batch)

    for model in (MODEL, "other"):
        for number in (1, 2):
            stack.sources.register(spec.model_copy(update={"model": model}), number, make_estimator())
        stack.sources.route(model, champion=1, canary=2, percent=100)
    client = stack.start(limits=Limits(canary_time=timedelta(seconds=1.5)))
    wait_until(lambda: len(client.get("/v2/health/ready").json()["epochs"]) == 2)
    monkeypatch.setattr(LoadedVersion, "answer", hangs_for_one)
    with ThreadPoolExecutor(9) as callers:
        hanging = [callers.submit(client.post, INFER, json=tensors(ROW, key=f"k{i}")) for i in range(9)]
        wait_until(lambda: client.get("/metrics").text.count(f'in_flight{{model="{MODEL}"}} 9.0'))
        other = client.post("/v2/models/other/infer", json=tensors(ROW)).json()
        go.set()
        assert {call.result().status_code for call in hanging} == {200}
    assert (other["model_version"], other["parameters"]["role"]) == ("2", "canary")


def test_a_server_that_ended_leaves_no_thread_that_answered(stack: Stack, two: TestClient) -> None:
    """Nobody asks them any more; only what hangs is left behind."""
    stack.sources.route(MODEL, champion=1, canary=2, percent=100, shadow=None)
    wait_until(lambda: two.post(INFER, json=tensors(ROW)).json()["model_version"] == "2")
    assert threads_of_versions()
    stack.stop()
    wait_until(lambda: not threads_of_versions())


def threads_of_versions() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(f"{MODEL}@2")]


class Held:
    """Versions that answer when they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._go, self._asked, answer = threading.Event(), threading.Semaphore(0), LoadedVersion.answer

        def held(version: LoadedVersion, batch: Batch) -> Answer:
            self._asked.release()
            self._go.wait(10)
            return answer(version, batch)

        monkeypatch.setattr(LoadedVersion, "answer", held)

    def wait_for(self, requests: int) -> None:
        assert all(self._asked.acquire(timeout=10) for _ in range(requests))

    def let_go(self) -> None:
        self._go.set()


@pytest.mark.parametrize(
    ("most", "server", "status", "code"), [(2, 256, 429, "too_many_requests"), (64, 2, 503, "overloaded")]
)
def test_beyond_a_limit_callers_are_told_to_come_back(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, most: int, server: int, status: int, code: str
) -> None:
    spec = make_spec()
    narrow = spec.model_copy(update={"deployment": spec.deployment.model_copy(update={"max_in_flight": most})})
    stack.sources.register(narrow, 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    client = ready(stack.start(limits=Limits(in_flight=server)))
    held, many = Held(monkeypatch), tensors(*[ROW] * 100)  # as many as leave the event loop to others
    with ThreadPoolExecutor(2) as callers:
        asked = [callers.submit(client.post, INFER, json=many) for _ in range(2)]
        held.wait_for(2)
        response = client.post(INFER, json=tensors(ROW))
        held.let_go()
        assert [asking.result(10).status_code for asking in asked] == [200, 200]
    assert (response.status_code, response.json()["code"], response.headers["retry-after"]) == (status, code, "1")
    assert client.post(INFER, json=tensors(ROW)).status_code == 200


def test_a_draining_server_answers_and_sends_traffic_elsewhere(released: Stack) -> None:
    client = ready(released.start())
    client.app.draining = True  # type: ignore[attr-defined]
    response = client.get("/v2/health/ready")
    assert (response.status_code, response.json()["reasons"]) == (503, ["the server is draining"])
    assert client.get("/v2/health/live").status_code == 200
    assert client.post(INFER, json=tensors(ROW)).status_code == 200


def test_new_decision_ids_are_never_given_twice() -> None:
    ids = [name for _ in range(30) for name in make_call({"a": [1] * 100}, 100, None, {}).decision_ids]
    assert len(set(ids)) == len(ids) == 3000
    assert {len(name) for name in ids} == {32}


FORKED = """
import os
from steward.serving.protocols.calls import make_call
new = lambda: make_call({"a": [1]}, 1, None, {}).decision_ids[0]
new()
if (child := os.fork()) == 0:
    print(new(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(new())
"""


def test_a_forked_child_gives_others_than_its_parent() -> None:
    said = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, timeout=60)
    assert len(set(said.stdout.split())) == 2
