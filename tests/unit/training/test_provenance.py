"""Whose change of a model's files was the last."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from steward.training.provenance import code_editor

WHO = {"ravi": "ravi@example.com", "mo": "mo@example.com"}


@pytest.fixture(autouse=True)
def no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEWARD_CODE_EDITOR", raising=False)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two models in one repository, the first by ravi, the second by mo."""
    git(tmp_path, "init", "-q")
    for name, who in (("first", "ravi"), ("second", "mo")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.py").write_text("x = 1\n")
        commit(tmp_path, who)
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def commit(folder: Path, who: str) -> None:
    git(folder, "add", ".")
    identity = ("-c", f"user.name={who}", "-c", f"user.email={WHO[who]}", "-c", "commit.gpgsign=false")
    git(folder, *identity, "commit", "-q", "-m", "change")


def test_the_last_commit_that_touched_the_folder_counts(models: Path) -> None:
    assert [code_editor(models / name) for name in ("first", "second")] == ["ravi@example.com", "mo@example.com"]
    (models / "first" / "model.yaml").write_text("model: first\n")
    commit(models, "mo")
    assert code_editor(models / "first") == "mo@example.com"


def test_with_changes_nobody_committed_it_is_nobody_of_the_past(models: Path) -> None:
    (models / "first" / "model.py").write_text("x = 2\n")
    assert code_editor(models / "first") is None
    assert code_editor(models / "second") == "mo@example.com"
    (models / "second" / "new.py").write_text("")
    assert code_editor(models / "second") is None


def test_outside_a_repository_nobody_is_known(tmp_path: Path) -> None:
    assert code_editor(tmp_path) is None


def test_what_the_image_says_wins(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEWARD_CODE_EDITOR", "vera@example.com")
    assert code_editor(models / "first") == "vera@example.com"
