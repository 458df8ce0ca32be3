"""Channels of Airflow and the faults of tasks, with real notifiers and connections, and a planted secret."""

from __future__ import annotations

import email
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from steward import wiring
from steward.actions.incidents.messaging import waiting_messages
from steward.actions.state import Services
from steward.approval.policy import load_policy
from steward.errors import PolicyError, UnavailableError
from steward.monitoring.messages import Message
from steward.monitoring.notifications import Channel, Notifications
from steward.testing import FrozenClock
from steward.testing.services import services_in_memory
from steward.training.code import ModelCode

pytestmark = pytest.mark.airflow
CANARY = "canary-7f3a91"
POLICY = Path(__file__).parents[2] / "include" / "policy.yaml"
BODY = "<b>{{ conn.desk.password }}</b> & {{ 7 * 7 }}"
MESSAGE = Message("i:1", "opened", "toy", "drift", "low", datetime(2013, 6, 1, tzinfo=UTC), "toy: drift", BODY)
SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
MAIL = Channel(
    notifier=SMTP,
    arguments={
        "to": "night@example.com",
        "from_email": "steward@example.com",
        "subject": "{{ steward.title }} [{{ steward.severity }}]",
        "html_content": "{{ steward.html }}",
        "smtp_conn_id": "steward_mail",
    },
)


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    found = services_in_memory(wiring.specs(), load_policy(POLICY), FrozenClock(), tmp_path)
    rules = Notifications(channels={"mail": MAIL, "desk": Channel(connection="steward_desk")})
    given = replace(found, notifications=lambda: rules)
    monkeypatch.setattr(wiring, "services", lambda: given)
    monkeypatch.setattr(wiring, "notifications", lambda: rules)
    return given


@dataclass
class MailServer:
    """Takes mail on the loopback; with `refuses`, no log-in, and it repeats the secret as careless servers do."""

    refuses: bool = False
    mails: list[str] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    told = MailServer()

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 ready\r\n")
            for line in self.rfile:
                word = line[:4].upper().strip()
                self.wfile.write(self.answer(word))
                if word == b"QUIT":
                    return
                if word == b"DATA":
                    told.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                    self.wfile.write(b"250 taken\r\n")

        def answer(self, word: bytes) -> bytes:
            refused = f"535 no user steward with {CANARY}\r\n".encode()
            known = {b"EHLO": b"250-here\r\n250 AUTH PLAIN\r\n", b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}
            return (refused if told.refuses else b"235 in\r\n") if word == b"AUTH" else known.get(word, b"250 ok\r\n")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close = True, False  # a refused log-in leaves its connection open

    with Server(("127.0.0.1", 0), Session) as listening:
        port = listening.server_address[1]
        address = f"smtp://steward:{CANARY}@127.0.0.1:{port}/?disable_ssl=true&disable_tls=true&retry_limit=1"
        monkeypatch.setenv("AIRFLOW_CONN_STEWARD_MAIL", address)
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            listening.shutdown()
            thread.join(5)


def test_a_provider_sends_what_the_templates_say_and_never_reads_the_message_as_one(
    services: Services, server: MailServer
) -> None:
    from steward_airflow.notices import AirflowCourier

    AirflowCourier().notify("mail", MAIL, MESSAGE)
    (text,) = server.mails
    parsed = email.message_from_string(text)
    body = parsed.get_payload()[0].get_payload(decode=True).decode()
    assert parsed["To"] == "night@example.com"
    assert parsed["Subject"] == "toy: drift [low]"
    assert body == "<pre>&lt;b&gt;{{ conn.desk.password }}&lt;/b&gt; &amp; {{ 7 * 7 }}</pre>"


