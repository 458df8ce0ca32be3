"""status, history, why and audit say what the record says, and change nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Steward

from steward import wiring
from steward.approval import RequestState
from steward.ledger import EventType
from steward.registry import State
from steward.testing import FakeDatabase, FrozenClock
from steward.testing.builders import (
    MODEL,
    a_draft,
    a_judged_window,
    a_new_version,
    a_request,
    a_route,
    an_incident,
)
from steward.types import VersionRef


@pytest.fixture
def lived(store: FakeDatabase, clock: FrozenClock) -> FakeDatabase:
    """A champion that serves since noon of 1 June 2013, a challenger that waits, an incident, a decision."""
    with store.begin() as tx:
        tx.versions.add(a_new_version())
        tx.versions.move(VersionRef(MODEL, 1), State.CHALLENGER, State.CHAMPION)
        tx.versions.add(a_new_version())
        tx.events.append(a_draft(EventType.VERSION_PROMOTED, version=1, reason="first", body={"replaced": None}))
        tx.routes.set(a_route(percent=25))
        tx.approvals.open(a_request(version=2))
        tx.windows.record(a_judged_window())
        tx.incidents.save(an_incident())
    clock.advance(timedelta(days=1))
    with store.begin() as tx:
        detail = {"failed": 2, "of": 3}
        tx.events.append(a_draft(EventType.RETRAINING_DECLINED, reason="cooldown", body={"detail": detail}))
    return store


def test_status(steward: Steward, lived: FakeDatabase) -> None:
    assert lived
    (row,) = json.loads(steward("status", "--json").out)
    assert (row["model"], row["champion"], row["canary"], row["percent"]) == (MODEL, 1, 2, 25)
    assert [waiting["version"] for waiting in row["waiting"]] == [2]
    assert [incident["cause"] for incident in row["incidents"]] == ["drift"]
    assert row["last_window"]["outcome"] == "FAILED"
    assert row["last_event"]["type"] == "retraining.declined"
    line = steward("status", MODEL).out.splitlines()[1]
    assert line.split("\t")[:3] == [MODEL, "none", "@1, canary @2 (25 %)"]


def test_status_before_anything_happened(steward: Steward, store: FakeDatabase) -> None:
    assert store
    (row,) = json.loads(steward("status", MODEL, "--json").out)
    assert (row["champion"], row["canary"], row["last_event"]) == (None, None, None)
    assert steward("status").out.splitlines()[1].startswith(f"{MODEL}\tnone\tnone\t")


def governed(store: FakeDatabase) -> None:
    """In monitoring, with a document, a waiver that holds and one that has ended; reviewed until July."""
    signed = {"gate": "metric.roc_auc", "role": "risk_officer"}
    drafts = [
        a_draft(EventType.STAGE_ENTERED, version=1, body={"stage": "monitoring", "artefacts": {}}),
        a_draft(EventType.DOCUMENT_FILED, evidence="d1", body={"kind": "use_case", "title": "Use"}),
        a_draft(EventType.DOCUMENT_FILED, evidence="d2", body={"kind": "use_case", "title": "Use, again"}),
        a_draft(EventType.WAIVER_GRANTED, body={**signed, "waiver": "w1", "expires_at": "2013-06-03T00:00:00Z"}),
        a_draft(
            EventType.WAIVER_GRANTED,
            body={**signed, "waiver": "w2", "slice": "origin=JFK", "expires_at": "2013-08-01T00:00:00Z"},
        ),
        a_draft(EventType.MODEL_REVIEWED, body={"next_review_at": "2013-07-01T00:00:00Z"}),
    ]
    with store.begin() as tx:
        for draft in drafts:
            tx.events.append(draft)


def test_status_tells_how_a_model_is_governed(
    steward: Steward, store: FakeDatabase, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "clock", lambda: clock)
    governed(store)
    clock.advance(timedelta(days=7))
    (row,) = json.loads(steward("status", "--json").out)
    assert row["stage"] == {"stage": "monitoring", "since": "2013-06-01T12:00:00Z", "version": 1}
    assert [(document["kind"], document["digest"]) for document in row["documents"]] == [("use_case", "d2")]
    assert [waiver["id"] for waiver in row["waivers"]] == ["w2"]
    assert row["review"] == {"last": "2013-06-01T12:00:00Z", "next": "2013-07-01T00:00:00Z", "overdue": False}
    cells = steward("status").out.splitlines()[1].split("\t")
    assert cells[1] == "monitoring since 2013-06-01"
    assert cells[5] == "metric.roc_auc origin=JFK waived until 2013-08-01; review by 2013-07-01; 1 document"


def test_status_tells_of_an_overdue_review(
    steward: Steward, store: FakeDatabase, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken glass asks for a review sooner than the last one promised; a review of it ends that."""
    monkeypatch.setattr(wiring, "clock", lambda: clock)
    governed(store)
    with store.begin() as tx:
        tx.events.append(a_draft(EventType.GLASS_BROKEN, version=2, body={"review_by": "2013-06-03T12:00:00Z"}))
    clock.advance(timedelta(days=2))
    (row,) = json.loads(steward("status", "--json").out)
    assert (row["review"]["next"], row["review"]["overdue"]) == ("2013-06-03T12:00:00Z", True)
    assert "review OVERDUE since 2013-06-03" in steward("status").out
    with store.begin() as tx:
        tx.events.append(a_draft(EventType.MODEL_REVIEWED, body={"next_review_at": "2014-06-03T12:00:00Z"}))
    (row,) = json.loads(steward("status", "--json").out)
    assert (row["review"]["next"], row["review"]["overdue"]) == ("2014-06-03T12:00:00Z", False)


