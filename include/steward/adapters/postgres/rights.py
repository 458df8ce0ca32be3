"""Who may do what to the tables: the application's role appends to the record, and its owner only migrates.

A trigger can be switched off by a table's owner, and a revoked right granted again. The application therefore works
under a role that owns nothing: even with the trigger off, the database refuses it every change of the record.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import URL, Connection, Executable, Row, text
from sqlalchemy import exc as sql

from steward.adapters.postgres.tables import approval_answers, events, evidence, metadata, operations, tallies
from steward.errors import UnavailableError
from steward.ledger import Weakness

RECORD = (events.name, evidence.name)
# Nobody changes these either, but no trigger guards them.
ADDED_TO = (*RECORD, approval_answers.name, operations.name)
READ_ONLY = ("alembic_version",)
# Nobody's record: what was counted is counted again from the prediction log, and goes when the log's rows go.
THROWN_AWAY = (tallies.name,)

# As the migrations built them. A changed definition or function is a guard that was tampered with.
DEFINITION = (
    "CREATE TRIGGER {name} BEFORE DELETE OR UPDATE OR TRUNCATE ON {table} FOR EACH STATEMENT "
    "EXECUTE FUNCTION refuse_change()"
)
REFUSAL_SHA256 = "3513fc1154c8f60834c79f0ce07cbe5401611820b4b393d311e6fe216afb138b"
ALWAYS = "A"  # pg_trigger.tgenabled: also where session_replication_role is replica

_ALREADY_THERE = frozenset({"42710", "23505"})  # duplicate object, unique violation

GUARDS = text("""
SELECT record.relname AS name,
       pg_has_role(record.relowner, 'MEMBER') AS owns,
       array_remove(ARRAY[
           CASE WHEN has_table_privilege(record.oid, 'UPDATE') THEN 'UPDATE' END,
           CASE WHEN has_table_privilege(record.oid, 'DELETE') THEN 'DELETE' END,
           CASE WHEN has_table_privilege(record.oid, 'TRUNCATE') THEN 'TRUNCATE' END,
           CASE WHEN has_table_privilege(record.oid, 'TRIGGER') THEN 'TRIGGER' END
       ], NULL) AS rights,
       guard.tgenabled::text AS enabled,
       pg_get_triggerdef(guard.oid, true) AS definition,
       refuse.prosrc AS source
FROM pg_class record
LEFT JOIN pg_trigger guard ON guard.tgrelid = record.oid AND guard.tgname = record.relname || '_append_only'
LEFT JOIN pg_proc refuse ON refuse.oid = guard.tgfoid
WHERE record.oid IN (to_regclass('events'), to_regclass('evidence'))
ORDER BY record.relname DESC
""")


def let_application_in(connection: Connection, address: URL) -> None:
    """Give the role named in `address` what the application needs and no more; make the role if it is missing.

    Run by the owner after every migration, so that rights granted by hand meanwhile are gone again.
    Raises UnavailableError when the role is missing and may not be made.
    """
    role = address.username
    if role is None or role == connection.scalar(text("SELECT current_user")):
        return
    _make_missing_role(connection, role, address)
    name = connection.dialect.identifier_preparer.quote(role)
    connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}"))
    connection.execute(text(f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {name}"))
    connection.execute(text(f"REVOKE CREATE ON SCHEMA public FROM PUBLIC, {name}"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {name}"))
    for table, rights in _wanted_rights().items():
        connection.execute(text(f"GRANT {rights} ON {table} TO {name}"))


def _wanted_rights() -> dict[str, str]:
    """No row of state is ever deleted: what ended has a state that says so."""
    state = dict.fromkeys(metadata.tables, "SELECT, INSERT, UPDATE")
    state |= dict.fromkeys(THROWN_AWAY, "SELECT, INSERT, UPDATE, DELETE")
    return state | dict.fromkeys(ADDED_TO, "SELECT, INSERT") | dict.fromkeys(READ_ONLY, "SELECT")


def _make_missing_role(connection: Connection, role: str, address: URL) -> None:
    if connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role").bindparams(role=role)):
        return
    try:
        with connection.begin_nested():
            connection.execute(_creation(connection, role, address))
    except sql.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _ALREADY_THERE:
            raise UnavailableError(
                f"the role {role} does not exist and cannot be made: {error.orig}",
                where=str(address.database),
                hint=f"let an administrator run CREATE ROLE {role} LOGIN PASSWORD '…', then upgrade again",
            ) from error


def _creation(connection: Connection, role: str, address: URL) -> Executable:
    """The password goes out as its verifier: a server that logs its statements logs no password."""
    name = connection.dialect.identifier_preparer.quote(role)
    if address.password is None:
        return text(f"CREATE ROLE {name} LOGIN")
    server = connection.connection.driver_connection.pgconn  # type: ignore[union-attr]
    verifier = server.encrypt_password(str(address.password).encode(), role.encode(), b"scram-sha-256").decode()
    return text(f"CREATE ROLE {name} LOGIN PASSWORD '{verifier}'".replace(":", r"\:"))


def weaknesses_of(rows: list[Row[Any]]) -> list[Weakness]:
    """What keeps the record from being append-only for the role that asks. `rows` answer GUARDS."""
    return [weakness for row in rows for weakness in (*_of_trigger(row), *_of_rights(row))]


def _of_trigger(row: Row[Any]) -> list[Weakness]:
    name = f"{row.name}_append_only"
    remedy = (
        "find out who did it, verify the chain against a checkpoint, and let the owner run "
        f"ALTER TABLE {row.name} ENABLE ALWAYS TRIGGER {name}"
    )
    if row.enabled is None:
        return [Weakness(f"the trigger {name} is missing", remedy, removed=True)]
    if row.enabled != ALWAYS:
        return [Weakness(f"the trigger {name} is switched off", remedy, removed=True)]
    as_built = row.definition == DEFINITION.format(name=name, table=row.name)
    if not as_built or hashlib.sha256(row.source.encode()).hexdigest() != REFUSAL_SHA256:
        return [Weakness(f"the trigger {name} was altered: it may not refuse every change", remedy, removed=True)]
    return []


def _of_rights(row: Row[Any]) -> list[Weakness]:
    remedy = (
        "give the application a role of its own in STEWARD_DATABASE_URL, and upgrade with STEWARD_DATABASE_OWNER_URL"
    )
    if row.owns:
        what = f"the application's role owns the table {row.name}, or is a superuser: it can switch the trigger off"
        return [Weakness(what, remedy, removed=False)]
    if row.rights:
        what = f"the application's role has more rights on {row.name} than to read and append: {', '.join(row.rights)}"
        return [Weakness(what, remedy, removed=False)]
    return []
