"""What the person at the terminal sees while the story is told."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.status import Status


@dataclass
class Narrator:
    """Prints chapters and facts with the seconds since the start; a spinner says what is being waited for."""

    console: Console = field(
        default_factory=lambda: Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    )
    started: float = field(default_factory=time.monotonic)
    facts: list[tuple[str, str]] = field(default_factory=list)
    _status: Status | None = None
    _chapter: str = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def chapter(self, title: str) -> None:
        self._chapter = title
        self.console.print(f"\n[bold]{self._clock()}  {title}[/bold]")

    def say(self, text: str) -> None:
        """A fact of the story; kept for the report."""
        self.facts.append((self._chapter, text))
        self.console.print(f"{self._clock()}    {text}", markup=False)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """A live line on a terminal; one plain line elsewhere."""
        if not self.console.is_terminal:
            self.console.print(f"{self._clock()}    … {what}", markup=False)
            yield
            return
        with self.console.status(what) as self._status:
            yield
        self._status = None

    def update(self, text: str) -> None:
        if self._status is not None:
            self._status.update(text)

    def _clock(self) -> str:
        minutes, seconds = divmod(int(self.seconds), 60)
        return f"{minutes:02d}:{seconds:02d}"