def test_status_of_a_retired_model_whose_folder_is_gone(steward: Steward, store: FakeDatabase, models: Path) -> None:
    body = {"keep_until": "2023-01-01T00:00:00Z", "archive": "archive/x"}
    with store.begin() as tx:
        tx.events.append(a_draft(EventType.MODEL_RETIRED, reason="no longer used", body=body))
    (models / MODEL / "model.yaml").unlink()
    (row,) = json.loads(steward("status", MODEL, "--json").out)
    assert (row["retired"]["reason"], row["review"]["overdue"]) == ("no longer used", False)
    assert "retired 2013-06-01" in steward("status", MODEL).out


def test_status_of_an_unknown_model(steward: Steward, store: FakeDatabase) -> None:
    assert store
    assert steward("status", "flight_delay").code == 5


def test_history_at_a_date(steward: Steward, lived: FakeDatabase) -> None:
    assert lived
    served = json.loads(steward("history", MODEL, "--at", "2013-06-02", "--json").out)["serving"]
    assert (served["version"], served["reason"]) == (1, "first")
    assert "served\tflight_delays@1, from 2013-06-01 12:00" in steward("history", MODEL, "--at", "2013-06-02").out
    before = steward("history", MODEL, "--at", "2013-06-01T11:59:59Z")
    assert before.out == "no version of flight_delays served at 2013-06-01T11:59:59Z\n"
    assert before.code == 0


def test_the_whole_history(steward: Steward, lived: FakeDatabase) -> None:
    assert lived
    rows = json.loads(steward("history", MODEL, "--json").out)
    assert [row["event"] for row in rows] == ["version.promoted", "retraining.declined"]
    assert len(steward("history", MODEL).out.splitlines()) == 3


@pytest.mark.parametrize(("arguments", "code"), [((MODEL, "--at", "yesterday"), 2), (("flights",), 5)])
def test_history_that_cannot_be_told(
    steward: Steward, store: FakeDatabase, arguments: tuple[str, ...], code: int
) -> None:
    assert store
    assert steward("history", *arguments).code == code


def test_the_chain_is_verified_against_a_checkpoint(steward: Steward, lived: FakeDatabase, tmp_path: Path) -> None:
    assert lived
    out = tmp_path / "checkpoints"
    assert steward("audit", "checkpoint", "--out", out).code == 0
    assert steward("audit", "verify").out.startswith("2 events, every link holds (head ")
    ended = steward("audit", "verify", "--checkpoint", out, "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["checkpoints"] == 1


def test_a_chain_cut_short_is_an_error(
    steward: Steward, lived: FakeDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint saw two events; the ledger that is left has none."""
    assert lived
    out = tmp_path / "checkpoints"
    steward("audit", "checkpoint", "--out", out)
    monkeypatch.setattr(wiring, "database", FakeDatabase)
    ended = steward("audit", "verify", "--checkpoint", out)
    assert ended.code == 1
    assert "events 1 to 2 are gone" in ended.err
    as_json = steward("audit", "verify", "--checkpoint", out, "--json")
    assert as_json.code == 1
    assert json.loads(as_json.out)["broken"]["tampering"] == "truncated"


def test_checkpoints_that_cannot_be_read(steward: Steward, lived: FakeDatabase, tmp_path: Path) -> None:
    assert lived
    assert steward("audit", "verify", "--checkpoint", tmp_path / "nothing").code == 5
    (tmp_path / "rubbish").write_text("rubbish\n")
    assert steward("audit", "verify", "--checkpoint", tmp_path / "rubbish").code == 1
    assert steward("audit", "checkpoint", "--out", tmp_path / "no" / "folder").code == 1


def test_reading_changes_nothing(steward: Steward, lived: FakeDatabase) -> None:
    before = steward("audit", "verify", "--json").out
    for command in (("status",), ("history", MODEL), ("why", MODEL)):
        steward(*command)
    assert steward("audit", "verify", "--json").out == before
    with lived.begin() as tx:
        assert [request.state for request in tx.approvals.find(MODEL)] == [RequestState.OPEN]
