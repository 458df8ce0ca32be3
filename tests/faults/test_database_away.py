"""The database goes away for a while, and nothing is lost."""

from __future__ import annotations

import asyncio
import multiprocessing

import pytest
from tests.postgres import running_server

from steward.adapters.postgres import PostgresDatabase, listen_routes
from steward.errors import UnavailableError
from steward.ledger import EventType
from steward.testing import FrozenClock
from steward.testing.builders import MODEL, a_draft, a_route
from steward.testing.database import FAKE_KEY

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def own_server():
    """Not the session's: other tests would go away with it."""
    with running_server() as server:
        yield server


@pytest.fixture
def own_database(own_server, clock, ledger_key):
    database = PostgresDatabase(own_server.url(own_server.new_database()), clock, ledger_key)
    yield database
    database.close()


def append_one(database):
    with database.begin() as tx:
        return tx.events.append(a_draft()).seq


def test_the_same_object_works_again_after_a_restart(own_server, own_database):
    assert append_one(own_database) == 1
    own_server.stop()
    with pytest.raises(UnavailableError, match="the database is away") as away:
        append_one(own_database)
    assert "check that PostgreSQL runs" in str(away.value)
    own_server.start()
    assert append_one(own_database) == 2


def test_a_connection_lost_inside_a_transaction_changes_nothing(own_server, own_database):
    append_one(own_database)

    def lose_the_connection():
        with own_database.begin() as tx:
            tx.events.append(a_draft(EventType.VERSION_PROMOTED))
            own_server.stop()
            own_server.start()
            tx.events.append(a_draft())

    with pytest.raises(UnavailableError, match="the database is away"):
        lose_the_connection()
    with own_database.begin() as tx:
        assert [event.type for event in tx.events.read()] == [EventType.RUN_CLOSED]


def test_a_connection_lost_at_the_commit_is_unavailable_too(own_server, own_database):
    def commit_to_nobody():
        with own_database.begin() as tx:
            tx.events.append(a_draft())
            own_server.stop()

    try:
        with pytest.raises(UnavailableError, match="repeat the step"):
            commit_to_nobody()
    finally:
        own_server.start()
    assert append_one(own_database) == 1


def test_a_writer_that_hangs_is_reported_not_waited_for_for_ever(own_server, clock, ledger_key):
    url = own_server.url(own_server.new_database())
    hanging = PostgresDatabase(url, clock, ledger_key)
    impatient = PostgresDatabase(f"{url}&options=-c%20lock_timeout%3D200ms", clock, ledger_key)
    with hanging.begin() as tx:
        tx.events.append(a_draft())
        with pytest.raises(UnavailableError, match="lock timeout"):
            append_one(impatient)
    assert append_one(impatient) == 2
    hanging.close()
    impatient.close()


def _append_in_child(url, results):
    results.put(append_one(_SHARED[url]))


_SHARED: dict[str, PostgresDatabase] = {}


def test_a_forked_process_does_not_share_its_parents_connection(own_server):
    url = own_server.url(own_server.new_database())
    _SHARED[url] = PostgresDatabase(url, FrozenClock(), FAKE_KEY)
    assert append_one(_SHARED[url]) == 1
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    child = fork.Process(target=_append_in_child, args=(url, results))
    child.start()
    assert results.get(timeout=20) == 2
    child.join(timeout=20)
    assert child.exitcode == 0
    assert append_one(_SHARED[url]) == 3
    _SHARED.pop(url).close()


def test_servers_hear_of_routes_at_the_commit_and_again_after_a_restart(own_server, clock, ledger_key):
    url = own_server.url(own_server.new_database())
    database = PostgresDatabase(url, clock, ledger_key)

    def change_and_fail():
        with database.begin() as tx:
            tx.routes.set(a_route(model="never_committed"))
            raise UnavailableError("the worker died")

    async def story():
        heard = []
        news = listen_routes(url, heartbeat=0.2)
        heard.append(await asyncio.wait_for(anext(news), 10))
        with pytest.raises(UnavailableError, match="the worker died"):
            await asyncio.to_thread(change_and_fail)
        await asyncio.to_thread(set_route, database, 1)
        heard.append(await asyncio.wait_for(anext(news), 10))
        await asyncio.to_thread(own_server.stop)
        await asyncio.to_thread(own_server.start)
        heard.append(await asyncio.wait_for(anext(news), 10))
        await asyncio.to_thread(set_route, database, 2)
        heard.append(await asyncio.wait_for(anext(news), 10))
        await news.aclose()
        return heard

    assert asyncio.run(story()) == [None, MODEL, None, MODEL]
    database.close()


def set_route(database, epoch):
    with database.begin() as tx:
        tx.routes.set(a_route(epoch=epoch))
