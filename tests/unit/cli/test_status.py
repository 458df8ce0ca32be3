"""status: the operator's first command says what is wrong, what waits, and the next step of each."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Steward, forget

from steward import wiring
from steward.ledger import EventType
from steward.registry import State
from steward.testing import FakeDatabase, FrozenClock
from steward.testing.builders import (
    MODEL,
    NOON,
    a_draft,
    a_judged_window,
    a_new_version,
    a_request,
    a_route,
    an_incident,
)
from steward.types import VersionRef


@pytest.fixture
def troubled(store: FakeDatabase, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    """A champion with an incident of its data, a challenger that waits, a review that was due a month ago."""
    monkeypatch.setattr(wiring, "clock", lambda: clock)
    with store.begin() as tx:
        tx.versions.add(a_new_version())
        tx.versions.move(VersionRef(MODEL, 1), State.CHALLENGER, State.CHAMPION)
        tx.versions.add(a_new_version())
        tx.events.append(a_draft(EventType.VERSION_PROMOTED, version=1, reason="first", body={"replaced": None}))
        tx.events.append(a_draft(EventType.MODEL_REVIEWED, body={"next_review_at": "2013-07-01T00:00:00Z"}))
        tx.routes.set(a_route(percent=0))
        tx.approvals.open(a_request(version=2, expires_at=NOON + timedelta(days=90)))
        tx.windows.record(a_judged_window())
        tx.incidents.save(an_incident(cause="data"))
    clock.advance(timedelta(days=60))
    return store


def next_steps(out: str) -> list[str]:
    lines = out.splitlines()
    begins = next(place for place, line in enumerate(lines) if line.startswith("1 model:"))
    return lines[begins:]


def test_the_end_says_what_to_do(steward: Steward, troubled: FakeDatabase) -> None:
    assert troubled
    summary, red, why, waits, approve, review, look = next_steps(steward("status").out)
    assert summary == "1 model: 1 red"
    assert red.startswith(f"RED      {MODEL}: ")
    assert "data since 2013-06-01 (medium)" in red
    assert why == f"         → steward why {MODEL}"
    assert waits == f"WAITS    {MODEL}@2 for approval until 2013-08-30 12:00"
    assert approve.strip() == f'→ steward approve {MODEL}@2 --reason "…", or reject'
    assert review == f"REVIEW   {MODEL}: due since 2013-07-01"
    assert look.strip() == f'→ steward review {MODEL} --reason "…"'


def test_the_same_for_programs(steward: Steward, troubled: FakeDatabase) -> None:
    assert troubled
    (row,) = json.loads(steward("status", "--json").out)
    assert row["health"]["state"] == "red"
    assert [each["do"].split()[1] for each in row["next"]] == ["why", "approve", "review"]
    assert (row["champion"], row["waiting"][0]["version"]) == (1, 2)


def test_where_nothing_is_wrong_nothing_is_to_do(steward: Steward, store: FakeDatabase) -> None:
    assert store
    assert next_steps(steward("status").out) == ["1 model: 1 not serving"]


def test_a_broken_spec_is_told(steward: Steward, store: FakeDatabase, models: Path) -> None:
    assert store
    (models / MODEL / "model.yaml").write_text("model: flight_delays\n")
    forget()
    summary, broken, check, *_ = next_steps(steward("status").out)
    assert summary == "1 model: 1 broken"
    assert broken.startswith(f"BROKEN   {MODEL}: its spec is broken")
    assert check.strip() == "→ steward check"
