"""Ten thousand requests, most of them wrong: none is answered by a fault of the server, and each refusal says its code.

2,000 and more are schemathesis', from the schema the server publishes, over HTTP; the rest are ours, handed to the
application as ASGI, because no client library sends what they hold.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest
import requests as http
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance
from tests.faults import fuzzing
from tests.unit.serving.conftest import MODEL, Stack, make_estimator, make_spec, ready, wait_until

from steward.serving.answers.answering import Limits
from steward.serving.http.error_codes import REFUSALS
from steward.serving.process.connections import guarded
from steward.serving.process.draining import Drain

pytestmark = pytest.mark.faults

TOKEN, SECRET = "t0ken-of-the-fuzz", "Ada-never-in-a-log"
OURS, THEIRS = 8_000, 2_000
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]


def served(folder: Any) -> Stack:
    stack = Stack(folder)
    stack.sources.register(make_spec(privacy={"carrier": "drop"}), 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    return stack


@pytest.fixture
def address(tmp_path: Any) -> Iterator[str]:
    app = served(tmp_path).application(token=TOKEN, flush_interval=1.0)
    config = uvicorn.Config(app, port=0, loop="uvloop", http=guarded(Drain()), ws="none", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        wait_until(lambda: httpx.get(f"{url}/v2/health/ready").status_code == 200)
        yield url
    finally:
        server.should_exit = True
        thread.join(30)


def typed(status: int, body: bytes) -> str:
    """The code of a refusal, which has one that is in the catalogue, an error and a hint."""
    said = orjson.loads(body)
    assert set(said) == {"error", "code", "hint"}, said
    assert said["error"]
    assert len(body) < 8_000, "a caller is not echoed at length"
    assert said["code"] in REFUSALS, (status, said)
    return str(said["code"])


def test_requests_made_from_the_schema(address: str) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    raw = httpx.get(f"{address}/openapi.json", headers=headers).json()
    schema = schemathesis.openapi.from_dict(raw)
    answered: Counter[int] = Counter()
    session = http.Session()
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:
        with_body = bool(list(operation.body))
        for mode in GenerationMode:
            ask(operation, mode, 150 if with_body else 14, lambda case: call(case, address, session, answered))
    assert answered.total() >= THEIRS
    assert answered[200] > 200
    assert answered[400] > 200


def call(case: Case, address: str, session: http.Session, answered: Counter[int]) -> None:
    response = case.call(base_url=address, session=session, headers={"authorization": f"Bearer {TOKEN}"})
    answered[response.status_code] += 1
    case.validate_response(response, checks=CHECKS)
    if response.status_code >= 400 and case.method != "HEAD":
        typed(response.status_code, response.content)


def ask(operation: Any, mode: GenerationMode, count: int, each: Callable[[Case], None]) -> None:
    @settings(
        max_examples=count,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        each(case)

    try:
        run()
    except Exception as error:
        if "Unsatisfiable" not in type(error).__name__:
            raise


def test_requests_no_client_would_send(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    stack = served(tmp_path)
    limits = Limits(body_bytes=200_000, rows=100, body_seconds=5)
    client = ready(stack.start(token=TOKEN, limits=limits, flush_interval=1.0))
    raws = fuzzing.requests(OURS, seed=20130401, authorization=f"Bearer {TOKEN}".encode())
    answered: Counter[int] = Counter()
    codes: Counter[str] = Counter()

    async def run() -> None:
        for raw in raws:
            status, body = await hand_over(client.app, raw)
            assert 200 <= status < 500, (raw, status, body)
            answered[status] += 1
            if status >= 400 and raw.method != "HEAD":
                codes[typed(status, body)] += 1

    with caplog.at_level(logging.DEBUG):
        assert client.portal is not None
        client.portal.call(run)
        stack.stop()
    assert answered.total() == OURS
    assert answered[200] > 500
    assert len(codes) > 16, codes
    assert TOKEN not in caplog.text
    assert SECRET not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def hand_over(app: Any, raw: fuzzing.Raw) -> tuple[int, bytes]:
    sent: list[Any] = []
    arrived = iter([{"type": "http.request", "body": raw.body.replace(b"UA", SECRET.encode()), "more_body": False}])

    async def receive() -> Any:
        return next(arrived, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": raw.method,
        "scheme": "http",
        "path": raw.path,
        "raw_path": raw.path.encode(),
        "query_string": raw.query,
        "root_path": "",
        "headers": list(raw.headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return int(sent[0]["status"]), body
