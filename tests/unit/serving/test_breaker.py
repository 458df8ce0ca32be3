"""When a version on trial is taken off, and when it is not."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from steward.serving.routing.breaker import SLOW_FOR_SECONDS, WINDOW, CanaryBreaker

GUARDRAIL = timedelta(milliseconds=100)


class HandClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_looks_at_the_last_twenty() -> None:
    breaker = CanaryBreaker()
    pattern = [False] + [True] * 4 + [False] * 17 + [True] * 4
    assert not any(breaker.record(failed) for failed in pattern)
    assert breaker.record(True)
    assert not breaker.record(True), "only one request trips it"
    assert breaker.tripped
    assert breaker.reason == f"5 errors among its last {WINDOW} requests"


def test_one_that_never_answered_is_known_by_its_first_three() -> None:
    breaker = CanaryBreaker()
    assert [breaker.record(True) for _ in range(3)] == [False, False, True]
    once_good = CanaryBreaker()
    once_good.record(False)
    assert [once_good.record(True) for _ in range(5)] == [False] * 4 + [True]


@pytest.mark.parametrize(("rate", "at_most"), [(0.01, 2), (0.02, 10)])
def test_errors_about_the_guardrail_are_for_the_analysis(rate: float, at_most: int) -> None:
    """At 1 % allowed: 1,000 steps of 200 requests. The breaker is for what fails far beyond that."""
    draw = random.Random(7)
    tripped = sum(any(breaker.record(draw.random() < rate) for _ in range(200)) for breaker in breakers(1000))
    assert tripped <= at_most


@pytest.mark.parametrize(("rate", "within"), [(1.0, 3), (0.5, 40), (0.3, 120)])
def test_what_fails_far_beyond_the_guardrail_is_off_after_so_many_requests(rate: float, within: int) -> None:
    draw = random.Random(7)
    took = [requests_until(breaker, lambda: draw.random() < rate) for breaker in breakers(500)]
    assert sorted(took)[494] <= within, "99 in 100"


def test_slow_for_long_is_off() -> None:
    clock = HandClock()
    breaker = CanaryBreaker(GUARDRAIL, clock)
    tripped_at = None
    while tripped_at is None and clock.now < 60:
        clock.now += 0.5  # two requests a second
        tripped_at = clock.now if breaker.record(False, seconds=0.25) else None
    assert tripped_at is not None
    assert tripped_at <= 10
    assert breaker.reason == "11 of its last 11 requests took longer than 0.2 s, for 3 s"


def test_a_pause_of_the_process_makes_no_slow_version() -> None:
    """Hundreds of requests stand in line for a second; those after them are quick."""
    clock = HandClock()
    breaker = CanaryBreaker(GUARDRAIL, clock)
    for _ in range(10):
        clock.now += SLOW_FOR_SECONDS - 0.1
        assert not any(breaker.record(False, seconds=1.0) for _ in range(300))
        assert not any(breaker.record(False, seconds=0.01) for _ in range(WINDOW))


@pytest.mark.parametrize("slowest", [None, GUARDRAIL])
def test_latency_within_twice_the_guardrail_is_for_the_analysis(slowest: timedelta | None) -> None:
    clock = HandClock()
    breaker = CanaryBreaker(slowest, clock)
    for _ in range(100):
        clock.now += 1
        assert not breaker.record(False, seconds=0.19 if slowest else 60)


def test_told_by_another_it_is_off_with_that_reason() -> None:
    breaker = CanaryBreaker()
    assert breaker.trip("the server beside saw 5 errors")
    assert not breaker.trip("again")
    assert not any(breaker.record(True) for _ in range(10))
    assert (breaker.tripped, breaker.reason) == (True, "the server beside saw 5 errors")


def breakers(count: int) -> list[CanaryBreaker]:
    return [CanaryBreaker() for _ in range(count)]


def requests_until(breaker: CanaryBreaker, fails) -> int:  # type: ignore[no-untyped-def]
    return next(count for count in range(1, 10_000) if breaker.record(fails()))
