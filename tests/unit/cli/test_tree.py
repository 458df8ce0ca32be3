"""The tree of commands as a whole: help with an example everywhere, JSON on every read, what TAB offers."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Steward
from typer.main import get_command

from steward.cli import completion
from steward.cli.app import app
from steward.testing.builders import MODEL

# Commands that only write files or run processes: there is nothing to read.
PURE_WRITERS = {
    *(("init",), ("schema", "write"), ("audit", "checkpoint"), ("audit", "export")),
    *(("serve",), ("up",), ("stop",)),
}
JSON_ALWAYS = {("step",)}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


TREE = dict(commands(get_command(app)))


def options(command: Any) -> set[str]:
    return {option for param in command.params for option in param.opts}


def test_every_verb_of_the_design_is_there() -> None:
    verbs = {path[0] for path in TREE}
    assert verbs >= {
        *("init", "check", "plan", "step", "train", "status", "why", "history", "approve", "reject", "promote"),
        *("rollback", "retire", "drift", "serve", "replay", "audit", "inventory", "report", "reproduce", "doctor"),
    }


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_every_read_prints_json(path: tuple[str, ...]) -> None:
    assert ("--json" in options(TREE[path])) != (path in PURE_WRITERS | JSON_ALWAYS)


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_every_help_has_an_example_that_can_be_typed(path: tuple[str, ...]) -> None:
    """The example names this very command, and options it has."""
    examples = [line.strip() for line in (TREE[path].help or "").splitlines() if line.strip().startswith("Example:")]
    assert examples
    for example in examples:
        words = shlex.split(example.removeprefix("Example:").partition(" > ")[0])
        assert words[0] == "steward"
        assert tuple(words[1 : 1 + len(path)]) == path or path == ("retrain", "start")
        used = {word for word in words if word.startswith("-")}
        assert used <= options(TREE[path])


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_every_parameter_is_explained(path: tuple[str, ...]) -> None:
    unsaid = [param.name for param in TREE[path].params if not getattr(param, "help", None)]
    assert unsaid == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("statu",), "Did you mean 'status'"),
        (("flght_delays",), f"Did you mean 'status {MODEL}' or 'why {MODEL}'?"),
        (("audit", "verfy"), "Did you mean 'verify'?"),
        (("status", "--jsn"), "--json"),
    ],
)
def test_what_was_meant(steward: Steward, typed: tuple[str, ...], meant: str) -> None:
    ended = steward(*typed)
    assert ended.code == 2
    assert meant in " ".join(ended.err.replace("│", " ").split())


def test_models_and_what_specs_know_are_offered(models: Path) -> None:
    (models / "churn").mkdir()
    (models / "churn" / "model.yaml").write_text("evaluation: {metrics: {roc_auc: {min: 0.7}}}\n")
    assert completion.models("") == ["churn", MODEL]
    assert completion.versions("fl") == [MODEL]
    assert "metric.roc_auc" in completion.gates("metric.")
    assert "sr-26-2" in completion.frameworks("sr")
    assert completion.kinds("validation") == ["validation_report"]
    assert completion.services("postgres,ml") == ["postgres,mlflow"]
    assert completion.steps("rollout.s") == ["rollout.start"]


def test_settings_in_the_home_are_known_to_the_shell(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = models.parent / "home"
    home.mkdir()
    (home / "steward.env").write_text(f"STEWARD_MODELS_DIR='{models}'\nSTEWARD_HOME=\"x\"\n")
    monkeypatch.delenv("STEWARD_MODELS_DIR")
    assert completion.models("") == [MODEL]


def test_nothing_is_offered_where_nothing_can_be_known(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder, no file, a broken one, no database: an empty list, never an error in somebody's line."""
    (models / MODEL / "model.yaml").write_text("metrics: [")
    assert completion.gates("") == []
    monkeypatch.setenv("STEWARD_MODELS_DIR", "/nowhere")
    monkeypatch.setenv("STEWARD_POLICY_FILE", "/nowhere/policy.yaml")
    monkeypatch.setenv("STEWARD_DATABASE_URL", "postgresql://app@127.0.0.1:9/steward")
    assert [completion.models(""), completion.kinds(""), completion.versions(f"{MODEL}@")] == [[], [], []]


@pytest.mark.parametrize(
    ("line", "offered"),
    [("steward sta", ["status", "stage"]), ("steward why fl", [MODEL]), ("steward waiver grant x --gate zz", [])],
)
def test_the_shell_asks_as_it_does(models: Path, line: str, offered: list[str]) -> None:
    """The whole way, in a process of its own, as bash asks."""
    words = shlex.split(line)
    asked = {"_STEWARD_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    command = [sys.executable, "-c", "from steward.cli import main; main()"]
    ended = subprocess.run(
        command, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.stdout.split(), ended.stderr, ended.returncode) == (offered, "", 0)


def test_completion_loads_nothing_slow() -> None:
    code = (
        "import sys; from steward.cli import completion; completion.models('x'); completion.gates(''); "
        "slow = {'pydantic', 'sqlalchemy', 'pandas', 'httpx', 'mlflow', 'psycopg'} & set(sys.modules); "
        "print(slow, file=sys.stderr); sys.exit(bool(slow))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
