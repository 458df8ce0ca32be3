"""The rebooking desk: real requests to the real server, counted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from steward.clock import ReplayClock
from steward.demo.flights import DAY, FlightStream, Question
from steward.errors import UnavailableError
from steward.types import JsonObject

LANES = 4


@dataclass
class Tally:
    """What came back: answers by (version, role), failed requests with the first few reasons."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: int = 0
    reasons: list[str] = field(default_factory=list)
    last_canary_at: float = 0.0
    first_canary_at: float = 0.0

    @property
    def requests(self) -> int:
        return sum(self.answers.values()) + self.failed


class Desk:
    """Asks about flights and reports outcomes; moves the calendar along with the flights it asks about."""

    def __init__(self, url: str, stream: FlightStream, clock: ReplayClock) -> None:
        self.url, self.stream, self.clock = f"{url}/v2/models/{stream.spec.model}", stream, clock
        self.next_day = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        self.tally = Tally()
        self._lock = threading.Lock()
        self._http = httpx.Client(timeout=20, limits=httpx.Limits(max_connections=LANES + 1))
        self._queue: list[Question] = []

    def replay_day(self) -> None:
        """Ask about the rest of the day in hourly lists, then let the calendar reach the next morning."""
        rest = self._queue or self.stream.hourly(self.next_day)
        self._queue = []
        self._ask_all(rest)
        self.end_day()

    def skip_to(self, day: datetime) -> None:
        """Days on which nobody asks."""
        self.clock.set(day)
        self.next_day, self._queue = day, []

    def end_day(self) -> None:
        """Two in the morning: the outcomes of the day before yesterday's flights are in."""
        self.clock.set(self.next_day + DAY + DAY / 12)
        self.report(self.next_day - DAY)
        self.next_day += DAY

    def report(self, day: datetime) -> None:
        outcomes = self.stream.outcomes(day)
        for start in range(0, len(outcomes), 500):
            body = {"outcomes": outcomes[start : start + 500]}
            response = self._http.post(f"{self.url}/outcomes", json=body)
            if response.status_code >= 300:
                raise UnavailableError(f"outcomes were refused: {response.text[:300]}", where=self.url)

    def stream_until(self, done: Callable[[], bool], rate: float) -> None:
        """Ask flight by flight at about `rate` requests a second until `done()`; days go by if it takes long."""
        with ThreadPoolExecutor(LANES) as lanes:
            while not done():
                started = time.monotonic()
                batch = self._take(max(1, int(rate / 4)))
                list(lanes.map(self._ask, batch))
                time.sleep(max(0.0, len(batch) / rate - (time.monotonic() - started)))

    def _take(self, count: int) -> list[Question]:
        if not self._queue:
            self._queue = self.stream.singly(self.next_day)
        taken, self._queue = self._queue[:count], self._queue[count:]
        self.clock.set(max(self.clock.now(), taken[-1].at))
        if not self._queue:
            self.end_day()
        return taken

    def _ask_all(self, questions: Iterable[Question]) -> None:
        with ThreadPoolExecutor(LANES) as lanes:
            list(lanes.map(self._ask, questions))

    def _ask(self, question: Question) -> None:
        try:
            response = self._http.post(
                f"{self.url}/infer", json=question.to_request(self.stream.spec, "rebooking-desk")
            )
            problem = None if response.status_code == 200 else f"{response.status_code}: {response.text[:200]}"
        except httpx.HTTPError as error:
            response, problem = None, f"{type(error).__name__}: {error}"
        with self._lock:
            if response is None or problem:
                self.tally.failed += 1
                self.tally.reasons = [*self.tally.reasons, str(problem)][:5]
            else:
                self._count(response.json())

    def _count(self, answer: JsonObject) -> None:
        role = answer["parameters"]["role"]
        self.tally.answers[(str(answer["model_version"]), role)] += 1
        if role == "canary":
            now = time.monotonic()
            self.tally.first_canary_at = self.tally.first_canary_at or now
            self.tally.last_canary_at = now
