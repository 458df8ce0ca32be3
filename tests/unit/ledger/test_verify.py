"""What the report of a broken chain says, and checkpoints as files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from steward.errors import IntegrityError
from steward.ledger import Checkpoint, Tampering, export_checkpoint, parse_checkpoints, verify
from steward.testing import FakeDatabase
from steward.testing.builders import a_draft
from steward.testing.database import FAKE_KEY

NOON = datetime(2013, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def links():
    database = FakeDatabase()
    with database.begin() as tx:
        for _ in range(6):
            tx.events.append(a_draft())
        return list(tx.events.links())


def mark(links, seq):
    return Checkpoint.take(seq, links[seq - 1].hash, NOON, FAKE_KEY)


def test_an_intact_chain_needs_no_word(links):
    result = verify(links, FAKE_KEY)
    result.require()
    assert result.to_json() == {
        "intact": True,
        "events": 6,
        "head_hash": links[-1].hash,
        "checkpoints": 0,
        "broken": None,
    }


def test_a_broken_chain_is_an_integrity_error_that_names_the_event(links):
    del links[2:4]
    result = verify(links, FAKE_KEY)
    assert (result.events, result.head_hash) == (2, links[1].hash)
    with pytest.raises(IntegrityError, match=r"event 3 cannot be trusted: events 3 to 4 are missing"):
        result.require()


def test_the_wrong_key_reads_as_rehashed_and_says_so(links):
    broken = verify(links, b"another key").broken
    assert (broken.seq, broken.tampering) == (1, Tampering.REHASHED)
    assert "or this is not the key of this ledger" in broken.what


def test_events_out_of_order_are_found_where_the_order_ends(links):
    links.append(links.pop(1))
    links.insert(1, links[0])
    broken = verify(links, FAKE_KEY).broken
    assert (broken.seq, broken.tampering) == (2, Tampering.REORDERED)
    assert broken.what == "event 1 stands where event 2 belongs"


def test_a_genuine_event_of_another_past_does_not_fit(links):
    """The same key wrote two histories, one before and one after a restore: they cannot be mixed."""
    database = FakeDatabase()
    with database.begin() as tx:
        for _ in range(6):
            tx.events.append(a_draft(reason="another past"))
        links[3] = list(tx.events.links())[3]
    broken = verify(links, FAKE_KEY).broken
    assert (broken.seq, broken.tampering) == (4, Tampering.REORDERED)
    assert "does not follow event 3" in broken.what


def test_a_cut_is_named_from_the_first_event_that_is_gone(links):
    broken = verify(links[:3], FAKE_KEY, [mark(links, 2), mark(links, 6)]).broken
    assert (broken.seq, broken.tampering) == (4, Tampering.TRUNCATED)
    assert broken.what.startswith("events 4 to 6 are gone: a checkpoint of 2013-06-01 12:00 saw event 6")


def test_checkpoints_survive_their_file(links):
    marks = [mark(links, 2), mark(links, 6)]
    text = "".join(map(export_checkpoint, marks)) + "\n"
    assert parse_checkpoints(text) == marks
    assert verify(links, FAKE_KEY, parse_checkpoints(text)).intact


@pytest.mark.parametrize("line", ["not json", "{}", "[]", '{"seq": "x", "hash": "", "at": "", "mac": ""}'])
def test_a_damaged_checkpoint_file_names_its_line(links, line):
    with pytest.raises(IntegrityError, match=r"checkpoints\.jsonl: line 2 is not a checkpoint"):
        parse_checkpoints(export_checkpoint(mark(links, 2)) + line, "checkpoints.jsonl")


@pytest.mark.parametrize("change", [{"seq": 5}, {"hash": "0" * 64}, {"at": NOON + timedelta(days=1)}, {"mac": "0"}])
def test_a_checkpoint_with_any_field_changed_is_a_forgery(links, change):
    forged = Checkpoint(**{**vars(mark(links, 6)), **change})
    assert not forged.is_genuine(FAKE_KEY)
    assert verify(links, FAKE_KEY, [forged]).broken.tampering is Tampering.FORGED
