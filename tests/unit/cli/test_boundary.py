"""Errors end as a message and a documented exit code; help costs little."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.unit.cli.conftest import Steward

from steward import __version__, errors, wiring


def break_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(wiring, "specs", fail)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.StewardError, 1),
        (errors.SpecError, 2),
        (errors.RequestError, 2),
        (errors.PolicyError, 3),
        (errors.ConflictError, 4),
        (errors.NotFoundError, 5),
        (errors.UnavailableError, 75),
    ],
)
def test_an_error_says_what_where_and_what_next(
    steward: Steward, monkeypatch: pytest.MonkeyPatch, kind: type[errors.StewardError], code: int
) -> None:
    break_with(monkeypatch, kind("it broke", where="the shop", hint="mend it"))
    ended = steward("status")
    assert (ended.code, ended.out, ended.err) == (code, "", "the shop: it broke\n→ mend it\n")


def test_what_nobody_foresaw_is_short_without_debug(steward: Steward, monkeypatch: pytest.MonkeyPatch) -> None:
    break_with(monkeypatch, ZeroDivisionError("by nought"))
    ended = steward("status")
    assert ended.code == 1
    assert ended.err.startswith("this should not have happened: ZeroDivisionError: by nought\n")
    assert "Traceback" not in ended.err
    assert "Traceback" in steward("--debug", "status").err
    assert "Traceback" in steward("status", "--debug").err


def test_an_interrupt_is_130(steward: Steward, monkeypatch: pytest.MonkeyPatch) -> None:
    break_with(monkeypatch, KeyboardInterrupt())
    assert steward("status").code == 130


@pytest.mark.parametrize("arguments", [("promote!",), ("plan", "diff", "one"), ("approve", "m"), ("check", "--jsn")])
def test_wrong_usage_is_2(steward: Steward, arguments: tuple[str, ...]) -> None:
    assert steward(*arguments).code == 2


def test_help_tells_the_exit_codes(steward: Steward) -> None:
    ended = steward("--help")
    assert ended.code == 0
    for code in ("0 done", "3 refused by policy", "75 a service is away"):
        assert code in " ".join(ended.out.split())


def test_version(steward: Steward) -> None:
    assert steward("--version").out == f"steward {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    """Each command imports what it needs: the tree of commands alone must not."""
    code = (
        "import sys; from steward.cli.boundary import run; run(['--help']); "
        "heavy = {'pydantic', 'yaml', 'pandas', 'numpy', 'sqlalchemy', 'mlflow', 'httpx'} & set(sys.modules); "
        "print(heavy, file=sys.stderr); sys.exit(bool(heavy))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
