"""A long command shows on a terminal that it works, and is silent in a pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from steward.cli.progress import working

CODE = """
from steward.cli.progress import working
with working("getting ready", 2) as tell:
    tell("the first step")
    tell("the second step")
    import time; time.sleep(0.3)
print("the answer")
"""
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


def on_a_terminal(**environment: str) -> tuple[bytes, bytes]:
    """What a terminal saw, and what the pipe behind standard output got."""
    ours, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environ |= {"TERM": "xterm-256color", "COLUMNS": "100", **environment}
    with subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=theirs, env=environ) as process:
        os.close(theirs)
        seen = b"".join(_read(ours))
        out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    return seen, out


def _read(terminal: int) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(os.read(terminal, 4096))
        except OSError:  # the other end is closed
            return found
        if not found[-1]:
            return found


def test_a_terminal_sees_the_step_and_how_many_are_done() -> None:
    seen, out = on_a_terminal()
    assert b"the second step" in seen
    assert b"1/2" in seen
    assert COLOUR.search(seen)
    assert out == b"the answer\n"


def test_without_colour_where_none_is_wanted() -> None:
    seen, _ = on_a_terminal(NO_COLOR="1")
    assert b"the second step" in seen
    assert not re.search(rb"\x1b\[[0-9;]*3[0-9]", seen)


def test_silent_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with working("getting ready", 2) as tell:
        tell("the first step")
    assert capsys.readouterr() == ("", "")
