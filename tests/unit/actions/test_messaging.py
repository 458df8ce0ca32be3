"""From the outbox to people: a channel that fails holds up no other, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.actions.test_incidents import POLICY

from steward.actions.effects import ALIASES, deliver, want_message, want_notice
from steward.actions.incidents import messaging
from steward.actions.incidents.messaging import LEASE, deliver_messages, retry_after, waiting_messages
from steward.actions.state import Services
from steward.approval.policy import load_policy
from steward.monitoring.messages import Message
from steward.monitoring.notifications import Channel, Notifications, Quiet, Route, load_notifications
from steward.spec import SpecFolder
from steward.testing import FrozenClock
from steward.testing.services import services_in_memory

BEGAN = datetime(2013, 6, 1, 12, tzinfo=UTC)
CHANNELS = {"pager": Channel(environment="PAGER"), "chat": Channel(environment="CHAT")}
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(BEGAN)


@pytest.fixture
def services(tmp_path: Path, clock: FrozenClock) -> Services:
    found = services_in_memory(SpecFolder(tmp_path), load_policy(POLICY), clock, tmp_path)
    return replace(found, notifications=lambda: Notifications(channels=CHANNELS))


def tell(services: Services, number: int = 1, severity: str = "low") -> None:
    at = services.clock.now()
    message = Message(f"i:{number}", "opened", None, "drift", severity, at, f"message {number}", "it moved")
    with services.database.begin() as tx:
        want_message(tx, message)


def told(services: Services) -> list[tuple[str, str]]:
    return [(name, message.title) for name, message in services.notifier.told]


def test_a_channel_that_fails_holds_up_no_other_and_gets_it_later(services: Services, clock: FrozenClock) -> None:
    services.notifier.away_channels = {"pager"}
    tell(services)
    assert deliver(services) == 1
    assert told(services) == [("notices", "message 1"), ("chat", "message 1")]
    (waits,) = waiting_messages(services.database)
    assert (waits["channel"], waits["attempts"], waits["error"]) == ("pager", 1, "pager does not answer")
    services.notifier.away_channels = set()
    assert deliver(services) == 1  # its time has not come
    clock.advance(MINUTE)
    assert deliver(services) == 0
    assert told(services)[2:] == [("pager", "message 1")]
    assert waiting_messages(services.database) == []


def test_one_refusal_ends_the_attempt_on_a_channel_that_is_down(services: Services, clock: FrozenClock) -> None:
    services.notifier.away_channels = {"pager"}
    for number in range(3):
        tell(services, number)
    deliver(services)
    assert [row["attempts"] for row in waiting_messages(services.database)] == [1, 0, 0]
    services.notifier.away_channels = set()
    clock.advance(MINUTE)
    deliver(services)
    assert [title for name, title in told(services) if name == "pager"] == [f"message {n}" for n in range(3)]


def test_the_pauses_grow_to_an_hour() -> None:
    assert [retry_after(n) / MINUTE for n in (1, 2, 3, 6, 7, 100)] == [1, 2, 4, 32, 60, 60]


def test_a_thousand_messages_that_wait_hide_nothing_behind_them(services: Services) -> None:
    services.notifier.away = True
    for number in range(250):
        tell(services, number)
    with services.database.begin() as tx:
        tx.outbox.put(ALIASES, {"model": "toy"})
    deliver(services)
    with services.database.begin() as tx:
        assert not [effect for effect in tx.outbox.pending(10_000) if effect.kind == ALIASES]
    assert len(waiting_messages(services.database)) == 750


def test_a_delivery_that_was_begun_and_never_ended_is_begun_again(
    services: Services, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    tell(services)
    with monkeypatch.context() as during:
        during.setattr(services.notifier, "notify", die)
        with pytest.raises(KeyboardInterrupt):
            deliver(services)
    assert deliver(services) == 0
    assert ("notices", "message 1") not in told(services)  # for all this process knows, the other one is at it
    clock.advance(LEASE)
    deliver(services)
    assert sorted(told(services)) == [(name, "message 1") for name in ("chat", "notices", "pager")]


def test_rules_that_cannot_be_read_lose_nothing_and_show_no_secret(
    services: Services, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "notifications.yaml"
    path.write_text('channels:\n  pager: {environment: "https://hooks.example/canary-7f3a91"}\n')
    broken = replace(services, notifications=lambda: load_notifications(path))
    tell(broken)
    assert deliver(broken) == 1
    assert "line 2" in caplog.text
    assert "canary" not in caplog.text
    path.write_text("channels: {pager: {environment: PAGER}}")
    assert deliver(broken) == 0
    assert told(broken) == [("notices", "message 1"), ("pager", "message 1")]


def test_a_channel_that_was_taken_out_is_no_longer_tried(services: Services) -> None:
    services.notifier.away_channels = {"pager"}
    tell(services)
    deliver(services)
    without = replace(services, notifications=Notifications)
    assert deliver(without) == 0
    assert waiting_messages(without.database) == []


def test_a_channel_of_airflow_waits_for_airflow(services: Services) -> None:
    class Airflow:
        def __init__(self) -> None:
            self.told: list[str] = []

        def reaches(self, name: str, channel: Channel | None) -> bool:
            return channel is not None and channel.by_airflow

        def notify(self, name: str, channel: Channel | None, message: Message) -> None:
            self.told.append(name)

    rules = Notifications(channels={"desk": Channel(connection="desk")})
    both = replace(services, notifications=lambda: rules)
    tell(both)
    assert deliver(both) == 0
    assert told(both) == [("notices", "message 1")]
    airflow = Airflow()
    assert deliver_messages(both, airflow) == 0
    assert airflow.told == ["desk"]
    assert waiting_messages(both.database) == []


def test_what_can_wait_comes_in_the_morning_as_one(services: Services, clock: FrozenClock) -> None:
    quiet = Quiet(begins="22:00", ends="07:00", zone="Europe/Berlin")
    routes = (Route(to=("pager",)),)
    nightly = replace(services, notifications=lambda: Notifications(channels=CHANNELS, routes=routes, quiet=quiet))
    clock.set(datetime(2013, 6, 1, 21, tzinfo=UTC))  # 23:00 in Berlin
    tell(nightly, 1)
    tell(nightly, 2, "medium")
    tell(nightly, 3, "high")
    assert deliver(nightly) == 0
    at_night = [("notices", "message 1"), ("notices", "message 2"), ("notices", "message 3"), ("pager", "message 3")]
    assert told(nightly) == at_night
    clock.set(datetime(2013, 6, 2, 4, 59, tzinfo=UTC))
    deliver(nightly)
    assert told(nightly) == at_night
    clock.set(datetime(2013, 6, 2, 5, tzinfo=UTC))
    deliver(nightly)
    assert told(nightly)[4:] == [("pager", "Steward: 2 messages of the quiet hours")]


def test_a_letter_goes_to_those_it_is_written_to(services: Services) -> None:
    with services.database.begin() as tx:
        want_notice(tx, ["olga@example.com"], "answer, please", "it waits", severity="high")
    deliver(services)
    assert services.notifier.sent == [(("olga@example.com",), "answer, please", "it waits")]
    assert {name for name, _ in told(services)} == {"notices", *CHANNELS}


def test_a_message_is_addressed_once_by_two_who_deliver_at_once(services: Services) -> None:
    tell(services)
    (effect,) = messaging.pending_effects(services.database)
    messaging.address_message(services, effect)
    messaging.address_message(services, effect)
    assert len(waiting_messages(services.database)) == 3
