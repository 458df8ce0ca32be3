"""Any event log: sequence, hashes, filters, and what a rolled-back transaction leaves behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from steward.errors import ConflictError, DataError, NotFoundError
from steward.ledger import GENESIS_HASH, EventType, Extent, check_export, export_checkpoint, parse_checkpoints
from steward.testing.builders import MODEL, a_draft


def append(database, *drafts):
    with database.begin() as tx:
        return [tx.events.append(draft) for draft in drafts]


def test_the_first_event_follows_genesis_and_the_second_follows_the_first(database):
    first, second = append(database, a_draft(), a_draft())
    assert (first.seq, first.previous_hash) == (1, GENESIS_HASH)
    assert (second.seq, second.previous_hash) == (2, first.hash)


def test_an_event_is_read_back_as_it_was_appended(database, clock):
    draft = a_draft(
        EventType.VERSION_PROMOTED,
        version=7,
        evidence="e" * 64,
        reason='it’s better: ±0.01 – \\ "quoted"\n',
        body={"z": 1e22, "a": [1, 2.5, -0.0, None, True], "big": 2**70, "nul": "\x00", "é": {"x": 1e-9}},
    )
    (appended,) = append(database, draft)
    with database.begin() as tx:
        (read,) = tx.events.read()
    assert read == appended
    assert read.body == draft.body
    assert (read.at, read.type, read.version) == (clock.now(), EventType.VERSION_PROMOTED, 7)
    assert read.at.utcoffset() == timedelta(0)


def change_and_fail(database, change):
    with database.begin() as tx:
        change(tx)
        raise ConflictError("somebody was quicker")


def test_a_rolled_back_event_leaves_no_gap(database):
    append(database, a_draft())
    with pytest.raises(ConflictError, match="quicker"):
        change_and_fail(database, lambda tx: tx.events.append(a_draft()))
    (event,) = append(database, a_draft())
    assert event.seq == 2
    with database.begin() as tx:
        assert tx.events.verify().intact


@pytest.fixture
def three_days(database, clock):
    for number, kind in enumerate([EventType.SNAPSHOT_TAKEN, EventType.MODEL_TRAINED, EventType.RUN_CLOSED]):
        append(database, a_draft(kind), a_draft(kind, model="other"))
        if number < 2:
            clock.advance(timedelta(days=1))
    return database


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"model": MODEL}, [1, 3, 5]),
        ({"types": [EventType.MODEL_TRAINED, EventType.RUN_CLOSED]}, [3, 4, 5, 6]),
        ({"after_seq": 4}, [5, 6]),
        ({"limit": 2}, [5, 6]),
        ({"limit": 2, "model": MODEL}, [3, 5]),
        ({"limit": 0}, []),
        ({"model": "nobody"}, []),
    ],
)
def test_reading_filters_and_keeps_the_order(three_days, query, expected):
    with three_days.begin() as tx:
        assert [event.seq for event in tx.events.read(**query)] == expected


def test_since_and_until_include_their_ends(three_days, clock):
    yesterday = clock.now() - timedelta(days=1)
    with three_days.begin() as tx:
        assert [event.seq for event in tx.events.read(since=yesterday)] == [3, 4, 5, 6]
        assert [event.seq for event in tx.events.read(until=yesterday)] == [1, 2, 3, 4]
        assert [event.seq for event in tx.events.read(since=yesterday, until=yesterday)] == [3, 4]


def test_the_chain_verifies_against_an_exported_checkpoint(database):
    append(database, a_draft(), a_draft())
    with database.begin() as tx:
        exported = export_checkpoint(tx.events.checkpoint())
    append(database, a_draft())
    with database.begin() as tx:
        result = tx.events.verify(parse_checkpoints(exported))
    assert (result.intact, result.events, result.checkpoints) == (True, 3, 1)


def test_an_empty_ledger_verifies_and_has_no_checkpoint(database):
    with database.begin() as tx:
        assert tx.events.verify().events == 0
        with pytest.raises(NotFoundError, match="the ledger is empty"):
            tx.events.checkpoint()


@pytest.mark.parametrize("change", [{"reason": "nul \x00"}, {"actor": "\ud800"}, {"body": {"text": "\udfff"}}])
def test_text_that_cannot_be_stored_is_refused_and_the_transaction_goes_on(database, change):
    with database.begin() as tx:
        with pytest.raises(DataError, match=r"cannot be stored|broken Unicode"):
            tx.events.append(a_draft(**change))
        tx.events.append(a_draft())
    with database.begin() as tx:
        assert len(tx.events.read()) == 1


def test_an_event_that_was_read_is_genuine_and_a_changed_one_is_not(database):
    append(database, a_draft(body={"share": 1e22, "é": [None, -0.0, 2**70]}))
    with database.begin() as tx:
        (event,) = tx.events.read()
        assert tx.events.is_genuine(event)
        assert not tx.events.is_genuine(replace(event, actor="person:mallory"))
        assert not tx.events.is_genuine(replace(event, body={**event.body, "share": 1}))


def test_nothing_keeps_the_record_from_being_append_only(database):
    with database.begin() as tx:
        assert tx.events.weaknesses() == []


def test_an_export_checks_with_the_same_key(database, ledger_key):
    append(database, a_draft(), a_draft(model="other"), a_draft(body={"big": 2**70, "é": "\r\n"}))
    with database.begin() as tx:
        files = tx.events.export(Extent(MODEL), lambda _: None, [tx.events.checkpoint()])
    checked = check_export(files, ledger_key)
    assert (checked.flaw, checked.events, checked.links, checked.checkpoints) == (None, 2, 3, 1)
    assert check_export(files, b"another key").flaw.seq == 1
