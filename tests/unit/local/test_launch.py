"""Services made of small programs instead of servers: order, failure, interruption, reuse."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from steward.local import processes
from steward.local.errors import OtherVersionError, ServiceError
from steward.local.home import Home
from steward.local.launch import Launch, Reporter, stop_all
from steward.local.service import Migration, MigrationSpec, Service, ServiceSpec, StackEvent, State

SLEEP = "import time; time.sleep(60)"


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[StackEvent] = []

    def __call__(self, event: StackEvent) -> None:
        self.events.append(event)

    def states(self, service: str) -> list[State]:
        return [event.state for event in self.events if event.service == service]

    def order(self, state: State) -> list[str]:
        return [event.service for event in self.events if event.state is state]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home.at(tmp_path)
    made.create()
    yield made
    processes.kill(processes.marked(str(tmp_path)))


@pytest.fixture
def heard() -> Listener:
    return Listener()


def spec(home: Home, name: str, code: str = SLEEP, **changes: object) -> ServiceSpec:
    plain = ServiceSpec(
        name=name,
        argv=(sys.executable, "-c", code),
        env={**os.environ, processes.MARKER: str(home.root)},
        cwd=home.root,
        check=lambda _started_at: None,
        kept=False,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def service(home: Home, name: str, code: str = SLEEP, **changes: object) -> Service:
    return Service(spec(home, name, code, **changes), home)


def migration(home: Home, code: str, *, is_current: bool = False, recorded: list[str] | None = None) -> Migration:
    recorded = [] if recorded is None else recorded
    return Migration(
        MigrationSpec(
            name="schema",
            argv=(sys.executable, "-c", code),
            env=dict(os.environ),
            cwd=home.root,
            is_current=lambda: is_current,
            record=lambda: recorded.append("done"),
        ),
        home,
    )


def test_a_service_starts_after_what_it_needs(home: Home, heard: Listener) -> None:
    steps = [service(home, "second", needs=("schema",)), migration(home, "pass"), service(home, "first")]
    Launch(steps, Reporter(heard)).run()
    assert heard.states("schema") == [State.WAITING, State.STARTING, State.DONE]
    told = [(event.service, event.state) for event in heard.events]
    assert told.index(("schema", State.DONE)) < told.index(("second", State.STARTING))
    assert stop_all([step for step in steps if isinstance(step, Service)], Reporter(heard)) == ["second", "first"]


def test_a_running_service_is_reused(home: Home, heard: Listener) -> None:
    Launch([service(home, "one")], Reporter(heard)).run()
    first = service(home, "one").process()
    Launch([service(home, "one")], Reporter(heard)).run()
    assert heard.states("one")[-1] is State.REUSED
    assert service(home, "one").process() == first


def test_a_service_that_ends_while_starting_shows_its_log(home: Home, heard: Listener) -> None:
    dying = service(home, "dying", "print('cannot bind'); raise SystemExit(3)", check=lambda _at: "no answer")
    with pytest.raises(ServiceError) as failed:
        Launch([dying], Reporter(heard)).run()
    assert str(failed.value).splitlines() == [
        f"dying: ended while starting (exit status 3). The end of {home.log('dying')}:",
        "    cannot bind",
        f"→ read the whole log: {home.log('dying')}",
    ]
    assert heard.states("dying")[-1] is State.FAILED


def test_a_failure_ends_what_was_started_and_leaves_what_was_there(home: Home, heard: Listener) -> None:
    Launch([service(home, "before")], Reporter(heard)).run()
    failing = service(home, "failing", "raise SystemExit(1)", check=lambda _at: "no answer", needs=("with",))
    with pytest.raises(ServiceError):
        Launch([service(home, "before"), service(home, "with"), failing], Reporter(heard)).run()
    assert service(home, "before").process() is not None
    assert service(home, "with").process() is None


def test_a_service_that_is_never_ready_is_given_up(home: Home, heard: Listener) -> None:
    deaf = service(home, "deaf", check=lambda _at: "no answer", start_within=timedelta(seconds=0.3))
    with pytest.raises(ServiceError, match="not ready after 0 s: no answer"):
        Launch([deaf], Reporter(heard)).run()
    assert deaf.process() is None


def test_an_interrupted_start_ends_what_was_started(home: Home, heard: Listener) -> None:
    def interrupt(event: StackEvent) -> None:
        heard(event)
        if event.state is State.HEALTHY:
            raise KeyboardInterrupt

    waiting = service(home, "waiting", check=lambda _at: "no answer")
    with pytest.raises(KeyboardInterrupt):
        Launch([service(home, "quick"), waiting], Reporter(interrupt)).run()
    assert processes.marked(str(home.root)) == []


def test_postgres_ends_after_the_others(home: Home, heard: Listener) -> None:
    services = [service(home, name) for name in ("postgres", "one", "two")]
    Launch(services, Reporter(heard)).run()
    stop_all(services, Reporter(heard))
    assert heard.order(State.STOPPED)[-1] == "postgres"
    assert heard.order(State.STOPPING)[-1] == "postgres"
    assert processes.marked(str(home.root)) == []


def test_a_stale_pid_file_is_no_running_service(home: Home, heard: Listener) -> None:
    stranger = {"pid": os.getpid(), "created_at": 1.0, "version": "0"}
    home.pid_file("one").write_text(json.dumps(stranger))
    assert stop_all([service(home, "one")], Reporter(heard)) == []
    Launch([service(home, "one")], Reporter(heard)).run()
    assert heard.states("one")[-1] is State.HEALTHY


def test_a_process_with_a_lost_pid_file_is_adopted(home: Home, heard: Listener) -> None:
    lost = service(home, "one")
    Launch([lost], Reporter(heard)).run()
    process = lost.process()
    home.pid_file("one").unlink()
    finder = service(home, "one", adopt=lambda: process)
    Launch([finder], Reporter(heard)).run()
    assert finder.process() == process


def test_a_service_of_another_version_is_refused(home: Home, heard: Listener) -> None:
    one = service(home, "one")
    Launch([one], Reporter(heard)).run()
    record = json.loads(home.pid_file("one").read_text())
    home.pid_file("one").write_text(json.dumps({**record, "version": "0.0.1"}))
    with pytest.raises(OtherVersionError, match=r"started by Steward 0\.0\.1 and still running") as refused:
        one.refuse_other_version()
    assert "`python -m steward.local stop`" in str(refused.value)


def test_a_kill_leaves_nothing_of_the_service(home: Home, heard: Listener) -> None:
    kept = service(home, "kept", kept=True)
    Launch([kept], Reporter(heard)).run()
    assert kept.process() is not None
    kept.take_down(kill=True)
    assert processes.marked(str(home.root)) == []


def test_a_failed_migration_is_not_remembered_and_stops_the_start(home: Home, heard: Listener) -> None:
    recorded: list[str] = []
    failing = migration(home, "raise SystemExit('no such revision')", recorded=recorded)
    with pytest.raises(ServiceError, match="no such revision"):
        Launch([failing, service(home, "one", needs=("schema",))], Reporter(heard)).run()
    assert recorded == []
    assert heard.states("one") == [State.WAITING]


def test_a_migration_that_was_done_is_not_run_again(home: Home, heard: Listener) -> None:
    Launch([migration(home, "raise SystemExit(1)", is_current=True)], Reporter(heard)).run()
    assert heard.states("schema") == [State.WAITING, State.CURRENT]
