"""Several processes behind one address: started, started again when they die, and ended together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from types import FrameType

from steward.serving.process.listening import Listener

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
# A worker that lived this long did not die of how it was started.
_SETTLED_SECONDS = 60.0
LIFELINE_VARIABLE = "STEWARD_SERVER_LIFELINE"
SOCKET_VARIABLE = "STEWARD_SERVER_SOCKET"


@dataclass
class _Place:
    """One worker's place: who has it, and when the next one may have it."""

    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    again_at: float = 0.0
    pause: float = field(default=_FIRST_PAUSE)


class Supervisor:
    """Workers are new processes (never forks of one with threads) that inherit the listening socket: a connection one
    of them did not accept waits for the next. They end by themselves when the supervisor is gone."""

    def __init__(self, command: list[str], listener: Listener, workers: int) -> None:
        self._command, self._listener = command, listener
        self._places = [_Place() for _ in range(workers)]
        self._lifeline, self._held = os.pipe()
        self._signal: int | None = None
        self._told_once: set[int] = set()

    def run(self) -> int:
        """Until SIGTERM or SIGINT and the end of every worker; the exit code is 0 when all ended well."""
        before = {each: signal.signal(each, self._told) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            while self._signal is None:
                for number, place in enumerate(self._places):
                    self._look_after(number, place)
                time.sleep(_LOOK_SECONDS)
            return self._wait_for_all()
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _look_after(self, number: int, place: _Place) -> None:
        now = time.monotonic()
        if place.process is not None and place.process.poll() is not None:
            if now - place.started_at > _SETTLED_SECONDS:
                place.pause = _FIRST_PAUSE
            log.error("worker %d ended with %d; again in %g s", number, place.process.returncode, place.pause)
            place.process, place.again_at = None, now + place.pause
            place.pause = min(place.pause * 2, _LONGEST_PAUSE)
        if place.process is None and now >= place.again_at:
            place.process, place.started_at = self._start(), now

    def _start(self) -> subprocess.Popen[bytes]:
        handles = (self._listener.socket.fileno(), self._lifeline)
        environment = {**os.environ, SOCKET_VARIABLE: str(handles[0]), LIFELINE_VARIABLE: str(handles[1])}
        # In a group of its own: a Ctrl+C reaches the supervisor alone, which passes it on once.
        return subprocess.Popen(self._command, env=environment, pass_fds=handles, process_group=0)

    def _told(self, signum: int, frame: FrameType | None) -> None:
        """Passed on each time: a worker takes the second one for the end at once."""
        self._signal = signum
        self._tell(self._alive())

    def _tell(self, processes: list[subprocess.Popen[bytes]]) -> None:
        for process in processes:
            self._told_once.add(process.pid)
            process.send_signal(signal.SIGTERM)

    def _alive(self) -> list[subprocess.Popen[bytes]]:
        return [place.process for place in self._places if place.process and place.process.poll() is None]

    def _wait_for_all(self) -> int:
        # Nobody shall wait in the queue of a socket that no worker accepts from any more.
        self._listener.close()
        # One that was being started when the signal came has not heard of it.
        self._tell([process for process in self._alive() if process.pid not in self._told_once])
        while self._alive():
            time.sleep(_LOOK_SECONDS)
        codes = {place.process.returncode for place in self._places if place.process}
        return 0 if codes <= {0, -signal.SIGTERM} else 1  # the latter: one that had not begun to answer


def end_with(lifeline: int) -> None:
    """In a worker: drain when the supervisor is gone, however it went. `lifeline` is the pipe it holds open."""

    def watch() -> None:
        os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def main_command(host: str, port: int) -> list[str]:
    return [sys.executable, "-m", "steward.serving", "--host", host, "--port", str(port), "--worker"]