def test_an_address_in_a_connection_gets_into_no_error(
    services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from urllib.parse import quote

    from steward_airflow.notices import AirflowCourier

    address = quote(f"json://night:{CANARY}@127.0.0.1:9/hook", safe="")
    monkeypatch.setenv("AIRFLOW_CONN_STEWARD_DESK", f"generic://:{address}@")
    with pytest.raises(UnavailableError, match="did not take it") as refused:
        AirflowCourier().notify("desk", Channel(connection="steward_desk"), MESSAGE)
    monkeypatch.setenv("AIRFLOW_CONN_STEWARD_DESK", "generic://")
    with pytest.raises(UnavailableError, match="has no password"):
        AirflowCourier().notify("desk", Channel(connection="steward_desk"), MESSAGE)
    assert CANARY not in str(refused.value) + caplog.text


def test_what_a_provider_says_when_it_breaks_is_not_repeated(
    services: Services, server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    from steward_airflow.notices import AirflowCourier

    server.refuses = True
    with pytest.raises(UnavailableError, match=r"broke down \(SMTPAuthenticationError\)") as refused:
        AirflowCourier().notify("mail", MAIL, MESSAGE)
    assert CANARY not in str(refused.value) + repr(refused.value.__cause__) + caplog.text


def context(task: str, error: Exception | None, run: str = "r1") -> Any:
    from airflow.sdk import DAG

    dag = DAG("flight_delays__train")
    return {"dag": dag, "run_id": run, "ti": SimpleNamespace(task_id=task), "exception": error}


def test_a_fault_is_told_once_per_run_and_without_what_another_library_says(
    services: Services, server: MailServer
) -> None:
    from steward_airflow.notices import StewardNotifier

    notifier = StewardNotifier("flight_delays")
    notifier(context("train", RuntimeError(f"cannot reach postgres://u:{CANARY}@db")))
    notifier(context("close", PolicyError("nobody may")))
    notifier(context("evaluate", PolicyError("nobody may"), run="r2"))
    told = [message for name, message in services.notifier.told if name == "notices"]
    assert [message.title for message in told] == [
        "flight_delays__train: train failed",
        "flight_delays__train: evaluate failed",
    ]
    assert "RuntimeError; its log says more" in told[0].body
    assert "nobody may" in told[1].body
    assert told[0].to == (services.specs.get("flight_delays").owner.email,)
    assert len(server.mails) == 2
    assert [row["channel"] for row in waiting_messages(services.database)] == ["desk", "desk"]  # no such connection
    assert CANARY not in str(waiting_messages(services.database)) + str(told)


def test_what_a_models_own_code_said_is_not_told_either(services: Services, tmp_path: Path) -> None:
    """Steward's error repeats it, for the log: `load` may have said what it connected to."""
    from airflow.sdk.exceptions import AirflowFailException

    from steward_airflow.calls import airflow_errors
    from steward_airflow.notices import StewardNotifier

    (tmp_path / "model.py").write_text(
        f"def load(start, end):\n    raise OSError('no route to postgres://u:{CANARY}@db/x')\n"
    )
    with pytest.raises(AirflowFailException, match=CANARY) as failed, airflow_errors():
        ModelCode(tmp_path / "model.py").call("model:load", 1, 2, limit=timedelta(minutes=1))
    StewardNotifier("flight_delays")(context("snapshot", failed.value))
    (message,) = [message for name, message in services.notifier.told if name == "notices"]
    assert "model:load in model.py raised OSError: …" in message.body
    assert CANARY not in str(waiting_messages(services.database)) + str(message)


def test_nothing_hides_the_fault_itself(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    from steward_airflow.notices import StewardNotifier

    services.database.away = True
    StewardNotifier()(context("train", None))


def test_every_generated_task_tells_of_its_fault() -> None:
    from steward.plan import compile_plan
    from steward_airflow.notices import StewardNotifier
    from steward_airflow.render import render

    for plan in compile_plan(wiring.specs().get("flight_delays")).dags:
        for task in render(plan).tasks:
            (callback,) = task.on_failure_callback
            assert isinstance(callback, StewardNotifier)
            assert callback.model == "flight_delays"
