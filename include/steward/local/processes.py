"""Starting and ending processes that outlive their starter, and knowing them again later.

A pid alone proves nothing: it is reused. A record therefore keeps the instant the process was created, and a
pid file whose process was created at another instant is stale.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import psutil

from steward.local.home import read_json, write_private

MARKER = "STEWARD_STACK"
TERMINATE = signal.SIGTERM
# The boot instant, which process times are counted from, moves a little when the clock is adjusted.
CREATED_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True)
class PidRecord:
    """A process as it was when it started. `created_at` is in seconds since the epoch, as the system counts
    them.
    """

    pid: int
    created_at: float
    version: str


def write_record(path: Path, process: psutil.Process, version: str) -> None:
    record = PidRecord(pid=process.pid, created_at=process.create_time(), version=version)
    write_private(path, json.dumps(asdict(record)) + "\n")


def read_record(path: Path) -> PidRecord | None:
    if not path.exists():
        return None
    found = read_json(path)
    try:
        return PidRecord(int(found["pid"]), float(found["created_at"]), str(found["version"]))
    except (KeyError, TypeError, ValueError):
        # A record that does not name a process names none; the file is replaced on the next start.
        return None


def living(record: PidRecord | None) -> psutil.Process | None:
    """The recorded process if it still runs; None for a dead one and for a stranger who has its pid now."""
    if record is None:
        return None
    try:
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.created_at) <= CREATED_TOLERANCE_SECONDS
        return process if same and is_alive(process) else None
    except psutil.NoSuchProcess:
        return None


def is_alive(process: psutil.Process) -> bool:
    """A zombie has ended; it only waits for its parent to notice."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def spawn(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> psutil.Popen:
    """Start a process in a session of its own, so that no terminal's Ctrl-C or hang-up reaches it."""
    with log.open("ab") as stream:
        return psutil.Popen(
            list(argv),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(process: psutil.Process, *, how: signal.Signals, patience: timedelta) -> bool:
    """Ask the process to end; after `patience` kill it and whatever it had started that is still there.

    True when nothing had to be killed.
    """
    members = family(process)
    _send(process, how)
    _, stubborn = psutil.wait_procs(members, timeout=patience.total_seconds())
    kill(stubborn)
    return not stubborn


def kill(members: Iterable[psutil.Process]) -> None:
    """SIGKILL those still running, with their descendants, and wait until they are gone."""
    victims = {member for parent in members if is_alive(parent) for member in family(parent)}
    for victim in victims:
        _send(victim, signal.SIGKILL)
    psutil.wait_procs(list(victims), timeout=10)


def in_session(leader: int) -> list[psutil.Process]:
    """What still runs of the session that process `leader` began, whether the leader is there or not.

    Airflow's workers write their title over their environment, and the stack's mark with it: after their scheduler
    was killed, the session is all that tells whose they were.
    """
    return [process for process in psutil.process_iter() if _session_of(process) == leader and is_alive(process)]


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def marked(mark: str) -> list[psutil.Process]:
    """Every process that inherited the stack's mark (the path of its folder), wherever its parent went."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _mark_of(process) == mark and is_alive(process)
    ]


def memory_bytes(process: psutil.Process) -> int:
    """Proportional share (PSS) of a process and its descendants; resident size where there is no PSS."""
    total = 0
    for member in family(process):
        try:
            usage = member.memory_full_info()
        except psutil.Error:
            continue
        total += getattr(usage, "pss", 0) or usage.rss
    return total


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARKER)
    except (psutil.Error, OSError):
        # Another user's process, or one that has just ended: neither is ours.
        return None


def _send(process: psutil.Process, how: signal.Signals) -> bool:
    try:
        process.send_signal(how)
    except psutil.NoSuchProcess:
        return False
    return True
