"""How a database stands, seen by the application's own role on a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text
from tests.postgres import APPLICATION, PostgresServer

from steward.adapters.postgres.connection import postgres_url
from steward.adapters.postgres.standing import standing_of
from steward.errors import UnavailableError


def test_a_database_in_its_newest_form(database_url: str) -> None:
    seen = standing_of(database_url)
    assert (seen.found, seen.known) == (seen.newest, True)
    assert abs(seen.now - datetime.now(UTC)) < timedelta(minutes=5)
    assert seen.server.split(".")[0].isdigit()


def test_a_form_of_another_release(postgres: PostgresServer, database_name: str, database_url: str) -> None:
    engine = create_engine(postgres_url(postgres.url(database_name)))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    seen = standing_of(database_url)
    assert (seen.found, seen.known) == ("9999", False)


def test_a_database_without_tables(postgres: PostgresServer) -> None:
    assert standing_of(postgres.url("postgres")).found is None


def test_a_database_that_is_not_there(postgres: PostgresServer) -> None:
    with pytest.raises(UnavailableError, match="the database is away"):
        standing_of(postgres.url("nowhere", APPLICATION))
