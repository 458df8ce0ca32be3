"""One long-running process of the stack, and one program that runs to its end before others may start."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from threading import Event

import psutil

from steward import __version__
from steward.errors import StewardError
from steward.local import keeper, processes
from steward.local.errors import OtherVersionError, ServiceError
from steward.local.health import Check
from steward.local.home import Home

POLL_SECONDS = 0.25


class State(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    HEALTHY = "healthy"
    REUSED = "already running"
    DONE = "done"
    CURRENT = "nothing to do"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True)
class StackEvent:
    """What the caller of `up` and `stop` is told. `elapsed` counts from that call."""

    service: str
    state: State
    elapsed: timedelta
    detail: str = ""


Progress = Callable[[StackEvent], None]
# Tells a new state of one service, and a detail.
Tell = Callable[[State, str], None]


class AbandonedError(StewardError):
    """Another service failed, or the user gave up; never shown."""


def nothing() -> None:
    """The default hook."""


@dataclass(frozen=True)
class ServiceSpec:
    """How to start a service, when it is ready, how it ends.

    A `kept` one is started again when it ends unasked; `watch` (a health page and the component on it) tells
    when it hangs. `before` runs ahead of each start, `after` once it is
    ready; `adopt` finds a process that runs although its pid file is lost.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    check: Check
    needs: tuple[str, ...] = ()
    url: str | None = None
    start_within: timedelta = timedelta(seconds=180)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: timedelta = timedelta(seconds=20)
    kept: bool = True
    watch: tuple[str, str] = ("", "")
    before: Callable[[], None] = nothing
    after: Callable[[], None] = nothing
    adopt: Callable[[], psutil.Process | None] = field(default=lambda: None)


class Service:
    """A service and its pid file: the file is written at the start and removed when the process has ended."""

    def __init__(self, spec: ServiceSpec, home: Home) -> None:
        self.spec = spec
        self.name, self.needs = spec.name, spec.needs
        self.log = home.log(spec.name)
        self._pid_file = home.pid_file(spec.name)
        self._ready_file = home.ready_file(spec.name)
        # Kept so that the process, when it is our child, is reaped by whoever waits for it.
        self._child: psutil.Popen | None = None

    def process(self) -> psutil.Process | None:
        return processes.living(processes.read_record(self._pid_file))

    def version(self) -> str | None:
        """The version of Steward that started the running process."""
        record = processes.read_record(self._pid_file)
        return record.version if record and processes.living(record) else None

    def trouble(self) -> str | None:
        """Why it is not ready; None when it is."""
        process = self.process()
        if process is None:
            return "not running"
        return self.spec.check(datetime.fromtimestamp(process.create_time(), UTC))

    def bring_up(self, abandoned: Event, tell: Tell) -> None:
        """Start it, or find it running, and wait until it is ready. Raises ServiceError, AbandonedError."""
        process = self.process() or self._adopted()
        if process is None:
            tell(State.STARTING, "")
            self._start()
        self._await_ready(abandoned)
        self.spec.after()
        self._ready_file.touch()
        tell(State.HEALTHY if process is None else State.REUSED, self.spec.url or "")

    def take_down(self, *, kill: bool = False) -> bool:
        """End it, gently unless told otherwise. False when a gentle end did not work and it was killed."""
        self._ready_file.unlink(missing_ok=True)
        process = self.process() or self.spec.adopt()
        clean = True
        if process is not None and kill:
            processes.kill([process])
        elif process is not None:
            clean = processes.end(process, how=self.spec.stop_signal, patience=self.spec.stop_within)
        if process is not None:
            processes.kill(processes.in_session(process.pid))
        self._pid_file.unlink(missing_ok=True)
        return clean

    def _start(self) -> None:
        self._ready_file.unlink(missing_ok=True)
        self.spec.before()
        self._child = processes.spawn(self._argv(), env=self.spec.env, cwd=self.spec.cwd, log=self.log)
        processes.write_record(self._pid_file, self._child, __version__)

    def _argv(self) -> tuple[str, ...]:
        if not self.spec.kept:
            return self.spec.argv
        return (sys.executable, "-S", "-E", keeper.__file__, str(self._ready_file), *self.spec.watch, *self.spec.argv)

    def _adopted(self) -> psutil.Process | None:
        process = self.spec.adopt()
        if process is not None:
            processes.write_record(self._pid_file, process, __version__)
        return process

    def _await_ready(self, abandoned: Event) -> None:
        deadline = time.monotonic() + self.spec.start_within.total_seconds()
        while (trouble := self.trouble()) is not None:
            if self.process() is None:
                raise ServiceError.of(self.name, f"ended while starting{self._exit_status()}", self.log)
            if time.monotonic() > deadline:
                seconds = f"{self.spec.start_within.total_seconds():.0f} s"
                raise ServiceError.of(self.name, f"not ready after {seconds}: {trouble}", self.log)
            if abandoned.wait(POLL_SECONDS):
                raise AbandonedError(f"{self.name} was not waited for")

    def _exit_status(self) -> str:
        status = self._child.poll() if self._child else None
        return "" if status is None else f" (exit status {status})"

    def refuse_other_version(self) -> None:
        """Raises OtherVersionError while it runs and another version of Steward started it."""
        version = self.version()
        if version is not None and version != __version__:
            raise OtherVersionError(
                f"started by Steward {version} and still running; this is Steward {__version__}",
                where=self.name,
                hint="run `python -m steward.local stop`, then `up`: the data stays, its schema is migrated",
            )


@dataclass(frozen=True)
class MigrationSpec:
    """A program that must have ended well once per release; `is_current` and `record` remember it."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    is_current: Callable[[], bool]
    record: Callable[[], None]
    needs: tuple[str, ...] = ()
    within: timedelta = timedelta(seconds=300)


class Migration:
    """A step of `up` that leaves no process behind."""

    def __init__(self, spec: MigrationSpec, home: Home) -> None:
        self.spec = spec
        self.name, self.needs = spec.name, spec.needs
        self.log = home.log(spec.name)

    def bring_up(self, abandoned: Event, tell: Tell) -> None:
        if self.spec.is_current():
            tell(State.CURRENT, "")
            return
        tell(State.STARTING, "")
        self._run(abandoned)
        self.spec.record()
        tell(State.DONE, "")

    def _run(self, abandoned: Event) -> None:
        child = processes.spawn(self.spec.argv, env=self.spec.env, cwd=self.spec.cwd, log=self.log)
        deadline = time.monotonic() + self.spec.within.total_seconds()
        try:
            while (status := child.poll()) is None:
                if time.monotonic() > deadline:
                    raise ServiceError.of(self.name, f"not done after {self.spec.within}", self.log)
                if abandoned.wait(POLL_SECONDS):
                    raise AbandonedError(f"{self.name} was not waited for")
        finally:
            processes.kill([child])
        if status != 0:
            raise ServiceError.of(self.name, f"failed with exit status {status}", self.log)
