"""What a test can make a fake do that the real one does by accident."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from steward.errors import UnavailableError
from steward.testing import FakeDatabase, FrozenClock
from steward.testing.builders import MODEL, a_draft, a_route


def test_a_database_that_is_away_and_comes_back(fake_database):
    fake_database.away = True
    with pytest.raises(UnavailableError, match="the database is away"), fake_database.begin():
        pytest.fail("it is away")
    fake_database.away = False
    with fake_database.begin() as tx:
        assert tx.events.append(a_draft()).seq == 1


def test_notices_are_seen_once_committed(fake_database):
    with fake_database.begin() as tx:
        tx.routes.set(a_route())
        assert fake_database.notices == []
    assert fake_database.notices == [MODEL]


def test_a_transaction_inside_a_transaction_is_said_not_hung(fake_database):
    with (
        fake_database.begin(),
        pytest.raises(RuntimeError, match="end the outer one first"),
        fake_database.begin(),
    ):
        pytest.fail("it must not open")


def test_threads_wait_for_one_another():
    database = FakeDatabase()

    def append():
        with database.begin() as tx:
            tx.events.append(a_draft())

    threads = [threading.Thread(target=append) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.begin() as tx:
        assert tx.events.verify().events == 20


def test_a_frozen_clock_moves_when_told():
    clock = FrozenClock(datetime(2013, 1, 1, tzinfo=UTC))
    assert clock.now() == clock.now()
    assert clock.advance(timedelta(days=1)) == clock.now() == datetime(2013, 1, 2, tzinfo=UTC)
    clock.set(datetime(2014, 1, 1, tzinfo=UTC))
    assert clock.now().year == 2014
