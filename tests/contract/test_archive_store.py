"""What every ArchiveStore must do."""

from __future__ import annotations

from pathlib import Path

import pytest

from steward.adapters.archive_files import FileArchive
from steward.errors import NotFoundError, UnavailableError
from steward.inventory import ArchiveStore
from steward.testing.estate import FakeArchive


@pytest.fixture(params=["fake", "folder", "address"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveStore:
    if request.param == "fake":
        return FakeArchive()
    return FileArchive(str(tmp_path / "archive") if request.param == "folder" else f"file://{tmp_path}/archive")


def test_what_was_put_is_got_and_may_be_replaced(store: ArchiveStore) -> None:
    store.put("toy/versions/1/model.skops", b"\x00one")
    store.put("toy/manifest.json", b"{}")
    assert store.get("toy/versions/1/model.skops") == b"\x00one"
    store.put("toy/versions/1/model.skops", b"two")
    assert store.get("toy/versions/1/model.skops") == b"two"
    assert store.get("toy/manifest.json") == b"{}"


def test_what_was_never_put_is_not_found(store: ArchiveStore) -> None:
    with pytest.raises(NotFoundError):
        store.get("toy/manifest.json")


def test_an_address_is_for_people(store: ArchiveStore) -> None:
    assert store.address("toy").endswith("archive/toy")


def test_a_folder_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file stands in the way")
    with pytest.raises(UnavailableError, match="the archive refuses the file") as refused:
        FileArchive(str(tmp_path / "archive")).put("toy/manifest.json", b"{}")
    assert "STEWARD_ARCHIVE" in str(refused.value)


def test_no_half_written_file_is_left_under_its_name(tmp_path: Path) -> None:
    store = FileArchive(str(tmp_path))
    store.put("toy/ledger.jsonl", b"x" * 1000)
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["ledger.jsonl"]
