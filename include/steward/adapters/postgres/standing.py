"""How a database stands, as the application sees it: the form of its tables, its release, and its clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import URL, Connection, text

from steward.adapters.postgres.connection import connect_engine, in_words, place_of, postgres_url
from steward.adapters.postgres.schema import alembic_config

PATIENCE = "3s"


@dataclass(frozen=True)
class Standing:
    """`found` is the form of the tables (None: there are none), `newest` the one this release brings; `known` says
    whether this release has heard of the one it found. `now` is the server's clock."""

    found: str | None
    newest: str
    known: bool
    server: str
    now: datetime


def standing_of(url: str | URL) -> Standing:
    """Raises UnavailableError when the database does not let us in."""
    address = postgres_url(url)
    engine = connect_engine(address, statement_timeout=PATIENCE)
    try:
        with in_words(place_of(address)), engine.connect() as connection:
            return _seen(connection)
    finally:
        engine.dispose()


def _seen(connection: Connection) -> Standing:
    from alembic.script import ScriptDirectory

    forms = ScriptDirectory.from_config(alembic_config(connection))
    now, server = connection.execute(text("SELECT clock_timestamp(), current_setting('server_version')")).one()
    found = _form(connection)
    known = found in {each.revision for each in forms.walk_revisions()}
    return Standing(found, forms.get_current_head() or "", known, server, now)


def _form(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
