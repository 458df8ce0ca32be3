"""Fixtures for every kind of test: a real PostgreSQL, a fresh database of it, and the fake beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.postgres import APPLICATION, PostgresServer, running_server

from steward.adapters.postgres import PostgresDatabase
from steward.testing import FakeDatabase, FrozenClock
from steward.testing.database import FAKE_KEY


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the session. Ask for `database_url` unless you need the server itself."""
    with running_server() as server:
        yield server


@pytest.fixture
def database_name(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.new_database()
    yield name
    postgres.drop_database(name)


@pytest.fixture
def database_url(postgres: PostgresServer, database_name: str) -> str:
    """A database of this test's own, with all tables and no rows, as the application may use it."""
    return postgres.url(database_name, APPLICATION)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def ledger_key() -> bytes:
    return FAKE_KEY


@pytest.fixture
def postgres_database(database_url: str, clock: FrozenClock, ledger_key: bytes) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(database_url, clock, ledger_key)
    yield database
    database.close()


@pytest.fixture
def fake_database(clock: FrozenClock, ledger_key: bytes) -> FakeDatabase:
    return FakeDatabase(clock, ledger_key)


@pytest.fixture(params=["fake", "postgres"])
def database(request: pytest.FixtureRequest) -> FakeDatabase | PostgresDatabase:
    """Both, one after the other: what holds of the fake must hold of PostgreSQL."""
    return request.getfixturevalue(f"{request.param}_database")
