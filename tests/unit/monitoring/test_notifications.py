"""Who hears of what, where and when; and what the file refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from steward.ledger import EventType
from steward.monitoring.messages import Message, message_of
from steward.monitoring.notifications import NOTICES, Notifications, Quiet, digest, dispatches, load_notifications
from steward.monitoring.severity import severity, worst
from steward.monitoring.windows import Cause
from steward.spec import FaultsError
from steward.testing import FakeDatabase
from steward.testing.builders import WEEK, a_draft
from steward.types import RiskTier

BERLIN = Quiet(begins="22:00", ends="07:00", zone="Europe/Berlin")
HOUR = timedelta(hours=1)


def a_message(**changes: object) -> Message:
    given = {"id": "i:1", "occasion": "opened", "model": "toy", "cause": "drift", "severity": "low"}
    said = {"at": datetime(2013, 6, 1, 12, tzinfo=UTC), "title": "toy@1: drift", "body": "it moved"}
    return Message(**{**given, **said, **changes})


def rules(tmp_path: Path, text: str) -> Notifications:
    path = tmp_path / "notifications.yaml"
    path.write_text(text)
    return load_notifications(path)


SOUND = """
channels:
  pager: {environment: PAGER}
  desk: {connection: steward_desk}
  mail:
    notifier: airflow.providers.smtp.notifications.smtp.SmtpNotifier
    arguments: {to: night@example.com, subject: "{{ steward.title }}"}
routes:
  - {to: [pager], severity: high}
  - {to: [desk, pager], teams: [operations], causes: [performance]}
  - {to: [mail], models: [other], tell: [acknowledged]}
quiet: {begins: "22:00", ends: "07:00", zone: Europe/Berlin}
"""


def where(found: Notifications, message: Message, team: str | None = None) -> list[str]:
    return [one.channel for one in dispatches(found, message, team)]


def test_a_message_goes_where_any_route_sends_it_once_and_always_into_the_file(tmp_path: Path) -> None:
    found = rules(tmp_path, SOUND)
    assert where(found, a_message()) == [NOTICES]
    assert where(found, a_message(severity="high")) == [NOTICES, "pager"]
    assert where(found, a_message(cause="performance"), "operations") == [NOTICES, "desk", "pager"]
    assert where(found, a_message(cause="performance", severity="high"), "operations") == [NOTICES, "pager", "desk"]
    assert where(found, a_message(cause="performance"), "other") == [NOTICES]
    assert where(found, a_message(model="other", occasion="acknowledged")) == [NOTICES, "mail"]


def test_without_routes_every_channel_hears_everything(tmp_path: Path) -> None:
    found = rules(tmp_path, "channels: {pager: {environment: PAGER}, desk: {connection: desk}}")
    assert where(found, a_message()) == [NOTICES, "pager", "desk"]
    assert where(load_notifications(tmp_path / "none.yaml"), a_message()) == [NOTICES]


def test_every_fault_of_the_file_is_told_with_its_line(tmp_path: Path) -> None:
    faulty = """
channels:
  pager: {environment: "https://hooks.example/T0/secret"}
  none: {}
  evil: {notifier: os.system}
  mail: {notifier: airflow.providers.smtp.notifications.smtp.SmtpNotifier, arguments: {smtp_password: x}}
  chat: {connection: chat, arguments: {a: b}}
routes:
  - {to: [pagr], tell: [opned]}
