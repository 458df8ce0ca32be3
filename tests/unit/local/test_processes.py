from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from steward.local import processes
from steward.local.processes import MARKER, living, read_record, spawn, write_record

Start = Callable[..., psutil.Popen]
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `python -c code`; whatever is left at the end is killed."""
    started: list[psutil.Popen] = []

    def run(code: str = "import time; time.sleep(60)", **env: str) -> psutil.Popen:
        log = tmp_path / "log"
        started.append(spawn([sys.executable, "-c", code], env={**os.environ, **env}, cwd=tmp_path, log=log))
        return started[-1]

    yield run
    processes.kill(started)


def wait_for(text: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while text not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < deadline, f"{text!r} never came"
        time.sleep(0.05)


def test_a_recorded_process_is_known_again(start: Start, tmp_path: Path) -> None:
    process = start()
    write_record(tmp_path / "pid", process, "1.0")
    record = read_record(tmp_path / "pid")
    assert record is not None
    assert record.version == "1.0"
    assert living(record) == process


def test_a_stranger_with_the_same_pid_is_not_the_recorded_process(start: Start, tmp_path: Path) -> None:
    write_record(tmp_path / "pid", start(), "1.0")
    record = read_record(tmp_path / "pid")
    assert record is not None
    assert living(replace(record, created_at=record.created_at - 60)) is None


def test_an_ended_process_is_not_living_even_as_a_zombie(start: Start, tmp_path: Path) -> None:
    process = start()
    write_record(tmp_path / "pid", process, "1.0")
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
    assert living(read_record(tmp_path / "pid")) is None


@pytest.mark.parametrize("text", ["{}", '{"pid": "x", "created_at": 1, "version": "1"}'])
def test_a_record_that_names_no_process_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_text(text)
    assert read_record(tmp_path / "pid") is None


def test_a_process_has_a_session_of_its_own(start: Start) -> None:
    assert os.getsid(start().pid) != os.getsid(0)


def test_a_willing_process_ends_gently(start: Start) -> None:
    process = start()
    assert processes.end(process, how=signal.SIGTERM, patience=timedelta(seconds=10))
    assert not processes.is_alive(process)


def test_a_deaf_process_is_killed_after_the_patience(start: Start, tmp_path: Path) -> None:
    process = start(DEAF)
    wait_for("ready", tmp_path / "log")
    assert not processes.end(process, how=signal.SIGTERM, patience=timedelta(seconds=0.3))
    assert not processes.is_alive(process)


def test_descendants_end_with_their_process(start: Start, tmp_path: Path) -> None:
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {DEAF!r}]).wait()"
    process = start(code)
    wait_for("ready", tmp_path / "log")
    members = processes.family(process)
    assert len(members) == 2
    processes.end(process, how=signal.SIGTERM, patience=timedelta(seconds=0.3))
    assert not any(processes.is_alive(member) for member in members)


def test_marked_processes_are_found_wherever_their_parent_went(start: Start, tmp_path: Path) -> None:
    mark = str(tmp_path)
    orphan = "import subprocess, sys; subprocess.Popen(['sleep', '60'], start_new_session=True)"
    start(orphan, **{MARKER: mark}).wait(20)
    found = processes.marked(mark)
    assert [process.name() for process in found] == ["sleep"]
    processes.kill(found)
    assert processes.marked(mark) == []


def test_a_session_is_known_after_its_leader_and_its_mark_are_gone(start: Start) -> None:
    leader = start("import subprocess; subprocess.Popen(['sleep', '60'], env={})")
    leader.wait(20)
    left = processes.in_session(leader.pid)
    assert [process.name() for process in left] == ["sleep"]
    processes.kill(left)
    assert processes.in_session(leader.pid) == []


def test_ending_a_process_that_has_ended_is_no_fault() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(child.pid)
    child.wait()
    assert processes.end(process, how=signal.SIGTERM, patience=timedelta(seconds=1))


def test_memory_counts_the_family(start: Start) -> None:
    child = start()
    deadline = time.monotonic() + 10  # it is small until the interpreter has been mapped
    while processes.memory_bytes(child) <= 1_000_000:
        assert time.monotonic() < deadline
        time.sleep(0.05)
