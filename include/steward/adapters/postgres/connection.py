"""One engine, one open transaction, and what the database's refusals mean in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    CursorResult,
    Engine,
    Executable,
    Insert,
    Row,
    Update,
    create_engine,
    literal_column,
    make_url,
    text,
)
from sqlalchemy import exc as sql

from steward.errors import ConflictError, DataError, PolicyError, StewardError, UnavailableError
from steward.types import canonical

# Any two constants that no other user of the database takes.
WRITERS_LOCK = 0x57E0_0001
SCHEMA_LOCK = 0x57E0_0002

CONNECT_TIMEOUT_SECONDS = 5
# A database whose machine is gone says nothing: without these a reader would wait for it for minutes.
KEPT_ALIVE = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
SESSION = {
    "timezone": "UTC",
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    # A process that hangs in a transaction must not keep every other writer out.
    "idle_in_transaction_session_timeout": "60s",
}

# What a constraint stands for. The tables' own checks speak first; these words are for what they did not see.
BROKEN_RULES = {
    "events_pkey": "another process appended to the ledger first",
    "events_one_successor": "another process appended to the ledger first",
    "versions_pkey": "another process registered a version of this model first",
    "versions_one_champion": "this model has another champion",
    "rollouts_one_running": "another rollout of this model is running",
    "rollouts_epoch_rises": "this rollout has been moved on by somebody else",
    "routes_epoch_rises": "the routing of this model has been changed by somebody else",
    "incidents_one_unresolved": "an incident of this cause is open already",
    "approval_answers_one_per_person": "this person has answered already",
    "operations_pkey": "the same step is being done by another process",
}
_RACES = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_REFUSED_CHANGE = "42501"
_MISSING_TABLE = "42P01"


def postgres_url(url: str | URL) -> URL:
    """Whatever driver the address names, speak to it through psycopg 3."""
    return make_url(url).set(drivername="postgresql+psycopg")


def connect_engine(url: URL, **session: str) -> Engine:
    """Opens nothing yet. `session` overrides settings of SESSION, and the `options` of the address override both."""
    settings = [f"-c {name}={value}" for name, value in {**SESSION, **session}.items()]
    options = " ".join([*settings, *url.normalized_query.get("options", ())])
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_timeout=10,
        max_overflow=20,
        json_serializer=lambda value: canonical(value).decode(),
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            **KEPT_ALIVE,
            "application_name": "steward",
            "options": options,
        },
    )


def place_of(url: URL) -> str:
    """The address without its password, for messages."""
    return url.render_as_string(hide_password=True)


class Work:
    """The statements of one open transaction.

    The first write waits for every other writing transaction to end. So the ledger's sequence has no gaps, a
    check made after `claim` still holds at the write, and two writers cannot deadlock. Readers never wait.
    """

    def __init__(self, connection: Connection, where: str) -> None:
        self._connection, self._where, self._claimed = connection, where, False

    def claim(self) -> None:
        """Become the only writer until the transaction ends."""
        if not self._claimed:
            self._execute(text("SELECT pg_advisory_xact_lock(:lock)").bindparams(lock=WRITERS_LOCK))
            self._claimed = True

    def write(self, statement: Executable) -> CursorResult[Any]:
        self.claim()
        return self._execute(statement)

    def changes(self, statement: Insert | Update) -> bool:
        """Write; False when no row was changed, by a conflict or a condition that does not hold."""
        # Not `rowcount`: for an INSERT that met a conflict SQLAlchemy does not know it.
        return self.write(statement.returning(literal_column("1"))).first() is not None

    def rows(self, statement: Executable) -> list[Row[Any]]:
        return list(self._execute(statement))

    def row(self, statement: Executable) -> Row[Any] | None:
        return self._execute(statement).first()

    def stream(self, statement: Executable, batch: int) -> Iterator[Row[Any]]:
        """Rows by a server-side cursor, `batch` at a time."""
        with in_words(self._where):
            yield from self._connection.execution_options(yield_per=batch).execute(statement)

    def _execute(self, statement: Executable) -> CursorResult[Any]:
        with in_words(self._where):
            return self._connection.execute(statement)


@contextmanager
def in_words(where: str) -> Iterator[None]:
    """Turn the driver's errors into Steward's."""
    try:
        yield
    except sql.SQLAlchemyError as error:
        raise translated(error, where) from error


def translated(error: sql.SQLAlchemyError, where: str) -> StewardError:
    cause = getattr(error, "orig", None)
    state = getattr(cause, "sqlstate", None)
    first_line = str(cause or error).strip().split("\n", 1)[0]
    if isinstance(error, sql.IntegrityError):
        return _broken_rule(cause, first_line)
    if state in _RACES:
        return ConflictError(
            "another process changed the same rows first",
            where=where,
            hint="read them again and repeat the step",
        )
    if state == _REFUSED_CHANGE:
        return PolicyError(
            first_line,
            where=where,
            hint="events and evidence are only ever appended; anything else the owner may grant",
        )
    if state == _MISSING_TABLE:
        return UnavailableError(
            f"the tables are not there: {first_line}",
            where=where,
            hint="`python -m steward.local.schema` creates them, as their owner",
        )
    if isinstance(error, sql.DataError):
        return DataError(f"the database cannot hold a value: {first_line}", where=where, hint="correct the value")
    return UnavailableError(
        f"the database is away: {first_line}",
        where=where,
        hint="check that PostgreSQL runs and STEWARD_DATABASE_URL points at it; then repeat the step: "
        "what was done already is not done twice",
    )


def _broken_rule(cause: Any, first_line: str) -> ConflictError:
    rule = getattr(getattr(cause, "diag", None), "constraint_name", None) or ""
    hint = "read the present state, and repeat the step if it is still wanted"
    return ConflictError(BROKEN_RULES.get(rule, first_line), hint=hint)