quiet: {begins: "25:00", ends: "07:00", zone: Europe/Berln}
"""
    with pytest.raises(FaultsError) as refused:
        rules(tmp_path, faulty)
    said = str(refused.value)
    for line, words in (
        (3, "name the environment variable"),
        (4, "exactly one of"),
        (5, "a notifier of an Airflow provider"),
        (6, "may hold a secret"),
        (7, "only a notifier takes arguments"),
        (9, "did you mean `opened`"),
        (10, "a time of day"),
        (10, "a time zone"),
    ):
        assert any(f".yaml:{line}:" in row and words in row for row in said.splitlines()), (line, words, said)


SECRET = "sk-7f3a91"
HTTP = "airflow.providers.http.notifications.HttpNotifier"


@pytest.mark.parametrize(
    "text",
    [
        f"channels: {{p: {{environment: 'slack://{SECRET}'}}}}",
        f"channels: {{p: {{connection: 'slack://{SECRET}'}}}}",
        f"channels: {{p: {{notifier: '{SECRET}'}}}}",
        f"channels: {{p: {{url: 'slack://{SECRET}'}}}}",
        f"channels: {{p: 'slack://{SECRET}'}}",
        f"channels: {SECRET}",
        f"channel: {SECRET}",
        f"channels: {{'slack://{SECRET}': {{environment: A}}}}",
        f"'slack://{SECRET}': 1",
        f"channels: {{}}\nroutes: [{{to: ['slack://{SECRET}']}}]",
        f"channels: {{p: {{notifier: {HTTP}, arguments: {{headers: {{Authorization: {SECRET}}}}}}}}}",
        f"channels: {{p: {{notifier: {HTTP}, arguments: {{headers: {{X-Key: 'Bearer {SECRET}'}}}}}}}}",
        f"channels: {{p: {{notifier: {HTTP}, arguments: {{json: {{auth: {{password: {SECRET}}}}}}}}}}}",
        f"channels: {{p: {{notifier: {HTTP}, arguments: {{to: ['https://h/{SECRET}']}}}}}}",
    ],
)
def test_a_secret_in_the_file_is_refused_wherever_it_stands_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(FaultsError) as refused:
        rules(tmp_path, text)
    assert SECRET not in str(refused.value)
    assert SECRET not in str([fault.to_json() for fault in refused.value.faults])


def test_a_connection_named_in_an_argument_is_no_secret(tmp_path: Path) -> None:
    found = rules(tmp_path, f"channels: {{p: {{notifier: {HTTP}, arguments: {{token_conn_id: desk, data: [a, 1]}}}}}}")
    assert found.channels["p"].arguments == {"token_conn_id": "desk", "data": ["a", 1]}


def test_a_route_names_channels_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(FaultsError, match=r"there is no channel pagr.*did you mean `pager`"):
        rules(tmp_path, "channels: {pager: {environment: PAGER}}\nroutes: [{to: [pagr]}]")
    with pytest.raises(FaultsError, match="take another name"):
        rules(tmp_path, "channels: {notices: {environment: PAGER}}")


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2013-06-01T21:59", None),
        ("2013-06-01T22:00", "2013-06-02T07:00"),
        ("2013-06-02T06:59", "2013-06-02T07:00"),
        ("2013-06-02T07:00", None),
        ("2013-03-30T23:00", "2013-03-31T07:00"),  # the clocks go forward at two: eight hours, seven of them real
        ("2013-10-26T23:00", "2013-10-27T07:00"),  # and back at three: nine real ones
    ],
)
def test_quiet_hours_are_those_of_the_wall_clock(at: str, until: str | None) -> None:
    zone = ZoneInfo("Europe/Berlin")
    found = BERLIN.until(datetime.fromisoformat(at).replace(tzinfo=zone).astimezone(UTC))
    expected = datetime.fromisoformat(until).replace(tzinfo=zone).astimezone(UTC) if until else None
    assert found == expected


def test_the_nights_the_clocks_change_are_an_hour_shorter_and_longer() -> None:
    spring, autumn = datetime(2013, 3, 30, 22, tzinfo=UTC), datetime(2013, 10, 26, 21, tzinfo=UTC)  # 23:00 in Berlin
    assert BERLIN.until(spring) == spring + 7 * HOUR
    assert BERLIN.until(autumn) == autumn + 9 * HOUR


def test_quiet_hours_that_end_in_the_hour_that_comes_twice_end_with_the_second() -> None:
    quiet = Quiet(begins="22:00", ends="02:30", zone="Europe/Berlin")
    first, second = datetime(2013, 10, 27, 0, 30, tzinfo=UTC), datetime(2013, 10, 27, 1, 30, tzinfo=UTC)
    assert quiet.until(first - HOUR) == first
    assert quiet.until(first + HOUR / 4) is None  # 02:45, the first time
    assert quiet.until(second - HOUR / 4) == second  # 02:15, the second time


def test_quiet_hours_within_one_day() -> None:
    noon = Quiet(begins="12:00", ends="13:00", zone="UTC")
    assert noon.until(datetime(2013, 6, 1, 12, 30, tzinfo=UTC)) == datetime(2013, 6, 1, 13, tzinfo=UTC)
    assert noon.until(datetime(2013, 6, 1, 23, tzinfo=UTC)) is None


def test_what_is_severe_never_waits_and_the_file_waits_for_nothing(tmp_path: Path) -> None:
    found, night = (
        rules(tmp_path, SOUND.split("routes:", maxsplit=1)[0] + SOUND[SOUND.index("quiet:") :]),
        a_message().at + 11 * HOUR,
    )
    low = {one.channel: one.not_before for one in dispatches(found, a_message(at=night), None)}
    assert low[NOTICES] is None
    assert low["pager"] == datetime(2013, 6, 2, 5, tzinfo=UTC)
    assert all(one.not_before is None for one in dispatches(found, a_message(at=night, severity="high"), None))


def test_that_it_is_over_wakes_nobody_however_severe_it_was(tmp_path: Path) -> None:
    found = rules(tmp_path, SOUND.split("routes:", maxsplit=1)[0] + SOUND[SOUND.index("quiet:") :])
    for occasion in ("acknowledged", "resolved"):
        late = a_message(at=a_message().at + 11 * HOUR, severity="high", occasion=occasion)
        waits = {one.channel: one.not_before for one in dispatches(found, late, None)}
        assert waits == {NOTICES: None, **dict.fromkeys(("pager", "desk", "mail"), datetime(2013, 6, 2, 5, tzinfo=UTC))}


def test_a_digest_says_everything_once() -> None:
    one, other = a_message(to=("a@b.c",)), a_message(id="i:2", severity="medium", title="other", to=("a@b.c", "d@e.f"))
    both = digest([one, other])
    assert (both.id, both.severity, both.to) == ("i:1+i:2", "medium", ("a@b.c", "d@e.f"))
    assert "it moved" in both.body
    assert "other" in both.body
    assert digest([one]) is one
    assert Message.from_json(both.to_json()) == both


class TestFromEvents:
    BODY = {"incident": "i" * 32, "cause": "drift", "severity": "low", "first_bad": WEEK.to_json(), "windows": 1}  # noqa: RUF012

    def told(self, kind: EventType, **body: object) -> Message | None:
        with FakeDatabase().begin() as tx:
            return message_of(tx.events.append(a_draft(kind, reason="it moved", body={**self.BODY, **body})))

    def test_opened_risen_taken_on_and_resolved_are_news(self) -> None:
        for kind, occasion in (
            (EventType.INCIDENT_OPENED, "opened"),
            (EventType.INCIDENT_ACKNOWLEDGED, "acknowledged"),
            (EventType.INCIDENT_RESOLVED, "resolved"),
        ):
            message = self.told(kind)
            assert message is not None
            assert message.occasion == occasion
            assert "it moved" in message.body
        rose = self.told(EventType.INCIDENT_UPDATED, rose_from="low", severity="high")
        assert rose is not None
        assert rose.title.endswith("drift incident rose from low to high")

    def test_one_more_bad_window_is_none_nor_what_a_letter_tells(self) -> None:
        assert self.told(EventType.INCIDENT_UPDATED) is None
        assert self.told(EventType.INCIDENT_OPENED, told=False) is None
        assert self.told(EventType.WINDOW_JUDGED) is None


@pytest.mark.parametrize(
    ("tier", "cause", "effects"),
    [
        (RiskTier.LOW, Cause.PERFORMANCE, ("low", "low", "medium", "low")),
        (RiskTier.MEDIUM, Cause.PERFORMANCE, ("low", "medium", "high", "medium")),
        (RiskTier.HIGH, Cause.DATA, ("medium", "high", "high", "high")),
        (RiskTier.LOW, Cause.DRIFT, ("low", "low", "low", "low")),
        (RiskTier.MEDIUM, Cause.DRIFT, ("low", "low", "medium", "low")),
        (RiskTier.HIGH, Cause.DRIFT, ("low", "medium", "high", "low")),
    ],
)
def test_severity_is_of_tier_and_effect(tier: RiskTier, cause: Cause, effects: tuple[str, ...]) -> None:
    assert tuple(severity(tier, cause, effect) for effect in ("low", "medium", "high", None)) == effects


def test_the_worst_of_two() -> None:
    assert worst("low", "high") == worst("high", "medium") == "high"
