"""waiver, break-glass and review: signed through Airflow, in the name it knows; waivers are read from the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.cli.conftest import Steward

from steward import errors, wiring
from steward.cli import door
from steward.ledger import EventType
from steward.testing import FakeDatabase, FrozenClock
from steward.testing.builders import MODEL, a_draft
from steward.types import JsonObject


class FakeDoor:
    """Airflow as one user: keeps what was decided and answers as told."""

    def __init__(self) -> None:
        self.decided: list[tuple[str, str, JsonObject]] = []
        self.answer: JsonObject | Exception = {}

    def decide(self, model: str, decision: str, fields: JsonObject) -> JsonObject:
        self.decided.append((model, decision, fields))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> FakeDoor:
    found = FakeDoor()
    monkeypatch.setattr(door, "airflow", lambda: found)
    return found


@pytest.fixture
def signed(store: FakeDatabase, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    """One waiver that holds, one that was revoked, one that has run out, one of another model."""
    monkeypatch.setattr(wiring, "clock", lambda: clock)

    def grant(waiver: str, until: str, model: str = MODEL, version: int | None = None) -> Any:
        body = {"waiver": waiver, "gate": "metric.roc_auc", "role": "risk_officer", "expires_at": until}
        actor = "person:vera"
        return a_draft(EventType.WAIVER_GRANTED, model=model, version=version, actor=actor, body=body)

    with store.begin() as tx:
        tx.events.append(grant("a1-holds", "2013-08-01T00:00:00Z", version=3))
        tx.events.append(grant("a2-revoked", "2013-08-01T00:00:00Z"))
        tx.events.append(grant("b1-ended", "2013-06-02T00:00:00Z"))
        tx.events.append(grant("c1-other", "2013-08-01T00:00:00Z", model="lamps"))
        tx.events.append(a_draft(EventType.WAIVER_REVOKED, body={"waiver": "a2-revoked"}))
    clock.advance(timedelta(days=3))
    return store


def test_grant(steward: Steward, airflow: FakeDoor) -> None:
    airflow.answer = {"waiver": "w1", "expires_at": "2013-12-31T00:00:00Z"}
    given = ("--gate", "metric.roc_auc", "--until", "2013-12-31", "--reason", "new airport")
    ended = steward("waiver", "grant", f"{MODEL}@3", *given)
    assert ended.out == "flight_delays@3: metric.roc_auc is waived until 2013-12-31T00:00:00Z (waiver w1)\n"
    fields = {"gate": "metric.roc_auc", "until": "2013-12-31", "reason": "new airport"}
    assert airflow.decided == [(MODEL, "waivers", {**fields, "version": 3})]
    ended = steward("waiver", "grant", MODEL, *given, "--slice", "origin=JFK", "--json")
    assert json.loads(ended.out) == airflow.answer
    assert airflow.decided[1] == (MODEL, "waivers", {**fields, "slice": "origin=JFK"})


def test_revoke_finds_the_model_by_the_waiver(steward: Steward, signed: FakeDatabase, airflow: FakeDoor) -> None:
    assert signed
    ended = steward("waiver", "revoke", "a1", "--reason", "rows came")
    assert ended.out == "flight_delays@3: metric.roc_auc is no longer waived\n"
    assert airflow.decided == [(MODEL, "waivers/revoke", {"waiver": "a1-holds", "reason": "rows came"})]
    steward("waiver", "revoke", "c1-other", "--reason", "rows came")
    assert airflow.decided[1][0] == "lamps"


@pytest.mark.parametrize(("waiver", "code"), [("z", 5), ("a", 4)])
def test_a_waiver_that_cannot_be_told(
    steward: Steward, signed: FakeDatabase, airflow: FakeDoor, waiver: str, code: int
) -> None:
    assert signed
    assert steward("waiver", "revoke", waiver, "--reason", "rows came").code == code
    assert airflow.decided == []


def test_list(steward: Steward, signed: FakeDatabase) -> None:
    assert signed
    assert [each["id"] for each in json.loads(steward("waiver", "list", "--json").out)] == ["a1-holds", "c1-other"]
    listed = steward("waiver", "list", MODEL).out.splitlines()
    assert listed[1].split("\t") == [
        "a1-holds",
        "flight_delays@3",
        "metric.roc_auc",
        "",
        "2013-08-01 00:00",
        "vera (risk_officer)",
        "because",
    ]
    assert len(listed) == 2
    everything = json.loads(steward("waiver", "list", MODEL, "--all", "--json").out)
    assert [each["id"] for each in everything] == ["a1-holds", "a2-revoked", "b1-ended"]


def test_list_of_a_model_nobody_knows(steward: Steward, store: FakeDatabase) -> None:
    assert store
    assert steward("waiver", "list", MODEL).code == 0
    assert steward("waiver", "list", "flights").code == 5


def test_break_glass(steward: Steward, airflow: FakeDoor) -> None:
    airflow.answer = {"review_by": "2013-06-05T12:00:00Z"}
    ended = steward("break-glass", f"{MODEL}@3", "--reason", "the champion refuses everything")
    assert "must review it by 2013-06-05T12:00:00Z" in ended.out
    assert airflow.decided == [
        (MODEL, "break-glass", {"version": 3, "reason": "the champion refuses everything"}),
    ]
    assert steward("break-glass", MODEL, "--reason", "which one?").code == 5


def test_review(steward: Steward, airflow: FakeDoor) -> None:
    airflow.answer = {"next_review_at": "2014-06-01T12:00:00Z"}
    ended = steward("review", MODEL, "--reason", "still what we want")
    assert ended.out == "flight_delays was reviewed; the next review is due by 2014-06-01T12:00:00Z\n"
    assert json.loads(steward("review", MODEL, "--reason", "again", "--json").out) == airflow.answer


VERBS: list[tuple[str, ...]] = [
    ("waiver", "grant", MODEL, "--gate", "g", "--until", "2013-12-31", "--reason", "r"),
    ("waiver", "revoke", "a1", "--reason", "r"),
    ("break-glass", f"{MODEL}@1", "--reason", "r"),
    ("review", MODEL, "--reason", "r"),
]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0] + verb[1])
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.PolicyError, 3),
        (errors.ConflictError, 4),
        (errors.NotFoundError, 5),
        (errors.RequestError, 2),
        (errors.UnavailableError, 75),
    ],
)
def test_a_refusal_ends_with_its_own_code(
    steward: Steward,
    signed: FakeDatabase,
    airflow: FakeDoor,
    verb: tuple[str, ...],
    kind: Callable[..., errors.StewardError],
    code: int,
) -> None:
    assert signed
    airflow.answer = kind("no", where="the door", hint="ask vera")
    ended = steward(*verb)
    assert (ended.code, ended.out, ended.err) == (code, "", "the door: no\n→ ask vera\n")
