"""A champion of before that stands by is in memory for a reason, as long as it answers no user."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from steward.inventory import ServedVersion
from steward.inventory.record import ModelFacts
from steward.inventory.rules import superseded_serving
from steward.inventory.zombies import Estate
from steward.registry import ModelVersion, State
from steward.rollout import Route
from steward.types import Window

NOON = datetime(2013, 6, 1, 12, tzinfo=UTC)


def a_version(number: int, state: State) -> ModelVersion:
    window = Window(datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 4, 1, tzinfo=UTC))
    return ModelVersion("churn", state, "ada", "s" * 64, "run", "uri", "d" * 64, window, number=number)


@pytest.mark.parametrize(
    ("standby", "role", "found"),
    [(1, "standby", []), (1, "tester", []), (None, "standby", [1]), (1, "champion", [1]), (1, "canary", [1])],
)
def test_a_superseded_version_may_stand_by_and_no_more(standby: int | None, role: str, found: list[int]) -> None:
    versions = [a_version(1, State.SUPERSEDED), a_version(2, State.CHAMPION)]
    route = Route("churn", 2, None, 0, 9, NOON, standby=standby)
    facts = ModelFacts("churn", versions=versions, route=route)
    served = [ServedVersion("http://one", "churn", 1, "d" * 64, role)]
    told = superseded_serving(Estate(NOON, [facts], served=served), facts)
    assert [number for number, _ in told or ()] == found
