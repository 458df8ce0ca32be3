"""A model's own faults come back as one error with file and line, and an endless loop comes back at all."""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

from steward.errors import ModelCodeError
from steward.training import ModelCode
from steward.training import code as boundary

SECOND = timedelta(seconds=1)


def code(folder: Path, text: str) -> ModelCode:
    path = folder / "model.py"
    path.write_text(text)
    return ModelCode(path)


def test_a_function_is_called_with_its_arguments(tmp_path: Path) -> None:
    assert (
        code(tmp_path, "def build(params):\n    return params['a'] + 1\n").call("model:build", {"a": 1}, limit=SECOND)
        == 2
    )


def test_an_exception_names_the_line_of_the_model(tmp_path: Path) -> None:
    model = code(tmp_path, "def build(params):\n    return inner()\n\ndef inner():\n    return 1 / 0\n")
    with pytest.raises(ModelCodeError, match=r"model\.py:5: model:build in model\.py raised ZeroDivisionError"):
        model.call("model:build", {}, limit=SECOND)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('no')", r"model\.py:1: importing it raised RuntimeError: no"),
        ("def build(:\n  pass", r"model\.py:1: importing it raised SyntaxError"),
        ("import nothing_of_the_kind", r"raised ModuleNotFoundError"),
        ("build = 3", r"no function build\(\)"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ModelCodeError, match=said):
        code(tmp_path, text).call("model:build", {}, limit=SECOND)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ModelCodeError, match="steward init"):
        ModelCode(tmp_path / "model.py").call("model:build", limit=SECOND)


def test_a_loop_at_import_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "IMPORT_LIMIT", timedelta(seconds=0.2))
    with pytest.raises(ModelCodeError, match="still running after"):
        code(tmp_path, "while True:\n    pass\n").call("model:build", limit=SECOND)


def test_a_loop_that_swallows_exceptions_ends_too(tmp_path: Path) -> None:
    text = (
        "def build():\n    while True:\n        try:\n            pass\n        except Exception:\n            pass\n"
    )
    with pytest.raises(ModelCodeError, match="still running after"):
        code(tmp_path, text).call("model:build", limit=timedelta(seconds=0.2))


def test_an_outer_alarm_keeps_its_time(tmp_path: Path) -> None:
    rang = []
    previous = signal.signal(signal.SIGALRM, lambda *_: rang.append(time.monotonic()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.4)
        started = time.monotonic()
        code(tmp_path, "def build():\n    return 1\n").call("model:build", limit=SECOND)
        signal.pause()
        assert rang
        assert 0.2 < rang[0] - started < 2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_two_models_do_not_share_a_module(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = code(tmp_path / "a", "def build():\n    return 'a'\n")
    second = code(tmp_path / "b", "def build():\n    return 'b'\n")
    assert [m.call("model:build", limit=SECOND) for m in (first, second, first)] == ["a", "b", "a"]
