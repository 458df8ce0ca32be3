"""Whose change of a model's files was the last."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from steward.errors import RequestError
from steward.training.provenance import code_editor, committed_at

WHO = {"ravi": "ravi@example.com", "mo": "mo@example.com"}


@pytest.fixture(autouse=True)
def no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STEWARD_CODE_EDITOR", "STEWARD_CODE_COMMITTED_AT"):
        monkeypatch.delenv(name, raising=False)


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


def test_the_time_of_a_commit_is_that_of_the_folder(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEWARD_CODE_COMMIT", raising=False)
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-03-01T12:00:00+02:00")
    (models / "first" / "model.yaml").write_text("model: first\n")
    commit(models, "mo")
    assert committed_at(models / "first") == "2026-03-01T10:00:00Z"
    assert committed_at(models / "second") != committed_at(models / "first")
    (models / "first" / "model.py").write_text("x = 2\n")
    assert committed_at(models / "first") is None


def test_no_repository_no_time_and_the_image_may_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert committed_at(tmp_path) is None
    monkeypatch.setenv("STEWARD_CODE_COMMITTED_AT", "2026-03-01T12:00:00+02:00")
    assert committed_at(tmp_path) == "2026-03-01T10:00:00Z"
    monkeypatch.setenv("STEWARD_CODE_COMMITTED_AT", "last week")
    with pytest.raises(RequestError, match="is no instant"):
        committed_at(tmp_path)
