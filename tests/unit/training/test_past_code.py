"""The code of a version comes from its commit; where it cannot, what stands in for it is said."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from steward.training.past_code import code_at
from steward.training.provenance import code_commit


@pytest.fixture(autouse=True)
def no_given_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEWARD_CODE_COMMIT", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in a repository of its own, committed once."""
    folder = tmp_path / "models" / "toy"
    folder.mkdir(parents=True)
    git(tmp_path, "init", "-q")
    write(folder, "first")
    return folder


def git(where: Path, *arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", "-C", str(where), *who, *arguments], check=True, capture_output=True)


def write(folder: Path, text: str) -> str:
    (folder / "model.py").write_text(text)
    (folder / "levels.txt").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", text)
    return code_commit(folder)


def test_the_present_files_where_they_are_those_of_the_commit(folder: Path) -> None:
    with code_at(code_commit(folder), folder) as code:
        assert (code.folder, code.doubt) == (folder, None)


def test_an_earlier_commit_is_unpacked_with_all_its_files(folder: Path) -> None:
    first = code_commit(folder)
    write(folder, "second")
    with code_at(first, folder) as code:
        assert code.folder is not None
        assert code.folder != folder
        assert (code.folder / "model.py").read_text() == (code.folder / "levels.txt").read_text() == "first"
        assert code.doubt is None
    assert not code.folder.exists()


def test_a_folder_that_was_deleted_is_still_in_its_commit(folder: Path) -> None:
    commit = code_commit(folder)
    shutil.rmtree(folder.parent)
    with code_at(commit, folder) as code:
        assert code.folder is not None
        assert (code.folder / "model.py").read_text() == "first"


def test_changes_since_make_the_commit_the_better_source(folder: Path) -> None:
    commit = code_commit(folder)
    (folder / "model.py").write_text("half done")
    with code_at(commit, folder) as code:
        assert code.folder is not None
        assert (code.folder / "model.py").read_text() == "first"


@pytest.mark.parametrize(
    ("commit", "why"),
    [
        ("unknown", "no commit was recorded"),
        ("a" * 40 + "+dirty", "nobody committed"),
        ("a" * 40, "cannot be read from this repository"),
        ("--output=/tmp/x", "cannot be read"),
    ],
)
def test_where_the_present_files_stand_in_that_is_a_doubt(folder: Path, commit: str, why: str) -> None:
    with code_at(commit, folder) as code:
        assert code.folder == folder
        assert code.doubt is not None
        assert why in code.doubt
    shutil.rmtree(folder)
    with code_at(commit, folder) as code:
        assert code.folder is None


def test_outside_a_repository_there_are_the_present_files(tmp_path: Path) -> None:
    with code_at("b" * 40, tmp_path) as code:
        assert code.folder == tmp_path
        assert code.doubt
