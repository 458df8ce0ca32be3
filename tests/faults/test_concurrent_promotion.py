"""Eight promoters want eight versions to be the champion, all at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from steward.errors import ConflictError
from steward.ledger import EventType
from steward.registry import State
from steward.testing.builders import MODEL, a_draft, a_new_version
from steward.types import VersionRef

pytestmark = pytest.mark.faults

ROUNDS, PROMOTERS = 200, 8


def promote(database, ref, champion, gate):
    """What completing a rollout does: compare, set and say so. → the error a loser is told, and the seconds it took."""
    gate.wait(timeout=30)
    started = time.perf_counter()
    try:
        with database.begin() as tx:
            # Nothing was locked when the champion was read: this is where an alias alone goes wrong.
            tx.versions.move(champion, State.CHAMPION, State.SUPERSEDED)
            tx.versions.move(ref, State.CHALLENGER, State.CHAMPION)
            tx.events.append(
                a_draft(EventType.VERSION_PROMOTED, version=ref.number, body={"replaced": champion.number})
            )
    except ConflictError as error:
        return error, time.perf_counter() - started
    return None, time.perf_counter() - started


def race(database, pool):
    """One round. → those who were told they won, the errors of those who lost, and the seconds of all."""
    with database.begin() as tx:
        champion = tx.versions.champion(MODEL).ref
        challengers = [tx.versions.add(a_new_version()).ref for _ in range(PROMOTERS)]
    gate = threading.Barrier(PROMOTERS)
    told = list(pool.map(lambda ref: promote(database, ref, champion, gate), challengers))
    winners = [ref for ref, (error, _) in zip(challengers, told, strict=True) if error is None]
    return winners, [error for error, _ in told if error is not None], [seconds for _, seconds in told]


def test_one_wins_and_every_loser_is_told(postgres_database):
    with postgres_database.begin() as tx:
        first = tx.versions.add(a_new_version()).ref
        tx.versions.move(first, State.CHALLENGER, State.CHAMPION)
    line, took = [first.number], []
    with ThreadPoolExecutor(PROMOTERS) as pool:
        for _ in range(ROUNDS):
            winners, errors, seconds = race(postgres_database, pool)
            took += seconds
            with postgres_database.begin() as tx:
                champions = [v.ref for v in tx.versions.all(MODEL) if v.state is State.CHAMPION]
            assert champions == winners
            assert len(errors) == PROMOTERS - 1
            assert all("is superseded, not champion" in str(error) for error in errors)
            line.append(champions[0].number)
    with postgres_database.begin() as tx:
        promoted = tx.events.read(types=[EventType.VERSION_PROMOTED])
        assert tx.events.verify().intact
    assert [(event.body["replaced"], event.version) for event in promoted] == list(pairwise(line))
    p50, p99 = sorted(took)[len(took) // 2], sorted(took)[len(took) * 99 // 100]
    print(
        f"\n{ROUNDS} rounds x {PROMOTERS} promoters: 0 wrong champions, "
        f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"
    )


def test_a_promoter_who_skips_the_comparison_meets_the_constraint(postgres, database_name, postgres_database):
    """Two connections past all our code: PostgreSQL itself keeps one champion."""
    with postgres_database.begin() as tx:
        for _ in range(2):
            tx.versions.add(a_new_version())
    statement = "UPDATE versions SET state = 'champion' WHERE number = %s"
    with postgres.connect(database_name) as one, postgres.connect(database_name) as two:
        one.execute(statement, (1,))
        with pytest.raises(Exception, match="versions_one_champion"):
            two.execute(statement, (2,))
    with postgres_database.begin() as tx:
        assert tx.versions.champion(MODEL).ref == VersionRef(MODEL, 1)


def test_writers_of_other_models_neither_deadlock_nor_leave_gaps(postgres_database):
    """Each touches the tables in another order; the sequence is whole afterwards."""

    def write(number):
        with postgres_database.begin() as tx:
            steps = [
                lambda: tx.versions.add(a_new_version(model=f"m{number % 3}")),
                lambda: tx.events.append(a_draft(model=f"m{number % 3}")),
                lambda: tx.outbox.put("alias", {"n": number}),
            ]
            for step in steps[number % 3 :] + steps[: number % 3]:
                step()

    with ThreadPoolExecutor(PROMOTERS) as pool:
        list(pool.map(write, range(60)))
    with postgres_database.begin() as tx:
        assert [event.seq for event in tx.events.read()] == list(range(1, 61))
        assert tx.events.verify().intact
