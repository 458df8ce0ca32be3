from __future__ import annotations

import fcntl
import io
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from steward.errors import NotFoundError
from steward.local import Stack
from steward.local.commands import main
from steward.local.display import Display
from steward.local.service import StackEvent, State


def event(service: str, state: State, seconds: float = 0, detail: str = "") -> StackEvent:
    return StackEvent(service, state, timedelta(seconds=seconds), detail)


def test_a_pipe_gets_one_plain_line_per_change() -> None:
    text = io.StringIO()
    with Display(Console(file=text, width=40)) as display:
        display(event("scheduler", State.WAITING))
        display(event("scheduler", State.HEALTHY, 12.34, "http://127.0.0.1:8080/a/long/address"))
    assert text.getvalue() == "  12.3 s  scheduler       healthy  http://127.0.0.1:8080/a/long/address\n"


def test_a_terminal_gets_a_table_with_the_last_state_of_each_service() -> None:
    text = io.StringIO()
    with Display(Console(file=text, force_terminal=True, width=100)) as display:
        display(event("scheduler", State.STARTING, 1))
        display(event("scheduler", State.HEALTHY, 12.34))
        display(event("triggerer", State.WAITING))
    last_frame = text.getvalue().rsplit("scheduler", 1)[1]
    assert "healthy" in last_frame
    assert "12.3 s" in last_frame
    assert "triggerer" in last_frame


def test_stopping_where_nothing_was_started_makes_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", "--home", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out == f"nothing was running in {tmp_path / 'none'}\n"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("command", ["env", "status"])
def test_nothing_is_told_of_a_stack_never_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "--home", str(tmp_path / "none")]) == 5
    assert not (tmp_path / "none").exists()
    assert "no stack was ever started here" in capsys.readouterr().err


def test_airflow_is_not_started_outside_a_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--home", str(tmp_path / "home"), "--project", str(tmp_path)]) == 1
    assert "no folder `dags` here" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_an_unknown_service_is_a_message_not_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--home", str(tmp_path), "--services", "web"]) == 5
    assert "no service 'web'" in capsys.readouterr().err


def test_two_at_work_on_one_folder_do_not_meet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack = Stack(tmp_path, services=["postgres"])
    stack.home.create()
    with stack.home.lock.open("w") as other:
        other.write("4711")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        assert main(["stop", "--home", str(tmp_path)]) == 4
    assert "another `up` or `stop` is at work here (pid 4711)" in capsys.readouterr().err


def test_no_token_for_a_stranger(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    stack.home.create()
    with pytest.raises(NotFoundError, match="no user 'eve'") as refused:
        stack.airflow_token("eve")
    assert "dana" in str(refused.value)
