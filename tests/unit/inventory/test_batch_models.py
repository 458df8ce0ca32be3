"""A batch target has no server to answer for it, and is no zombie because of that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.specs import a_spec

from steward.inventory.record import ModelFacts
from steward.inventory.rules import RULES
from steward.inventory.zombies import Estate, EstateFinding, assess
from steward.ledger import EventType
from steward.registry import ModelVersion, State
from steward.rollout import Route
from steward.testing import FakeDatabase
from steward.testing.builders import MODEL, NOON, a_draft, a_new_version

CONSUMERS = [{"name": "rebooking", "contact": "desk@example.com"}]


def champion(database: FakeDatabase) -> ModelVersion:
    with database.begin() as tx:
        added = tx.versions.add(a_new_version())
        tx.versions.move(added.ref, State.CHALLENGER, State.CHAMPION)
        tx.events.append(a_draft(EventType.VERSION_PROMOTED, version=1, body={"replaced": None}))
        return tx.versions.get(added.ref)


def findings(database: FakeDatabase, target: str, *rules: str, **estate: Any) -> list[EstateFinding]:
    version = champion(database)
    spec = a_spec(
        deployment={"target": target, "strategy": "direct", "steps": [100]},
        consumers=CONSUMERS,
    )
    with database.begin() as tx:
        events = tx.events.read(model=MODEL)
    facts = ModelFacts(MODEL, spec=spec, versions=[version], events=events, route=Route(MODEL, 1, None, 0, 1, NOON))
    wanted = [rule for rule in RULES if rule.name in rules]
    assert len(wanted) == len(rules)
    now = NOON + timedelta(days=60)
    return list(assess(Estate(now, [facts], **{"served": [], **estate}), wanted).findings)


class Asked:
    def __init__(self, **sources: int) -> None:
        self.requests, self.sources, self.last_at = sum(sources.values()), sources, NOON


@pytest.mark.parametrize(("target", "found"), [("local", ["no server answers with it"]), ("batch", [])])
def test_a_champion_that_no_server_holds(fake_database: FakeDatabase, target: str, found: list[str]) -> None:
    assert [each.reason for each in findings(fake_database, target, "route_differs")] == found


@pytest.mark.parametrize(("target", "count"), [("local", 1), ("batch", 0)])
def test_its_own_scoring_is_no_unknown_caller(fake_database: FakeDatabase, target: str, count: int) -> None:
    traffic = {MODEL: Asked(score=5000)}
    assert len(findings(fake_database, target, "unknown_caller", traffic=traffic)) == count


def test_a_scoring_run_that_stopped_is_seen(fake_database: FakeDatabase) -> None:
    (found,) = findings(fake_database, "batch", "idle_champion", traffic={MODEL: Asked()})
    assert found.reason == "nobody has asked it for more than 30 days"


def test_a_server_that_answers_with_another_version_is_seen_all_the_same(fake_database: FakeDatabase) -> None:
    from steward.inventory import ServedVersion

    served = [ServedVersion("http://one", MODEL, 9, "d", "champion")]
    (found,) = findings(fake_database, "batch", "served_unregistered", served=served)
    assert found.version == 9
