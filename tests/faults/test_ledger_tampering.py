"""Somebody owns the database and wants the past to read differently. They do not own the key.

The attacker is the superuser of a real PostgreSQL, switches the triggers off, and rewrites rows as they like.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

import psycopg
import pytest

from steward.actions.governance.verifying import altered_evidence, differences
from steward.adapters.postgres import PostgresDatabase
from steward.gates import Evidence
from steward.ledger import GENESIS_HASH, EventType, Tampering, hash_of, verify
from steward.registry import State
from steward.testing.builders import MODEL, a_draft, a_new_version, a_request, a_route
from steward.types import VersionRef

pytestmark = pytest.mark.faults

EVENTS = 12


@pytest.fixture
def ledger(postgres_database, clock):
    with postgres_database.begin() as tx:
        for number in range(1, EVENTS + 1):
            body = {"number": number, "share": number / 7}
            tx.events.append(a_draft(EventType.VERSION_PROMOTED, version=number, body=body))
            clock.advance(timedelta(hours=1))
    return postgres_database


@pytest.fixture
def checkpoint(ledger):
    with ledger.begin() as tx:
        return tx.events.checkpoint()


@pytest.fixture
def attacker(postgres, database_name, ledger):
    with postgres.connect(database_name) as connection:
        connection.execute("ALTER TABLE events DISABLE TRIGGER ALL")
        yield connection


def rehash(attacker: psycopg.Connection, key: bytes = b"not the key") -> None:
    """Make the chain consistent again, from the first event to the last, with a key of one's own."""
    attacker.execute("SET timezone = 'UTC'")
    columns = "seq, at, recorded_at, type, model, version, actor, reason, evidence, body::text, previous_hash, hash"
    attacker.execute("ALTER TABLE events DROP CONSTRAINT IF EXISTS events_one_successor")
    previous = GENESIS_HASH
    for row in attacker.execute(f"SELECT {columns} FROM events ORDER BY seq").fetchall():
        forged = hash_of((*row[:10], previous, ""), key)
        attacker.execute("UPDATE events SET previous_hash = %s, hash = %s WHERE seq = %s", (previous, forged, row[0]))
        previous = forged


def renumber(attacker: psycopg.Connection) -> None:
    attacker.execute(
        "UPDATE events SET seq = n.new FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS new FROM events) n "
        "WHERE events.seq = n.seq AND n.new < events.seq"
    )


def edit(attacker):
    attacker.execute("UPDATE events SET actor = 'person:mallory' WHERE seq = 5")


def delete(attacker):
    attacker.execute("DELETE FROM events WHERE seq = 5")


def swap(attacker):
    attacker.execute("ALTER TABLE events DROP CONSTRAINT events_pkey, DROP CONSTRAINT events_seq_positive")
    attacker.execute("UPDATE events SET seq = CASE seq WHEN 5 THEN 9 ELSE 5 END WHERE seq IN (5, 9)")


def truncate(attacker):
    attacker.execute("DELETE FROM events WHERE seq > 8")


def rehash_all(attacker):
    edit(attacker)
    rehash(attacker)


def truncate_and_rehash(attacker):
    truncate(attacker)
    rehash(attacker)


@pytest.mark.parametrize(
    ("attack", "seq", "tampering"),
    [
        (edit, 5, Tampering.EDITED),
        (delete, 5, Tampering.DELETED),
        (swap, 5, Tampering.REORDERED),
        (truncate, 9, Tampering.TRUNCATED),
        (rehash_all, 1, Tampering.REHASHED),
        (truncate_and_rehash, 1, Tampering.REHASHED),
    ],
)
def test_the_first_bad_sequence_is_named(ledger, checkpoint, attacker, attack, seq, tampering):
    attack(attacker)
    with ledger.begin() as tx:
        result = tx.events.verify([checkpoint])
    assert (result.broken.seq, result.broken.tampering) == (seq, tampering), result.broken.what


def test_untouched_it_is_intact(ledger, checkpoint, attacker):
    with ledger.begin() as tx:
        result = tx.events.verify([checkpoint])
    assert (result.intact, result.events) == (True, EVENTS)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", "'2013-01-01T00:00:00Z'"),
        ("recorded_at", "recorded_at + interval '1 microsecond'"),
        ("type", "'run.closed'"),
        ("model", "'other'"),
        ("version", "NULL"),
        ("actor", "'person:anna '"),
        ("reason", "''"),
        ("evidence", "'x'"),
        ("body", """'{"number":7,"share":1.00}'"""),
        ("previous_hash", f"'{GENESIS_HASH[:-1]}1'"),
        ("hash", "reverse(hash)"),
    ],
)
def test_a_change_of_any_column_is_found(ledger, attacker, column, value):
    attacker.execute(f"UPDATE events SET {column} = {value} WHERE seq = 7")
    with ledger.begin() as tx:
        assert tx.events.verify().broken.seq == 7


