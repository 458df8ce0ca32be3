"""Incidents as the ledger knew them at a moment."""

from __future__ import annotations

from steward.inventory.past import PAST_EVENTS, past_facts
from steward.ledger import EventType
from steward.testing import FakeDatabase
from steward.testing.builders import WEEK, a_draft


def test_an_incident_of_the_past_is_as_severe_as_it_had_become() -> None:
    body = {"incident": "i", "cause": "drift", "severity": "low", "first_bad": WEEK.to_json()}
    with FakeDatabase().begin() as tx:
        tx.events.append(a_draft(EventType.INCIDENT_OPENED, version=1, body=body))
        tx.events.append(a_draft(EventType.INCIDENT_UPDATED, version=1, body={**body, "severity": "high"}))
        (facts,) = past_facts(tx.events.read(types=PAST_EVENTS))
        assert [(incident.id, incident.severity) for incident in facts.incidents] == [("i", "high")]
        tx.events.append(a_draft(EventType.INCIDENT_RESOLVED, version=1, body={**body, "severity": "high"}))
        (facts,) = past_facts(tx.events.read(types=PAST_EVENTS))
        assert facts.incidents == []
