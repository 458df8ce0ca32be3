"""Writing about a model does not make anybody the editor of its code, nor the code another."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from steward.training.provenance import code_commit, code_editor


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def commit(folder: Path, path: str, by: str) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(by)
    git(folder, "add", ".")
    git(folder, "-c", f"user.email={by}", "-c", "user.name=x", "commit", "-m", path)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("STEWARD_CODE_EDITOR", "STEWARD_CODE_COMMIT"):
        monkeypatch.delenv(name, raising=False)
    git(tmp_path, "init", "-q")
    commit(tmp_path, "toy/model.py", "dana@example.com")
    return tmp_path / "toy"


def test_a_committed_document_leaves_the_editor_who_it_was(model: Path) -> None:
    commit(model.parent, "toy/documents/report.md", "vera@example.com")
    assert code_editor(model) == "dana@example.com"
    commit(model.parent, "toy/model.yaml", "vera@example.com")
    assert code_editor(model) == "vera@example.com"


def test_a_draft_of_a_document_leaves_the_code_clean(model: Path) -> None:
    (model / "documents").mkdir()
    (model / "documents" / "draft.md").write_text("to come")
    assert not code_commit(model).endswith("+dirty")
    (model / "model.py").write_text("changed")
    assert code_commit(model).endswith("+dirty")
    assert code_editor(model) is None
