from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from steward.local import keeper
from steward.local.keeper import Watch

Keep = Callable[[str], "subprocess.Popen[bytes]"]
DEADLINE_SECONDS = 20


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Keep]:
    kept: list[subprocess.Popen[bytes]] = []

    def run(code: str) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-c", code]
        bare = [sys.executable, "-S", "-E", keeper.__file__, str(tmp_path / "ready"), "", ""]
        with (tmp_path / "log").open("wb") as log:
            kept.append(subprocess.Popen([*bare, *program], cwd=tmp_path, stdout=log, start_new_session=True))
        return kept[-1]

    yield run
    for process in kept:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def starts(folder: Path) -> list[int]:
    """The pids of the program's starts so far."""
    noted = folder / "starts"
    return [int(line) for line in noted.read_text().splitlines()] if noted.exists() else []


NOTE_START = "import os, time\nwith open('starts', 'a') as f: f.write(f'{os.getpid()}\\n')\n"


def test_a_program_that_fails_before_it_was_ready_is_not_started_again(keep: Keep, tmp_path: Path) -> None:
    assert keep(NOTE_START + "raise SystemExit(7)").wait(DEADLINE_SECONDS) == 7
    assert len(starts(tmp_path)) == 1


def test_a_program_that_was_ready_is_started_again(keep: Keep, tmp_path: Path) -> None:
    keep(NOTE_START + "time.sleep(60)")
    wait_until(lambda: len(starts(tmp_path)) == 1)
    (tmp_path / "ready").touch()
    os.kill(starts(tmp_path)[0], signal.SIGKILL)
    wait_until(lambda: len(starts(tmp_path)) == 2)
    assert b"keeper: ended with status -9; starting again in 1 s" in (tmp_path / "log").read_bytes()


def test_a_stop_reaches_the_program_and_is_final(keep: Keep, tmp_path: Path) -> None:
    process = keep(NOTE_START + "time.sleep(60)")
    (tmp_path / "ready").touch()
    wait_until(lambda: len(starts(tmp_path)) == 1)
    process.terminate()
    assert process.wait(DEADLINE_SECONDS) == 128 + signal.SIGTERM
    assert len(starts(tmp_path)) == 1


def test_a_stop_between_two_starts_is_final(keep: Keep, tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    process = keep(NOTE_START + "raise SystemExit(1)")
    wait_until(lambda: b"starting again" in (tmp_path / "log").read_bytes())
    process.terminate()
    assert process.wait(DEADLINE_SECONDS) == 1


class HealthPage:
    """A page whose content the test sets, as Airflow's."""

    def __init__(self) -> None:
        self.content: dict[str, dict[str, str]] = {}
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(page.content).encode())

            def log_message(self, *_arguments: object) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def show(self, *, database: str, scheduler: str) -> None:
        self.content = {"metadatabase": {"status": database}, "scheduler": {"status": scheduler}}


@pytest.fixture
def page() -> Iterator[HealthPage]:
    made = HealthPage()
    thread = Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """One number: the seconds on the watch's clock."""
    clock = [0.0]
    monkeypatch.setattr(keeper.time, "monotonic", lambda: clock[0])
    return clock


def looks(watch: Watch, now: list[float], seconds: int) -> bool:
    """Whether the watch saw a hang within that time."""
    for _ in range(seconds):
        now[0] += 1
        if watch.sees_hang():
            return True
    return False


def test_a_dead_component_beside_a_healthy_database_hangs(page: HealthPage, now: list[float]) -> None:
    watch = Watch(page.url, "scheduler")
    page.show(database="healthy", scheduler="unhealthy")
    assert not looks(watch, now, 30)
    assert looks(watch, now, 10)


def test_a_component_that_recovers_does_not_hang(page: HealthPage, now: list[float]) -> None:
    watch = Watch(page.url, "scheduler")
    page.show(database="healthy", scheduler="unhealthy")
    assert not looks(watch, now, 25)
    page.show(database="healthy", scheduler="healthy")
    assert not looks(watch, now, 10)
    page.show(database="healthy", scheduler="unhealthy")
    assert not looks(watch, now, 25)


def test_without_a_database_nothing_is_known_of_the_component(page: HealthPage, now: list[float]) -> None:
    page.show(database="unhealthy", scheduler="unhealthy")
    assert not looks(Watch(page.url, "scheduler"), now, 100)


def test_a_page_that_does_not_answer_says_nothing(now: list[float]) -> None:
    assert not looks(Watch("http://127.0.0.1:9", "scheduler"), now, 100)
