"""Copies for a shadow: recorded beside the champion's answers, dropped when there is no room, never in the way."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.unit.serving.conftest import MODEL, ROW, make_spec

from steward.rollout import Route
from steward.serving.answers.contract import RequestContract
from steward.serving.answers.failures import VersionFaultError
from steward.serving.answers.mirroring import Mirror, MirrorLimits
from steward.serving.log.answered_rows import Answered, FeatureLayout
from steward.serving.memory.versions import Answer
from steward.serving.protocols.calls import Call
from steward.serving.routing.breaker import CanaryBreaker
from steward.serving.telemetry.metrics import ServerMetrics
from steward.types import Role, VersionRef

NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)
SPEC = make_spec()
LAYOUT = FeatureLayout(SPEC, b"")
YES, NO = Answer(np.array([0.9]), [1]), Answer(np.array([0.1]), [0])


@dataclass
class Shadow:
    """A version that does as it is told."""

    does: Callable[[Any], Answer] = lambda batch: YES
    spec: Any = SPEC
    number: int = 2
    in_flight: int = 0
    layout: Any = LAYOUT
    asked: list[Any] = field(default_factory=list)

    @property
    def ref(self) -> VersionRef:
        return VersionRef(MODEL, self.number)

    @property
    def contract(self) -> RequestContract:
        return RequestContract(self.spec)

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(self.spec.data.features)

    def answer(self, batch: Any) -> Answer:
        self.asked.append(batch)
        return self.does(batch)


class Bench:
    """A mirror, what it recorded and reported, and one loop to offer from."""

    def __init__(self, **limits: Any) -> None:
        self.rows: list[Answered] = []
        self.trips: list[tuple[str, int, int, str]] = []
        self.metrics = ServerMetrics()
        self.mirror = Mirror(
            self.rows.append,
            self.metrics,
            lambda: NOON,
            lambda *trip: self.trips.append(trip),
            MirrorLimits(**{"share": 1.0, **limits}),
        )

    def route(self, shadow: Shadow | None, epoch: int = 5) -> Any:
        number = shadow.number if shadow else None
        route = Route(MODEL, 1, None, 0, epoch, NOON, shadow=number)
        return SimpleNamespace(route=route, spec=SPEC, shadow=shadow, layout=None, breaker=CanaryBreaker())

    async def offer(self, active: Any, count: int = 1, answer: Answer = YES, **row: Any) -> None:
        for i in range(count):
            columns = {name: [value] for name, value in {**ROW, **row}.items()}
            call = Call(columns=columns, rows=1, key="k", decision_ids=[f"{len(self.rows)}-{i}"], source="desk")
            batch = RequestContract(SPEC).check(columns, 1, ())
            self.mirror.offer(active, call, batch, answer)

    async def settled(self, rows: int) -> None:
        async with asyncio.timeout(10):
            while len(self.rows) < rows:
                await asyncio.sleep(0.001)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"steward_{name}_total", labels) or 0.0


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Ends what a test left hanging."""
    event = threading.Event()
    yield event
    event.set()


def hanging(until: threading.Event) -> Callable[[Any], Answer]:
    def hang(batch: Any) -> Answer:
        until.wait(30)
        return YES

    return hang


def test_a_copy_is_recorded_under_the_decision_of_the_answer() -> None:
    bench, shadow = Bench(), Shadow()

    async def story() -> None:
        await bench.offer(bench.route(shadow))
        await bench.settled(1)

    asyncio.run(story())
    (row,) = bench.rows
    assert (row.role, row.version, row.epoch, row.decision_ids, row.error) == (Role.SHADOW, 2, 5, ["0-0"], None)
    assert row.scores.tolist() == [0.9]
    assert (shadow.in_flight, bench.mirror.waiting_requests, bench.mirror.waiting_rows) == (0, 0, 0)
    assert bench.count("requests", model=MODEL, version="2", role="shadow") == 1


def test_without_a_shadow_nothing_happens() -> None:
    bench = Bench()
    asyncio.run(bench.offer(bench.route(None)))
    assert bench.mirror.waiting_requests == 0


def test_decisions_that_differ_are_counted_as_they_come() -> None:
    bench, shadow = Bench(), Shadow()

    async def story() -> None:
        active = bench.route(shadow)
        await bench.offer(active, answer=YES)
        await bench.offer(active, answer=NO)
        await bench.settled(2)

    asyncio.run(story())
    assert bench.count("shadow_differed", model=MODEL, version="2") == 1


def fails(batch: Any) -> Answer:
    raise VersionFaultError("no", kind="not_finite")


def explodes(batch: Any) -> Answer:
    raise ZeroDivisionError


@pytest.mark.parametrize(("does", "kind"), [(fails, "not_finite"), (explodes, "internal")])
def test_a_shadow_that_fails_again_and_again_is_switched_off_and_reported_once(does: Any, kind: str) -> None:
    bench = Bench()

    async def story() -> None:
        active = bench.route(Shadow(does))
        await bench.offer(active, count=10)
        await bench.settled(10)
        await bench.offer(active, count=10)
        assert bench.mirror.waiting_requests == 0, "a shadow that was switched off gets no more copies"

    asyncio.run(story())
    assert {row.error for row in bench.rows} == {kind}
    assert [trip[:3] for trip in bench.trips] == [(MODEL, 2, 5)]
    assert bench.count("request_errors", model=MODEL, version="2", role="shadow", kind=kind) == 10