def test_a_column_set_to_null_past_its_constraint_is_found(ledger, attacker):
    for column in ("body", "hash", "at", "actor"):
        attacker.execute(f"ALTER TABLE events ALTER {column} DROP NOT NULL")
    attacker.execute("UPDATE events SET body = NULL, hash = NULL, at = NULL, actor = NULL WHERE seq = 12")
    with ledger.begin() as tx:
        assert tx.events.verify().broken.seq == 12


def test_a_deletion_that_is_renumbered_is_found_where_it_was(ledger, attacker):
    delete(attacker)
    renumber(attacker)
    with ledger.begin() as tx:
        broken = tx.events.verify().broken
    assert (broken.seq, broken.tampering) == (5, Tampering.REORDERED)
    assert "event 6 was put in its place" in broken.what


def test_an_invented_event_at_the_end_is_found(ledger, attacker):
    attacker.execute(
        "INSERT INTO events SELECT 13, at, recorded_at, type, model, version, actor, reason, evidence, body, hash, "
        f"'{hashlib.sha256(b'guess').hexdigest()}' FROM events WHERE seq = 12"
    )
    with ledger.begin() as tx:
        assert tx.events.verify().broken.seq == 13


def test_an_end_cut_off_and_lived_over_is_found_by_the_checkpoint(ledger, checkpoint, attacker):
    """The cut alone leaves a valid chain, and the system goes on writing it with the right key."""
    truncate(attacker)
    with ledger.begin() as tx:
        for _ in range(6):
            tx.events.append(a_draft())
        assert tx.events.verify().intact
        broken = tx.events.verify([checkpoint]).broken
    assert (broken.seq, broken.tampering) == (checkpoint.seq, Tampering.REPLACED)


def test_a_checkpoint_written_by_the_attacker_is_refused(ledger, checkpoint, attacker, ledger_key):
    truncate(attacker)
    with ledger.begin() as tx:
        head = tx.events.read(limit=1)[0]
        forged = type(checkpoint).take(head.seq, head.hash, checkpoint.at, b"not the key")
        broken = tx.events.verify([forged]).broken
        assert verify(tx.events.links(), ledger_key, [checkpoint]).broken.tampering is Tampering.TRUNCATED
    assert (broken.seq, broken.tampering) == (head.seq, Tampering.FORGED)


def test_an_unkeyed_hash_would_not_have_helped(ledger, attacker):
    """The control: verified with the attacker's own key the forgery is perfect, so only the key protects."""
    rehash_all(attacker)
    with ledger.begin() as tx:
        assert verify(tx.events.links(), b"not the key").intact
        assert not tx.events.verify().intact


# --- evidence and state -----------------------------------------------------------------------------


@pytest.fixture
def governed(postgres_database):
    """A champion, a challenger that waits for an answer, and evidence that events name."""
    with postgres_database.begin() as tx:
        digests = [tx.evidence.put(Evidence("evaluation", MODEL, {"auc": auc})) for auc in (0.7, 0.8, 0.9)]
        for number, digest in enumerate(digests[:2], start=1):
            tx.versions.add(a_new_version())
            tx.events.append(a_draft(EventType.VERSION_REGISTERED, version=number, evidence=digest))
        tx.versions.move(VersionRef(MODEL, 1), State.CHALLENGER, State.CHAMPION)
        tx.routes.set(a_route(champion=1, canary=None, percent=0, epoch=1))
        tx.events.append(a_draft(EventType.VERSION_PROMOTED, version=1, body={"replaced": None, "epoch": 1}))
        request = tx.approvals.open(a_request(version=2))
        asked = {"request": request.id, "policy": {"quorum": 1}}
        tx.events.append(a_draft(EventType.APPROVAL_REQUESTED, version=2, evidence=digests[1], body=asked))
    return postgres_database


@pytest.fixture
def owner(postgres, database_name, governed):
    with postgres.connect(database_name) as connection:
        for table in ("events", "evidence", "routes"):
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        yield connection


