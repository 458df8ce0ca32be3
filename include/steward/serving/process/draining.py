"""How a server ends: it says so, answers what it has, stores the log, and is gone."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

log = logging.getLogger(__name__)


class Drain:
    """Begun by the first SIGTERM or SIGINT. For `notice` seconds readiness says 503 while everything is answered, each
    answer the last on its connection: who balances the load has time to look, and no idle connection is cut."""

    def __init__(self, notice: float = 1.0, told: Callable[[], object] = lambda: None) -> None:
        self.notice = notice
        self._told = told
        self.begun_at: float | None = None

    @property
    def begun(self) -> bool:
        return self.begun_at is not None

    @property
    def over(self) -> bool:
        return self.begun_at is not None and time.monotonic() - self.begun_at >= self.notice

    def begin(self) -> None:
        self.begun_at = time.monotonic()
        self._told()


class DrainingServer(uvicorn.Server):
    """Exit code 0 after a drain. A second signal ends the process at once: the next one counts what it lost."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._drain.begun:
            os._exit(128 + sig)
        self._drain.begin()

    async def on_tick(self, counter: int) -> bool:
        self.should_exit = self.should_exit or self._drain.over
        return await super().on_tick(counter)
