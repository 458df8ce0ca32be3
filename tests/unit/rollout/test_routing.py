"""The sticky split."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.errors import UnavailableError
from steward.rollout import Route
from steward.rollout.routing import choose, position
from steward.types import Role


def route(percent: int, *, champion: int | None = 1, canary: int | None = 2, epoch: int = 1) -> Route:
    return Route("flight_delays", champion, canary, percent, epoch, datetime(2013, 4, 1, tzinfo=UTC))


@given(st.text(), st.integers(0, 100), st.integers(0, 100), st.integers(1, 10**6))
def test_a_key_that_is_on_the_canary_stays_on_it_as_its_share_grows(key: str, one: int, other: int, epoch: int) -> None:
    small, large = sorted((one, other))
    if choose(route(small), key) == (2, Role.CANARY):
        assert choose(route(large, epoch=epoch), key) == (2, Role.CANARY)


@given(st.text())
def test_nobody_is_on_a_canary_of_no_share_and_everybody_on_one_of_all(key: str) -> None:
    assert choose(route(0), key) == (1, Role.CHAMPION)
    assert choose(route(100), key) == (2, Role.CANARY)
    assert choose(route(50, canary=None), key) == (1, Role.CHAMPION)


@pytest.mark.parametrize("percent", [5, 25, 50])
def test_the_share_of_keys_is_the_percent(percent: int) -> None:
    """20,000 keys: four standard errors are at most 1.5 points."""
    share = sum(choose(route(percent), f"key-{i}")[1] is Role.CANARY for i in range(20_000)) / 200
    assert share == pytest.approx(percent, abs=1.5)


def test_models_split_their_users_independently() -> None:
    both = sum(position("a", str(i)) < 50 and position("b", str(i)) < 50 for i in range(10_000)) / 10_000
    assert both == pytest.approx(0.25, abs=0.02)


def test_positions_are_pinned() -> None:
    """Another value would move users between versions during an upgrade of the servers."""
    assert position("flight_delays", "passenger-1") == pytest.approx(26.45053)


def test_before_the_first_champion_the_canary_answers_every_key() -> None:
    assert {choose(route(5, champion=None), str(i)) for i in range(100)} == {(2, Role.CANARY)}


def test_a_route_that_names_nobody_says_so() -> None:
    with pytest.raises(UnavailableError, match="no version is released"):
        choose(route(0, champion=None), "key")
