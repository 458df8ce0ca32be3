"""incidents, incident and notices, on a ledger in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Steward

from steward import wiring
from steward.actions.effects import deliver
from steward.actions.incidents.changing import resolve_incident, save_incident
from steward.actions.state import Services
from steward.approval.policy import load_policy
from steward.ledger import ALL_MODELS, EventType
from steward.monitoring.notifications import load_notifications
from steward.monitoring.windows import IncidentState
from steward.testing import FakeDatabase, FrozenClock
from steward.testing.builders import MODEL, an_incident
from steward.testing.services import services_in_memory

RULES = """
channels: {pager: {environment: PAGER}, desk: {connection: desk}}
routes: [{to: [pager], severity: medium}, {to: [desk], tell: [resolved]}]
quiet: {begins: "11:00", ends: "13:00", zone: UTC}
"""


@pytest.fixture
def services(store: FakeDatabase, clock: FrozenClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    """An incident that was opened and, two days later, resolved; and one that is open."""
    (tmp_path / "notifications.yaml").write_text(RULES)
    policy = load_policy(wiring.settings().policy_file)
    given = replace(
        services_in_memory(wiring.specs(), policy, clock, tmp_path),
        database=store,
        notifications=lambda: load_notifications(tmp_path / "notifications.yaml"),
    )
    monkeypatch.setattr(wiring, "services", lambda: given)
    monkeypatch.setattr(wiring, "notifications", given.notifications)
    return given


@pytest.fixture
def happened(services: Services, clock: FrozenClock) -> Services:
    over, still = an_incident(id="a" * 32, version=2), an_incident(id="b" * 32)
    with services.database.begin() as tx:
        save_incident(tx, EventType.INCIDENT_OPENED, over, "airflow:m", "drift: distance moved")
    deliver(services)
    clock.advance(timedelta(days=2))
    with services.database.begin() as tx:
        resolve_incident(tx, over, "airflow:m", "2 windows in a row passed", clock.now())
        save_incident(tx, EventType.INCIDENT_OPENED, still, "airflow:m", "drift: distance moved again")
    deliver(services)
    return services


def test_incidents(steward: Steward, happened: Services) -> None:
    assert happened
    (row,) = json.loads(steward("incidents", "--json").out)
    assert (row["id"], row["state"], row["first_bad"]) == ("b" * 32, "open", an_incident().first_bad.to_json())
    line = steward("incidents", MODEL).out.splitlines()[1].split("\t")
    assert line[:6] == ["b" * 12, f"{MODEL}@1", "drift", "medium", "open", f"{an_incident().first_bad.start:%Y-%m-%d}"]
    assert len(json.loads(steward("incidents", "--all", "--json").out)) == 2
    assert steward("incidents", "no_such_model").code == 5


def test_all_of_them_are_shown_those_of_retired_models_and_of_the_estate_too(
    steward: Steward, store: FakeDatabase
) -> None:
    """No spec names them any more, or ever did."""
    with store.begin() as tx:
        for place, model in enumerate((ALL_MODELS, "retired_long_ago")):
            tx.incidents.save(an_incident(id=f"{place}" * 32, model=model, state=IncidentState.RESOLVED))
    assert {row["model"] for row in json.loads(steward("incidents", "--all", "--json").out)} == {
        ALL_MODELS,
        "retired_long_ago",
    }
    assert json.loads(steward("incidents", "--json").out) == []


def test_no_incidents(steward: Steward, store: FakeDatabase) -> None:
    assert store
    assert steward("incidents").out == "no incident is open\n"


def test_a_message_that_a_channel_did_not_take_is_shown_beside_its_incident(
    steward: Steward, happened: Services, clock: FrozenClock
) -> None:
    happened.notifier.away_channels = {"pager"}
    clock.advance(timedelta(hours=1))
    deliver(happened)
    shown = steward("incidents").out
    assert "pager did not take it: pager does not answer, 1 tries" in shown
    rows = json.loads(steward("notices", "waiting", "--json").out)
    assert {(row["channel"], row["error"]) for row in rows} >= {("pager", "pager does not answer"), ("desk", None)}
    assert "pager does not answer" in steward("notices", "waiting").out


def test_show_tells_all_that_happened(steward: Steward, happened: Services) -> None:
    assert happened
    told = json.loads(steward("incident", "show", "aaaaaaaa", "--json").out)
    assert [(e["event"], e["reason"]) for e in told["events"]] == [
        ("incident.opened", "drift: distance moved"),
        ("incident.resolved", "drift: 2 windows in a row passed"),
    ]
    text = steward("incident", "show", "bbbbbbbb").out
    assert "first bad window\t" in text
    assert "opened\tairflow:m\tdrift: distance moved again" in text
    assert f"to do\tsteward why {MODEL}\n" in text
    assert "to do" not in steward("incident", "show", "aaaaaaaa").out
    assert steward("incident", "show", "cccccccc").code == 5


def test_what_the_audit_wants_done_is_shown(steward: Steward, store: FakeDatabase) -> None:
    with store.begin() as tx:
        tx.incidents.save(an_incident(cause="zombie_no_owner", detail={"what_to_do": "name an owner"}))
    assert "to do\tname an owner\n" in steward("incident", "show", an_incident().id).out


def test_acknowledge_and_resolve(steward: Steward, happened: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "dana")
    assert steward("incident", "acknowledge", "bbbbbbbb", "--note", "I look").code == 0
    assert "\tacknowledged by dana\t" in steward("incidents").out
    assert steward("incident", "acknowledge", "aaaaaaaa").code == 4
    assert steward("incident", "resolve", "bbbbbbbb", "--reason", " ").code == 2
    done = steward("incident", "resolve", "bbbbbbbb", "--reason", "a test", "--json")
    assert json.loads(done.out)["state"] == "resolved"
    with happened.database.begin() as tx:
        last = tx.events.read(model=MODEL, types=[EventType.INCIDENT_RESOLVED], limit=1)[-1]
    assert (last.actor, last.reason) == ("person:dana", "drift: a test (dana)")


def test_the_preview_is_what_was_sent(steward: Steward, happened: Services, clock: FrozenClock) -> None:
    clock.advance(timedelta(hours=1))
    deliver(happened)

    class Airflow(type(happened.notifier)):  # type: ignore[misc]
        def reaches(self, *_: Any) -> bool:
            return True

    from steward.actions.incidents.messaging import deliver_messages

    airflow = Airflow()
    deliver_messages(happened, airflow)
    told = [*happened.notifier.told, *airflow.told]
    sent = sorted((name, message.title) for name, message in told if "messages of the quiet hours" not in message.title)
    digests = [message.body for _, message in told if "messages of the quiet hours" in message.title]
    previewed = json.loads(steward("notices", "preview", MODEL, "--json").out)
    alone = sorted((row["channel"], row["title"]) for row in previewed if not any(row["title"] in d for d in digests))
    assert [pair for pair in sent if not any(pair[1] in d for d in digests)] == alone
    together = [row["title"] for row in previewed if row["channel"] == "pager"]
    assert together == [t for t in together if any(t in text for text in [*digests, *(s for _, s in sent)])]
    assert len(previewed) == 3 + 3 + 1  # the file, the pager for all three, the desk for the end
    assert {row["tells_at"][11:16] for row in previewed if row["channel"] == "pager"} == {"13:00"}


def test_the_preview_goes_back_as_far_as_asked(steward: Steward, happened: Services) -> None:
    assert happened
    assert len(json.loads(steward("notices", "preview", MODEL, "--days", "1", "--json").out)) == 5
    text = steward("notices", "preview", MODEL).out
    assert text.splitlines()[-1] == "7 messages on 3 channels in 30 days; 4 wait for quiet hours to end"


def test_a_trial(steward: Steward, services: Services) -> None:
    assert steward("notices", "test", "pager").out == "pager took it\n"
    assert [name for name, _ in services.notifier.told] == ["pager"]
    assert "next run of steward__maintain" in steward("notices", "test", "desk").out
    assert steward("notices", "test", "nosuch").code == 5
    services.notifier.away_channels = {"pager"}
    assert steward("notices", "test", "pager").code == 75


def test_check(steward: Steward, services: Services, tmp_path: Path) -> None:
    assert "channels notices, pager, desk; 2 routes; quiet from 11:00 to 13:00 UTC" in steward("notices", "check").out
    (tmp_path / "notifications.yaml").write_text("chanels: {}")
    refused = steward("notices", "check")
    assert refused.code == 2
    assert "did you mean `channels`" in refused.err


def test_without_a_file_the_addresses_of_the_settings_are_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEWARD_NOTIFY_URLS", '["json://a.example/x", "json://b.example/y"]')
    monkeypatch.setenv("STEWARD_NOTIFICATIONS_FILE", "/no/such/file.yaml")
    wiring.settings.cache_clear()
    assert list(wiring.notifications().channels) == ["notify_url_1", "notify_url_2"]
    assert wiring.notify_addresses()["NOTIFY_URL_2"] == "json://b.example/y"
