"""A slot belongs to one process; what it leaves there the next one finds."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from steward.serving.process.slots import claim


def test_every_process_has_a_slot_of_its_own(tmp_path: Path) -> None:
    first, second = claim(tmp_path), claim(tmp_path)
    assert [slot.folder.name for slot in (first, second)] == ["0", "1"]
    assert (first.alone, second.alone) == (True, False)
    assert list(first.others()) == [(second.folder, True)]
    second.release()
    assert list(first.others()) == [(second.folder, False)]
    assert claim(tmp_path).folder == second.folder


def test_the_newest_file_of_any_slot_is_begun_with(tmp_path: Path) -> None:
    slots = [claim(tmp_path) for _ in range(3)]
    for age, slot in enumerate(slots[:2]):
        (slot.folder / "routes.json").write_text(slot.folder.name)
        os.utime(slot.folder / "routes.json", (1000 - age, 1000 - age))
    slots[2].take_newest("routes.json")
    assert (slots[2].folder / "routes.json").read_text() == "0"
    os.utime(slots[1].folder / "routes.json", (2000, 2000))
    slots[1].take_newest("routes.json")
    assert (slots[1].folder / "routes.json").read_text() == "1", "its own is the newest"


def test_there_may_be_nothing_to_begin_with(tmp_path: Path) -> None:
    slot = claim(tmp_path)
    slot.take_newest("routes.json")
    assert not (slot.folder / "routes.json").exists()


def test_without_locks_there_is_no_slot_and_no_search_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(OSError, match="no locks available"):
        claim(tmp_path)
    assert [folder.name for folder in tmp_path.iterdir()] == ["0"]
