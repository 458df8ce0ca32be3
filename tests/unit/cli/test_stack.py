"""serve, up and stop hand over to what runs the processes."""

from __future__ import annotations

import sys

import pytest
from tests.unit.cli.conftest import Steward

from steward.cli import stack
from steward.local import commands


@pytest.mark.parametrize(
    ("arguments", "handed"),
    [
        (("up",), ["up", "--services", "all"]),
        (("up", "--services", "postgres,mlflow"), ["up", "--services", "postgres,mlflow"]),
        (("stop",), ["stop", "--services", "all"]),
    ],
)
def test_the_stack(
    steward: Steward, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], handed: list[str]
) -> None:
    seen: list[list[str]] = []

    def main(argv: list[str]) -> int:
        seen.append(argv)
        return 75

    monkeypatch.setattr(commands, "main", main)
    assert steward(*arguments).code == 75
    assert seen == [handed]


def test_serve_becomes_the_server(steward: Steward, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(stack.os, "execv", lambda _, argv: seen.append(argv))
    assert steward("serve", "--port", "8123").code == 0
    assert seen == [[sys.executable, "-m", "steward.serving", "--host", "127.0.0.1", "--port", "8123"]]
    assert steward("serve", "--workers", "4").code == 0
    assert seen[1][-2:] == ["--workers", "4"]
    assert steward("serve", "--port", "0").code == 2
    assert steward("serve", "--workers", "0").code == 2
