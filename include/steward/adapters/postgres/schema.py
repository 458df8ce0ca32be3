"""Brings a database to the present form of the tables, from nothing or from any earlier form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy import exc as sql

from steward.adapters.postgres.connection import (
    CONNECT_TIMEOUT_SECONDS,
    SCHEMA_LOCK,
    connect_engine,
    in_words,
    place_of,
    postgres_url,
)
from steward.adapters.postgres.rights import let_application_in
from steward.errors import UnavailableError

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS = Path(__file__).with_name("migrations")
_ANOTHER_WAS_QUICKER = frozenset({"42P04", "23505"})  # duplicate database, unique violation


def upgrade(url: str | URL, application: str | URL | None = None) -> None:
    """Create the database if it is missing and may be created, then the tables. Repeat as often as you like.

    `url` names the owner of the tables. `application` names the role everything else works under: it is made if
    it is missing, and given the rights it needs and no other. Without it, the owner is the application too.
    Processes that run it at once wait for one another. Raises UnavailableError.
    """
    from alembic import command  # half of what a command takes to start, and only this one needs it

    address = postgres_url(url)
    with in_words(place_of(address)):
        _create_missing_database(address)
        # A first upgrade waits for another process to finish its own, however long that takes.
        engine = connect_engine(address, lock_timeout="0", statement_timeout="0")
        try:
            with engine.begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)").bindparams(lock=SCHEMA_LOCK))
                command.upgrade(alembic_config(connection), "head")
                if application is not None:
                    let_application_in(connection, postgres_url(application))
        finally:
            engine.dispose()


def alembic_config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _create_missing_database(address: URL) -> None:
    probe = create_engine(address, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS})
    try:
        probe.connect().close()
    except sql.OperationalError:
        # Why it refused comes as a sentence in the server's language: ask the server instead.
        _create_unless_listed(address, probe)
    finally:
        probe.dispose()


def _create_unless_listed(address: URL, probe: Engine) -> None:
    """Raises what the database itself answers if it exists, UnavailableError if it cannot be created."""
    server = create_engine(
        address.set(database="postgres"),
        isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
    )
    try:
        with server.connect() as connection:
            listed = text("SELECT 1 FROM pg_database WHERE datname = :name").bindparams(name=address.database)
            if connection.execute(listed).first() is not None:
                probe.connect().close()  # it exists by now: made a moment ago by another process, or it refuses again
                return
            name = connection.dialect.identifier_preparer.quote(address.database or "steward")
            connection.execute(text(f"CREATE DATABASE {name}"))
    except (sql.ProgrammingError, sql.IntegrityError) as error:
        if getattr(error.orig, "sqlstate", None) not in _ANOTHER_WAS_QUICKER:
            raise UnavailableError(
                f"the database {address.database} does not exist and cannot be created: {error.orig}",
                where=place_of(address),
                hint=f"let an administrator run CREATE DATABASE {address.database} OWNER {address.username}",
            ) from error
    finally:
        server.dispose()
