"""The sticky split."""

from __future__ import annotations

from dataclasses import replace
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


def test_the_split_is_even_all_along_the_line() -> None:
    """Chi-square over 100 cells of 50,000 keys: with 99 degrees of freedom, 148.2 is passed once in a thousand."""
    cells = [0] * 100
    for i in range(50_000):
        cells[int(position("flight_delays", 2, f"passenger-{i}"))] += 1
    assert sum((count - 500) ** 2 / 500 for count in cells) < 148.2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("flight_delays", 2), ("loan_approval", 2)),
        (("flight_delays", 2), ("flight_delays", 3)),
        (("flight_delays", 12), ("flight_delays1", 2)),
    ],
    ids=["two models", "two releases of a model", "names that run into each other"],
)
def test_two_splits_are_independent(one: tuple[str, int], other: tuple[str, int]) -> None:
    """Chi-square of a ten by ten table of 20,000 keys: with 99 degrees of freedom, 148.2 is passed once in a thousand.

    Who is among the first to meet one version says nothing about the next.
    """
    cells = [[0] * 10 for _ in range(10)]
    for i in range(20_000):
        cells[int(position(*one, str(i)) / 10)][int(position(*other, str(i)) / 10)] += 1
    assert sum((count - 200) ** 2 / 200 for row in cells for count in row) < 148.2


def test_positions_are_pinned() -> None:
    """Another value would move users between versions during an upgrade of the servers."""
    assert position("flight_delays", 2, "passenger-1") == pytest.approx(11.01902)


def test_a_shadow_and_a_version_that_stands_by_answer_nobody() -> None:
    beside = replace(route(0, canary=None), shadow=2, standby=3)
    assert {choose(beside, str(i)) for i in range(1000)} == {(1, Role.CHAMPION)}
    with pytest.raises(UnavailableError):
        choose(replace(beside, champion=None), "key")


def test_before_the_first_champion_the_canary_answers_every_key() -> None:
    assert {choose(route(5, champion=None), str(i)) for i in range(100)} == {(2, Role.CANARY)}


def test_a_route_that_names_nobody_says_so() -> None:
    with pytest.raises(UnavailableError, match="no version is released"):
        choose(route(0, champion=None), "key")
