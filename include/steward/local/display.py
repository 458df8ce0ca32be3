"""What `up` and `stop` show: a live table on a terminal, one plain line per change elsewhere."""

from __future__ import annotations

import time
from threading import Lock
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from steward.local.service import StackEvent, State

STYLES = {
    State.WAITING: "dim",
    State.STARTING: "yellow",
    State.FAILED: "bold red",
    State.STOPPING: "yellow",
    State.STOPPED: "dim",
}
UNFINISHED = (State.STARTING, State.STOPPING)


class Display:
    """A progress listener. Services report from their own threads."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._events: dict[str, tuple[StackEvent, float]] = {}
        self._lock = Lock()
        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=4)

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, event: StackEvent) -> None:
        with self._lock:
            self._events[event.service] = (event, time.monotonic())
        if not self._console.is_terminal and event.state is not State.WAITING:
            self._console.print(plain_line(event), soft_wrap=True, markup=False, highlight=False)

    def _table(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        with self._lock:
            events = list(self._events.values())
        for event, heard_at in events:
            seconds = event.elapsed.total_seconds()
            if event.state in UNFINISHED:
                seconds += time.monotonic() - heard_at
            shown = "" if event.state is State.WAITING else f"{seconds:5.1f} s"
            state = Text(event.state, style=STYLES.get(event.state, "green"))
            table.add_row(event.service, state, shown, Text(event.detail, style="dim"))
        return table


def plain_line(event: StackEvent) -> str:
    """`  12.3 s  scheduler        healthy  http://…`."""
    return f"{event.elapsed.total_seconds():6.1f} s  {event.service:<15} {event.state}  {event.detail}".rstrip()
