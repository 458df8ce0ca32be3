"""How far a retirement has come, from events alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steward.data import Traffic
from steward.inventory.retirement import Retirement, retirement_of, waiting_for_consumers, waiting_for_quiet
from steward.ledger import AuditEvent, EventDraft, EventType
from steward.testing import FakeDatabase, FrozenClock

STARTED: dict[str, Any] = {
    "owner": "olga@example.com",
    "replacement": None,
    "consumers": [{"name": "desk", "contact": "desk@example.com"}, {"name": "app", "contact": "olga@example.com"}],
    "quiet": 86400.0,
    "keep": 86400.0 * 365,
}


def told(*drafts: tuple[EventType, dict[str, Any]]) -> list[AuditEvent]:
    database = FakeDatabase(FrozenClock())
    with database.begin() as tx:
        for kind, body in drafts:
            tx.events.append(EventDraft(kind, "toy", "person:mo", "superseded", None, "e" * 64, body))
        return tx.events.read()


def under_way(*more: tuple[EventType, dict[str, Any]], **changes: Any) -> Retirement:
    found = retirement_of(told((EventType.RETIREMENT_STARTED, {**STARTED, **changes}), *more))
    assert found is not None
    return found


def test_nothing_started_nothing_known() -> None:
    assert retirement_of([]) is None
    assert retirement_of(told((EventType.CONSUMER_CONFIRMED, {"consumer": "desk"}))) is None


def test_consumers_are_waited_for_until_each_confirmed_or_the_replacement_serves() -> None:
    found = under_way((EventType.CONSUMER_CONFIRMED, {"consumer": "desk", "replacement": "heir"}))
    assert found.unconfirmed == ["app"]
    assert found.confirmations["desk"].replacement == "heir"
    assert waiting_for_consumers(found, replaced=False) == ["app (olga@example.com) has not confirmed"]
    assert waiting_for_consumers(found, replaced=True) == []
    assert found.contacts == ["desk@example.com", "olga@example.com"]


def test_called_off_it_is_forgotten_with_its_confirmations() -> None:
    confirmed = (EventType.CONSUMER_CONFIRMED, {"consumer": "desk"})
    assert retirement_of(told((EventType.RETIREMENT_STARTED, STARTED), (EventType.RETIREMENT_CALLED_OFF, {}))) is None
    again = under_way(confirmed, (EventType.RETIREMENT_CALLED_OFF, {}), (EventType.RETIREMENT_STARTED, STARTED))
    assert again.confirmations == {}


@pytest.mark.parametrize("requests", [1, 12])
def test_every_request_begins_the_wait_anew(requests: int) -> None:
    asked_at = datetime(2013, 6, 1, 12, tzinfo=UTC)
    (said,) = waiting_for_quiet(under_way(), Traffic(requests, asked_at, sources={"desk": 1}))
    assert "quiet at 2013-06-02T12:00:00Z at the earliest" in said
    assert ("without a name" in said) is (requests > 1)
    assert waiting_for_quiet(under_way(), Traffic(0, None)) == []


def test_what_was_closed_archived_and_buried_carries_its_date() -> None:
    archived = {"archive": "/a/toy", "keep_until": "2023-06-01T00:00:00Z"}
    steps = [(EventType.ENDPOINT_CLOSED, {}), (EventType.MODEL_ARCHIVED, archived), (EventType.MODEL_RETIRED, {})]
    found = under_way(*steps)
    assert found.archived is not None
    assert (found.archived.address, found.archived.manifest) == ("/a/toy", "e" * 64)
    assert found.closed_at == found.retired_at == found.started_at
    assert found.quiet == timedelta(days=1)
    assert found.to_json()["archived"]["keep_until"] == "2023-06-01T00:00:00Z"
