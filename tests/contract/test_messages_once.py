"""Several processes deliver the same outbox at once: every channel hears a message once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from steward.actions.effects import deliver, want_message
from steward.actions.incidents.messaging import waiting_messages
from steward.approval.policy import load_policy
from steward.monitoring.messages import Message
from steward.monitoring.notifications import Channel, Notifications
from steward.spec import SpecFolder
from steward.testing import FrozenClock
from steward.testing.builders import NOON
from steward.testing.services import services_in_memory

POLICY = Path(__file__).parents[2] / "include" / "policy.yaml"
MESSAGES, PROCESSES = 12, 4


def test_every_channel_hears_every_message_once(database, tmp_path):
    rules = Notifications(channels={"pager": Channel(environment="PAGER"), "chat": Channel(environment="CHAT")})
    clock = FrozenClock(NOON)
    in_memory = services_in_memory(SpecFolder(tmp_path), load_policy(POLICY), clock, tmp_path)
    services = replace(in_memory, database=database, notifications=lambda: rules)
    with database.begin() as tx:
        for number in range(MESSAGES):
            title = f"message {number}"
            want_message(tx, Message(f"i:{number}", "opened", None, "drift", "low", NOON, title, "it moved"))
    start = threading.Barrier(PROCESSES)

    def process(_):
        start.wait()
        deliver(services)

    with ThreadPoolExecutor(PROCESSES) as pool:
        list(pool.map(process, range(PROCESSES)))
    clock.advance(timedelta(hours=1))
    deliver(services)  # what one of them left because another was at it
    told = [(name, message.title) for name, message in services.notifier.told]
    assert len(told) == len(set(told)) == 3 * MESSAGES
    assert waiting_messages(database) == []
