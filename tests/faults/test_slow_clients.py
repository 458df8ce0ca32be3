"""Callers who take their time, never end, or never begin: they are let go, and nobody else waits for them."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest
import uvicorn
from tests.unit.serving.conftest import MODEL, ROW, Stack, make_estimator, make_spec, tensors, wait_until

from steward.serving.answers.answering import Limits
from steward.serving.process import connections
from steward.serving.process.connections import HEADER_BYTES, Patience, guarded
from steward.serving.process.draining import Drain

pytestmark = pytest.mark.faults

INFER = f"/v2/models/{MODEL}/infer"
HEADERS, LINGER, READER, BODY = 1.0, 0.5, 1.5, 1.0


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    stack = Stack(tmp_path_factory.mktemp("served"))
    stack.sources.register(make_spec(), 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    app = stack.application(limits=Limits(body_bytes=100_000, body_seconds=BODY))
    http = guarded(Drain(), Patience(HEADERS, LINGER, READER))
    server = uvicorn.Server(uvicorn.Config(app, port=0, loop="uvloop", http=http, ws="none", log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        number = server.servers[0].sockets[0].getsockname()[1]
        wait_until(lambda: httpx.get(f"http://127.0.0.1:{number}/v2/health/ready").status_code == 200)
        yield number
    finally:
        server.should_exit = True
        thread.join(20)


def connect(port: int, sent: bytes = b"", small: bool = False) -> socket.socket:
    made = socket.socket()
    if small:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.settimeout(10)
    made.connect(("127.0.0.1", port))
    made.sendall(sent)
    return made


def rest(connection: socket.socket) -> bytes:
    """What the server still says until it closes the connection."""
    said = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            said += part
    return said


def refusal(said: bytes) -> tuple[int, str]:
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.mark.parametrize("begun", [b"", b"POST ", b"GET /v2 HTTP/1.1\r\nhost: x\r\n", b"\r\n"])
def test_half_a_request_is_waited_for_only_so_long(port: int, begun: bytes) -> None:
    started = time.monotonic()
    with connect(port, begun) as connection:
        assert refusal(rest(connection)) == (408, "too_slow")
    assert HEADERS * 0.9 < time.monotonic() - started < HEADERS + 3


def test_bytes_that_trickle_in_buy_no_time(port: int) -> None:
    started = time.monotonic()
    with connect(port, b"GET /v2 HTTP/1.1\r\n") as connection, suppress(ConnectionError):
        while time.monotonic() - started < 10:
            connection.sendall(b"x: y\r\n")
            connection.settimeout(0.2)
            with suppress(TimeoutError):
                if not connection.recv(4096):
                    break
    assert time.monotonic() - started < HEADERS + 3


def test_line_ends_after_an_answer_hold_no_connection(port: int) -> None:
    with connect(port, b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n") as connection:
        assert b" 200 OK" in connection.recv(4096)
        connection.sendall(b"\r\n")
        started = time.monotonic()
        rest(connection)
        assert time.monotonic() - started < HEADERS + 3


def test_endless_headers_are_refused(port: int) -> None:
    with connect(port, b"GET /v2 HTTP/1.1\r\n") as connection:
        with suppress(ConnectionError):
            for _ in range(2 * HEADER_BYTES // 1024):
                connection.sendall(b"x: " + b"y" * 1019 + b"\r\n")
        assert refusal(rest(connection)) == (431, "headers_too_large")


def test_what_is_not_http_is_told_so_in_json(port: int) -> None:
    with connect(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") as connection:
        assert refusal(rest(connection)) == (400, "bad_http")


def test_half_a_body_is_waited_for_only_so_long(port: int) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n".encode()
    started = time.monotonic()
    with connect(port, head + b"{") as connection:
        assert refusal(rest(connection)) == (408, "slow_body")
    assert time.monotonic() - started < BODY + 3


def test_a_body_without_end_is_answered_and_then_let_go(port: int) -> None:
    """The refusal arrives whole, although the caller is still sending; then the connection ends."""
    head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    started, said = time.monotonic(), b""
    with connect(port, head) as connection, suppress(ConnectionError):
        connection.settimeout(0.02)
        while time.monotonic() - started < 10:
            with suppress(TimeoutError):
                connection.sendall(chunk)
            with suppress(TimeoutError):
                part = connection.recv(65536)
                if not part:
                    break
                said += part
    assert refusal(said) == (413, "body_too_large")
    assert time.monotonic() - started < 10


def test_who_does_not_read_his_answers_is_let_go(port: int) -> None:
    ask = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
    with connect(port, small=True) as connection:
        connection.settimeout(0.5)
        with suppress(TimeoutError, ConnectionError):
            connection.sendall(ask * 20_000)
        started = time.monotonic()
        wait_until(lambda: closed(connection), 20)
        assert time.monotonic() - started < READER + 10


def closed(connection: socket.socket) -> bool:
    """Without reading: whether the other side has reset the connection."""
    try:
        connection.sendall(b"\r\n")
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return False


def test_fifty_who_never_finish_hold_up_nobody(port: int) -> None:
    with ExitStack() as held, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        assert client.post(INFER, json=tensors(ROW)).status_code == 200
        for _ in range(50):
            held.enter_context(connect(port, f"POST {INFER} HTTP/1.1\r\nhost: x\r\n".encode()))
        seconds: list[float] = []
        answers: list[Any] = []
        for _ in range(50):
            started = time.perf_counter()
            answers.append(client.post(INFER, json=tensors(ROW)).status_code)
            seconds.append(time.perf_counter() - started)
        assert set(answers) == {200}
        assert sorted(seconds)[25] < HEADERS / 2, "nobody waits for them to be let go"


def test_more_connections_than_it_can_hold_are_told_so(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as held:
        held.enter_context(connect(port))
        monkeypatch.setattr(connections, "MOST_CONNECTIONS", 1)
        with connect(port) as connection:
            assert refusal(rest(connection)) == (503, "too_many_connections")