def test_what_finds_no_room_is_dropped_and_counted_and_nobody_waits(released: threading.Event) -> None:
    bench = Bench(requests=5)

    async def story() -> None:
        active = bench.route(Shadow(hanging(released)))
        started = time.monotonic()
        await bench.offer(active, count=1000)
        assert time.monotonic() - started < 5
        assert bench.mirror.waiting_requests == 5
        released.set()
        await bench.settled(5)

    asyncio.run(story())
    assert bench.count("shadow_dropped", model=MODEL, version="2") == 995
    assert bench.mirror.waiting_requests == 0


def test_large_copies_count_by_their_rows() -> None:
    bench = Bench(rows=3)

    async def story() -> None:
        columns = {name: [value] * 4 for name, value in ROW.items()}
        batch = RequestContract(SPEC).check(columns, 4, ())
        call = Call(columns=columns, rows=4, key="k", decision_ids=list("abcd"), source=None)
        bench.mirror.offer(bench.route(Shadow()), call, batch, Answer(np.zeros(4), [0] * 4))

    asyncio.run(story())
    assert bench.count("shadow_dropped", model=MODEL, version="2") == 1


def test_an_answer_that_comes_too_late_is_a_failure() -> None:
    bench = Bench(seconds=0.0)

    async def story() -> None:
        await bench.offer(bench.route(Shadow()))
        await bench.settled(1)

    asyncio.run(story())
    assert (bench.rows[0].error, bench.rows[0].scores) == ("timeout", None)


def test_a_shadow_that_never_answers_is_left_behind_and_the_next_one_is_asked(released: threading.Event) -> None:
    bench, stuck, next_one = Bench(seconds=0.01, stuck=0.05, requests=3), Shadow(hanging(released)), Shadow(number=3)

    async def story() -> None:
        first = bench.route(stuck)
        await bench.offer(first, count=3)
        await asyncio.sleep(0.1)
        await bench.offer(first)
        assert bench.rows[0].error == "timeout", "it is known to be late before it answers, if it ever does"
        assert [trip[:3] for trip in bench.trips] == [(MODEL, 2, 5)]
        bench.mirror._limits = MirrorLimits()
        await bench.offer(bench.route(next_one, epoch=6))
        await bench.settled(2)
        assert bench.rows[-1].version == 3
        assert stuck.in_flight == 1, "its thread still holds it: it may not be unloaded"
        released.set()
        while stuck.in_flight:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(story(), 20))
    assert [row.error for row in bench.rows if row.version == 2] == ["timeout"], "no copy is counted twice"


def test_mirroring_ends_when_too_many_threads_were_lost(released: threading.Event) -> None:
    bench = Bench(seconds=0.0, stuck=0.01, workers=2)

    async def story() -> None:
        for epoch in range(4):
            active = bench.route(Shadow(hanging(released)), epoch)
            await bench.offer(active)
            await asyncio.sleep(0.05)

    before = threading.active_count()
    asyncio.run(story())
    assert threading.active_count() - before <= 2
    assert bench.count("shadow_dropped", model=MODEL, version="2") == 2


def test_a_request_that_the_shadow_may_not_be_asked_is_one_it_cannot_answer() -> None:
    """Its own spec has fewer levels or more features: as the champion it would refuse what is answered today."""
    strict = make_spec(features={**SPEC.model_dump(mode="json")["data"]["features"], "weight": {"type": "number"}})
    bench, shadow = Bench(), Shadow(spec=strict)

    async def story() -> None:
        await bench.offer(bench.route(shadow))
        await bench.settled(1)

    asyncio.run(story())
    assert bench.rows[0].error == "refused"
    assert not shadow.asked


def test_a_busy_shadow_rests_for_as_long_as_its_share_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one processor it may have a quarter: three times as much rest as work."""
    rests: list[float] = []
    bench = Bench(share=0.25)
    worked: list[float] = []

    def works(batch: Any) -> Answer:
        started = time.thread_time()
        while time.thread_time() - started < 0.02:
            pass
        worked.append(time.thread_time() - started)
        return YES

    sleep = time.sleep

    def rest(seconds: float) -> None:
        """Others in this process sleep by the same function."""
        rests.append(seconds) if threading.current_thread().name == "shadow" else sleep(seconds)

    monkeypatch.setattr("steward.serving.answers.mirroring.time.sleep", rest)

    async def story() -> None:
        active = bench.route(Shadow(works))
        for asked in range(1, 6):
            await bench.offer(active)
            await bench.settled(asked)

    asyncio.run(story())
    assert len(worked) == 5
    for rested, busy in zip(rests, worked, strict=False):
        assert rested == pytest.approx(3 * busy, rel=0.5)


def test_copies_that_wait_are_asked_in_one_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    sleep = time.sleep

    def rest(seconds: float) -> None:
        if threading.current_thread().name == "shadow":
            rests.append(seconds)
        sleep(seconds)

    monkeypatch.setattr("steward.serving.answers.mirroring.time.sleep", rest)
    bench = Bench()

    async def story() -> None:
        await bench.offer(bench.route(Shadow()), count=100)
        await bench.settled(100)

    asyncio.run(story())
    assert len(rests) < 30
    assert [row.decision_ids for row in bench.rows] == [[f"0-{i}"] for i in range(100)]


def test_stopping_ends_the_thread() -> None:
    bench = Bench()

    async def story() -> None:
        await bench.offer(bench.route(Shadow()))
        await bench.settled(1)

    before = threading.active_count()
    asyncio.run(story())
    bench.mirror.stop()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
