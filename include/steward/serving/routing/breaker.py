"""Takes a failing version off traffic without asking anybody.

It watches the version on trial of one route at one epoch: a canary, or a shadow. It stays tripped until a newer epoch
makes a new one; nothing closes it again by itself, because a version that failed its users is not tried out on more.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta

WINDOW = 20
ERRORS_TO_TRIP = 5
# A version that never answered well is known by its first requests: at 2 requests a second there are no twenty.
FIRST_ERRORS_TO_TRIP = 3
# Twice the guardrail is far beyond it: a p99 at the guardrail leaves one answer in a hundred slower than it at most.
TOO_SLOW = 2.0
# One pause of the process makes twenty requests slow at once; a slow version is slow all the time.
SLOW_FOR_SECONDS = 3.0


class CanaryBreaker:
    """Trips at ERRORS_TO_TRIP errors among the last WINDOW requests, at FIRST_ERRORS_TO_TRIP when nothing else came,
    and when as many among them took longer than TOO_SLOW times the latency guardrail for SLOW_FOR_SECONDS.

    `slowest` is the guardrail; None judges no latency. `clock` is monotonic.
    """

    def __init__(self, slowest: timedelta | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._failed: deque[bool] = deque(maxlen=WINDOW)
        self._slow: deque[bool] = deque(maxlen=WINDOW)
        self._limit = slowest.total_seconds() * TOO_SLOW if slowest else float("inf")
        self._slow_since: float | None = None
        self._clock = clock
        self._reason = ""
        self.tripped = False

    def record(self, failed: bool, seconds: float = 0.0) -> bool:
        """One request it was asked, and how long that took. True when this is the one that trips it."""
        self._failed.append(failed)
        self._slow.append(not failed and seconds > self._limit)
        if self.tripped or not (self._fails() or self._lags()):
            return False
        return self.trip(self._failures() if self._fails() else self._slowness())

    def trip(self, reason: str) -> bool:
        """Off traffic, whatever was seen here: another server saw it, or this one before it was restarted."""
        if self.tripped:
            return False
        self.tripped, self._reason = True, reason
        return True

    @property
    def reason(self) -> str:
        return self._reason or self._failures()

    def _fails(self) -> bool:
        errors = sum(self._failed)
        return errors >= ERRORS_TO_TRIP or (errors >= FIRST_ERRORS_TO_TRIP and errors == len(self._failed))

    def _lags(self) -> bool:
        if sum(self._slow) < ERRORS_TO_TRIP:
            self._slow_since = None
            return False
        if self._slow_since is None:
            self._slow_since = self._clock()
        return self._clock() - self._slow_since >= SLOW_FOR_SECONDS

    def _failures(self) -> str:
        return f"{sum(self._failed)} errors among its last {len(self._failed)} requests"

    def _slowness(self) -> str:
        slow, seen = sum(self._slow), len(self._slow)
        return f"{slow} of its last {seen} requests took longer than {self._limit:g} s, for {SLOW_FOR_SECONDS:g} s"
