"""Takes a failing canary off traffic without asking anybody."""

from __future__ import annotations

from collections import deque

WINDOW = 20
ERRORS_TO_TRIP = 5


class CanaryBreaker:
    """Trips at ERRORS_TO_TRIP errors among the last WINDOW canary requests, until a newer epoch makes a new one."""

    def __init__(self) -> None:
        self._failed: deque[bool] = deque(maxlen=WINDOW)
        self.tripped = False

    def record(self, failed: bool) -> bool:
        """True when this request is the one that trips it."""
        self._failed.append(failed)
        if self.tripped or sum(self._failed) < ERRORS_TO_TRIP:
            return False
        self.tripped = True
        return True

    @property
    def reason(self) -> str:
        return f"{sum(self._failed)} errors among its last {len(self._failed)} requests"