def test_what_was_not_touched_differs_nowhere(governed, owner):
    with governed.begin() as tx:
        assert (altered_evidence(tx), differences(tx)) == (None, [])


@pytest.mark.parametrize(
    ("attack", "seq", "what"),
    [
        ("UPDATE evidence SET body = '{\"auc\": 0.99}' WHERE body->>'auc' = '0.8'", 2, "was altered"),
        ("UPDATE evidence SET kind = 'smoke' WHERE body->>'auc' = '0.7'", 1, "was altered"),
        ("DELETE FROM evidence WHERE body->>'auc' = '0.8'", 2, "is gone"),
        ("TRUNCATE evidence", 1, "is gone"),
        ("UPDATE evidence SET digest = reverse(digest) WHERE body->>'auc' = '0.7'", 1, "is gone"),
        ("UPDATE evidence SET model = 'other' WHERE body->>'auc' = '0.9'", 4, "which no event names itself"),
    ],
)
def test_tampering_with_evidence_is_found_at_the_first_event_that_names_it(governed, owner, attack, seq, what):
    owner.execute(attack)
    with governed.begin() as tx:
        assert tx.events.verify().intact  # the chain alone does not see it
        broken = altered_evidence(tx)
    assert (broken.seq, broken.tampering) == (seq, Tampering.EVIDENCE)
    assert what in broken.what


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (
            "UPDATE versions SET state = 'superseded' WHERE number = 1; UPDATE versions SET state = 'champion' "
            "WHERE number = 2",
            "the state of flight_delays@1 is superseded, the events say champion (event 3)",
        ),
        ("DELETE FROM versions WHERE number = 2", "the state of flight_delays@2 is missing, the events say challenger"),
        ("UPDATE routes SET champion = 2", "the champion routed to is 2, the events say 1 (event 3)"),
        ("UPDATE routes SET canary = 2, percent = 50", "the canary routed to is 2, the events say missing (event 3)"),
        ("DELETE FROM routes", "the route is missing, the events say "),
        ("UPDATE approval_requests SET state = 'approved'", "is approved, the events say not approved"),
        (
            "INSERT INTO approval_answers SELECT id, 'ravi', true, 'fine', evidence, now(), 'sql' "
            "FROM approval_requests",
            "the yes of ravi to request",
        ),
    ],
)
def test_state_written_by_hand_is_found(governed, owner, attack, said):
    owner.execute(attack)
    with governed.begin() as tx:
        assert tx.events.verify().intact  # the chain alone does not see it
        first = differences(tx)[0]
    assert said in str(first)


def test_the_application_itself_cannot_tamper_with_evidence(postgres, database_name, governed, owner):
    """The triggers are off, and still: the role of the application has no right to."""
    with postgres.connect(database_name, "steward_app") as application:
        for statement in ("UPDATE evidence SET model = 'x'", "DELETE FROM events", "DELETE FROM approval_answers"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
                application.execute(statement)


class WhileOthersWork:
    """The transaction of an auditor; each of `happenings` is committed by somebody else at the next look at routes."""

    def __init__(self, tx, *happenings):
        self._tx, self._happenings = tx, list(happenings)

    def __getattr__(self, name):
        if name == "routes" and self._happenings:
            self._happenings.pop(0)()
        return getattr(self._tx, name)


def test_what_happens_during_the_comparison_is_no_difference(governed, postgres, database_name, clock, ledger_key):
    others = PostgresDatabase(postgres.url(database_name, "steward_app"), clock, ledger_key)

    def register():
        with others.begin() as tx:
            number = tx.versions.add(a_new_version()).number
            digest = tx.evidence.put(Evidence("evaluation", MODEL, {"number": number}))
            tx.events.append(a_draft(EventType.VERSION_REGISTERED, version=number, evidence=digest))

    with governed.begin() as tx:
        assert differences(WhileOthersWork(tx, register, register)) == []
        assert differences(WhileOthersWork(tx, *[register] * 20)) == []
    others.close()


def test_a_row_changed_by_hand_is_found_while_others_work(governed, owner, postgres, database_name, clock, ledger_key):
    others = PostgresDatabase(postgres.url(database_name, "steward_app"), clock, ledger_key)
    owner.execute("UPDATE routes SET champion = 2")

    def write():
        with others.begin() as tx:
            tx.events.append(a_draft())

    with governed.begin() as tx:
        (found,) = differences(WhileOthersWork(tx, *[write] * 20))
    assert str(found).startswith("the champion routed to is 2")
    others.close()
