"""What time it is. Business time may be replayed; durations are always taken from the wall clock.

Every record carries `at` (business time: the calendar the models live in) and, where a duration matters, a wall-clock
instant beside it. Outside a replay the two agree.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from steward.errors import UnavailableError
from steward.types import parse_instant


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class ReplayClock:
    """A calendar kept in a file, so that every process of a replay agrees on the date.

    The file holds one ISO instant. Raises UnavailableError when it is missing or half-written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def now(self) -> datetime:
        try:
            return parse_instant(self.path.read_text().strip())
        except (OSError, ValueError) as error:
            raise UnavailableError(
                f"the replayed calendar cannot be read: {error}",
                where=str(self.path),
                hint="write one ISO instant into it, or unset STEWARD_CLOCK_FILE to use the system clock",
            ) from error

    def set(self, instant: datetime) -> None:
        """Replace the file in one step: readers see the old instant or the new one, never half of it."""
        partial = self.path.with_suffix(".partial")
        partial.write_text(instant.isoformat())
        partial.replace(self.path)
