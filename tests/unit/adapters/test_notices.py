"""Messages through Apprise to a real server on the loopback: what it refuses is said, and no address with it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from steward.actions.effects import deliver, want_message
from steward.actions.incidents.messaging import waiting_messages
from steward.adapters.notices import AppriseNotifier
from steward.approval.policy import load_policy
from steward.errors import UnavailableError
from steward.monitoring.messages import Message
from steward.monitoring.notifications import Channel, Notifications
from steward.spec import SpecFolder
from steward.testing import FrozenClock
from steward.testing.services import services_in_memory

CANARY = "canary-7f3a91"
POLICY = Path(__file__).parents[3] / "include" / "policy.yaml"
MESSAGE = Message(
    "i:1", "opened", "toy", "drift", "low", datetime(2013, 6, 1, tzinfo=UTC), "toy: drift", "it möved", ("a@b.c",)
)


@dataclass
class Hook:
    """`statuses` are the next answers; 200 when there are none left."""

    statuses: list[int] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def hook() -> Iterator[Hook]:
    told = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = told.statuses.pop(0) if told.statuses else 200
            if status == 200:
                told.heard.append(body)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.address = f"json://night:{CANARY}@127.0.0.1:{server.server_address[1]}/hook?+X-Token={CANARY}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_what_a_channel_refused_it_takes_the_next_time(
    hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PAGER", hook.address)
    notifier, pager = AppriseNotifier(tmp_path / "notices.jsonl"), Channel(environment="PAGER")
    hook.statuses = [500]
    with pytest.raises(UnavailableError, match="did not take it \\(it answered 500\\)") as refused:
        notifier.notify("pager", pager, MESSAGE)
    assert hook.heard == []
    notifier.notify("pager", pager, MESSAGE)
    (heard,) = hook.heard
    assert heard["title"] == "toy: drift"
    assert heard["message"] == "To: a@b.c\n\nit möved\n\n[i:1]"
    assert CANARY not in str(refused.value) + repr(refused.value.__context__) + caplog.text


def test_from_the_outbox_to_a_channel_that_comes_back(hook: Hook, tmp_path: Path) -> None:
    clock = FrozenClock()
    in_memory = services_in_memory(SpecFolder(tmp_path), load_policy(POLICY), clock, tmp_path)
    notifier = AppriseNotifier(tmp_path / "notices.jsonl", {"PAGER": hook.address, "CHAT": hook.address})
    rules = Notifications(channels={"pager": Channel(environment="PAGER"), "chat": Channel(environment="CHAT")})
    services = replace(in_memory, notifier=notifier, notifications=lambda: rules)
    hook.statuses = [500]
    with services.database.begin() as tx:
        want_message(tx, MESSAGE)
    assert deliver(services) == 1
    (waits,) = waiting_messages(services.database)
    assert (waits["channel"], waits["error"]) == ("pager", "the channel did not take it (it answered 500)")
    assert [told["title"] for told in hook.heard] == ["toy: drift"]  # chat's
    clock.advance(timedelta(minutes=1))
    assert deliver(services) == 0
    assert len(hook.heard) == 2
    assert len(notifier.file.read_text().splitlines()) == 1
    assert CANARY not in json.dumps(waits)


def test_an_address_that_is_none_is_said_without_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    notifier = AppriseNotifier(tmp_path / "notices.jsonl", {"NOTIFY_URL_1": f"nosuch://{CANARY}"})
    with pytest.raises(UnavailableError, match="none that Apprise knows") as refused:
        notifier.notify("url", Channel(environment="NOTIFY_URL_1"), MESSAGE)
    assert CANARY not in str(refused.value) + caplog.text


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="NO_SUCH_PAGER is not set"):
        AppriseNotifier(tmp_path / "n").notify("pager", Channel(environment="NO_SUCH_PAGER"), MESSAGE)


def test_nobody_listens(tmp_path: Path) -> None:
    notifier = AppriseNotifier(tmp_path / "n", {"PAGER": f"json://night:{CANARY}@127.0.0.1:9"})
    with pytest.raises(UnavailableError, match="did not take it") as refused:
        notifier.notify("pager", Channel(environment="PAGER"), MESSAGE)
    assert CANARY not in str(refused.value)


def test_the_file_has_a_line_per_message(tmp_path: Path) -> None:
    notifier = AppriseNotifier(tmp_path / "new" / "notices.jsonl")
    notifier.notify("notices", None, MESSAGE)
    notifier.notify("notices", None, MESSAGE)
    rows = [json.loads(line) for line in notifier.file.read_text().splitlines()]
    assert [Message.from_json({k: v for k, v in row.items() if k != "noted_at"}) for row in rows] == [MESSAGE] * 2


def test_a_file_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "notices.jsonl").mkdir()
    with pytest.raises(UnavailableError, match="a notice cannot be written"):
        AppriseNotifier(tmp_path / "notices.jsonl").notify("notices", None, MESSAGE)


def test_airflow_alone_reaches_its_own_channels(tmp_path: Path) -> None:
    notifier = AppriseNotifier(tmp_path / "n")
    assert notifier.reaches("notices", None)
    assert notifier.reaches("pager", Channel(environment="PAGER"))
    assert not notifier.reaches("desk", Channel(connection="desk"))
