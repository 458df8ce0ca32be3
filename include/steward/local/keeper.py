"""Runs one program and starts it again when it ends unasked or hangs; the smallest supervisor there is.

Airflow's processes end when their database goes away for a moment, and count on somebody to start them again;
now and then the scheduler hangs in that end, waiting for a worker that is gone. This file is run by its path
with a bare interpreter (`python -S -E keeper.py READY_FILE HEALTH_URL COMPONENT PROGRAM …`), so it imports
nothing of Steward and stays small. HEALTH_URL is empty when nobody can tell whether the program hangs.

Until READY_FILE exists the first start has not succeeded; then the program's end is the keeper's end, so that
whoever waits for the start sees it fail.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from types import FrameType
from urllib.request import ProxyHandler, build_opener

TURN_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0
# A program that ran this long was well: its next end starts with the short pause again.
WELL_AFTER_SECONDS = 60.0
LOOK_EVERY_SECONDS = 5.0
# Airflow calls a component unhealthy 30 s after its last heartbeat; a slow start must not count as a hang.
HUNG_AFTER_SECONDS = 30.0


class Watch:
    """Looks at Airflow's health page now and then, and says when a component has been dead for too long.

    A page that does not answer, or a database that is away, says nothing about the component.
    """

    def __init__(self, url: str, component: str) -> None:
        self._url, self._component = url, component
        self._opener = build_opener(ProxyHandler({}))
        self.reset()

    def reset(self) -> None:
        self._looked_at = time.monotonic()
        self._well_at = time.monotonic()

    def sees_hang(self) -> bool:
        now = time.monotonic()
        if not self._url or now - self._looked_at < LOOK_EVERY_SECONDS:
            return False
        self._looked_at = now
        if not self._is_dead():
            self._well_at = now
        return now - self._well_at > HUNG_AFTER_SECONDS

    def _is_dead(self) -> bool:
        try:
            with self._opener.open(self._url, timeout=5) as answer:
                page = json.load(answer)
        except (OSError, ValueError):
            return False
        reachable = page["metadatabase"]["status"] == "healthy"
        return bool(reachable and page[self._component]["status"] != "healthy")


class Keeper:
    def __init__(self, ready_file: str, watch: Watch, argv: list[str]) -> None:
        self._ready_file = ready_file
        self._watch = watch
        self._argv = argv
        self._child: subprocess.Popen[bytes] | None = None
        self._asked_to_end = False

    def run(self) -> int:
        """The exit status of the program's last run."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            status = self._run_once()
            if self._asked_to_end or not self._was_ready():
                return status
            pause = FIRST_PAUSE_SECONDS if time.monotonic() - began > WELL_AFTER_SECONDS else pause
            print(f"keeper: ended with status {status}; starting again in {pause:.0f} s", flush=True)
            self._sleep(pause)
            if self._asked_to_end:
                return status
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _run_once(self) -> int:
        self._watch.reset()
        self._child = subprocess.Popen(self._argv)
        if self._asked_to_end:
            # Asked between the last look and the start: the handler had no child to pass the signal to.
            self._child.terminate()
        while (status := self._child.poll()) is None:
            time.sleep(TURN_SECONDS)
            if self._was_ready() and not self._asked_to_end and self._watch.sees_hang():
                print("keeper: no heartbeat although the database answers; killing it", flush=True)
                # Only itself: tasks that still run may finish.
                self._child.kill()
        return status

    def _was_ready(self) -> bool:
        return os.path.exists(self._ready_file)

    def _sleep(self, seconds: float) -> None:
        """In short turns: Python resumes an interrupted sleep."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._asked_to_end:
            time.sleep(TURN_SECONDS)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self._asked_to_end = True
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)


def main(argv: list[str]) -> int:
    ready_file, url, component, *program = argv
    status = Keeper(ready_file, Watch(url, component), program).run()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
