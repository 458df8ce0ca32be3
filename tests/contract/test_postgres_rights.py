"""What the application's role may do, with the trigger on and off, and how a guard that is gone is noticed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from tests.postgres import APPLICATION, running_server

from steward.adapters.postgres import PostgresDatabase, upgrade
from steward.adapters.postgres.tables import metadata
from steward.errors import UnavailableError
from steward.gates import Evidence
from steward.local.postgres import binary
from steward.testing.builders import MODEL, a_draft

ROOT = Path(__file__).parents[2]
APPENDED_ONLY = ("events", "evidence", "approval_answers", "operations")


@pytest.fixture
def filled(postgres_database):
    with postgres_database.begin() as tx:
        tx.evidence.put(Evidence("evaluation", MODEL, {"auc": 0.7}))
        tx.events.append(a_draft())
    return postgres_database


@pytest.fixture
def owner(postgres, database_name, filled):
    with postgres.connect(database_name) as connection:
        yield connection


@pytest.fixture
def application(postgres, database_name, filled):
    with postgres.connect(database_name, APPLICATION) as connection:
        yield connection


def weaknesses(database):
    with database.begin() as tx:
        return tx.events.weaknesses()


@pytest.mark.parametrize("table", APPENDED_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = NULL", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_application_cannot_change_the_record_even_with_the_trigger_off(owner, application, table, change):
    for guarded in ("events", "evidence"):
        owner.execute(f"ALTER TABLE {guarded} DISABLE TRIGGER ALL")
    first_column = next(iter(metadata.tables[table].columns)).name
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"permission denied for table {table}"):
        application.execute(change.format(table, first_column))


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "DROP TRIGGER events_append_only ON events",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE RULE quiet AS ON INSERT TO events DO INSTEAD NOTHING",
        "DROP TABLE events",
        "CREATE TABLE events_twin (seq bigint)",
        "SET session_replication_role = replica",
        "DELETE FROM versions",
        "TRUNCATE routes",
        "UPDATE alembic_version SET version_num = '0001'",
        "SET ROLE postgres",
    ],
)
def test_the_application_cannot_take_a_guard_away(application, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute(statement)


def test_the_application_cannot_grant_itself_a_right(application):
    application.execute("GRANT UPDATE ON events TO steward_app")  # PostgreSQL warns, and grants nothing
    assert application.execute("SELECT has_table_privilege('events', 'UPDATE')").fetchone() == (False,)


def test_a_superuser_in_a_replicas_session_meets_the_trigger_all_the_same(owner):
    owner.execute("SET session_replication_role = replica")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="events is append-only"):
        owner.execute("UPDATE events SET model = 'x'")


def test_as_it_is_set_up_nothing_is_weak(filled):
    assert weaknesses(filled) == []


@pytest.mark.parametrize(
    ("attack", "what"),
    [
        ("ALTER TABLE events DISABLE TRIGGER events_append_only", "the trigger events_append_only is switched off"),
        ("ALTER TABLE evidence DISABLE TRIGGER ALL", "the trigger evidence_append_only is switched off"),
        ("ALTER TABLE events ENABLE REPLICA TRIGGER events_append_only", "events_append_only is switched off"),
        ("ALTER TABLE events ENABLE TRIGGER events_append_only", "events_append_only is switched off"),
        ("DROP TRIGGER events_append_only ON events", "the trigger events_append_only is missing"),
        (
            "CREATE OR REPLACE TRIGGER events_append_only BEFORE DELETE ON events FOR EACH STATEMENT "
            "EXECUTE FUNCTION refuse_change(); ALTER TABLE events ENABLE ALWAYS TRIGGER events_append_only",
            "the trigger events_append_only was altered",
        ),
        (
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "the trigger events_append_only was altered",
        ),
    ],
)
def test_a_guard_that_was_taken_away_is_named(filled, owner, attack, what):
    owner.execute(attack)
    found = weaknesses(filled)
    assert found
    assert what in " ".join(weakness.what for weakness in found)
    assert all(weakness.removed for weakness in found)
    assert "ENABLE ALWAYS TRIGGER" in found[0].remedy


@pytest.mark.parametrize("right", ["UPDATE", "DELETE", "TRUNCATE", "TRIGGER"])
def test_a_right_too_many_is_named_and_gone_after_the_next_upgrade(postgres, database_name, filled, owner, right):
    owner.execute(f"GRANT {right} ON events TO {APPLICATION}")
    (found,) = weaknesses(filled)
    assert found.what.endswith(f"than to read and append: {right}")
    assert not found.removed
    upgrade(postgres.url(database_name), postgres.url(database_name, APPLICATION))
    assert weaknesses(filled) == []


def test_an_application_that_owns_the_tables_is_told_so(postgres, database_name, clock, ledger_key):
    as_owner = PostgresDatabase(postgres.url(database_name), clock, ledger_key)
    found = weaknesses(as_owner)
    as_owner.close()
    assert ["owns the table" in weakness.what for weakness in found] == [True, True]
    assert "STEWARD_DATABASE_OWNER_URL" in found[0].remedy


@pytest.fixture
def empty(postgres):
    name, role = f"t_{uuid4().hex[:12]}", f"app_{uuid4().hex[:8]}"
    yield name, role
    postgres.drop_database(name)
    postgres.execute(f"DROP ROLE IF EXISTS {role}")


def test_a_missing_role_is_made_with_its_password_and_can_do_its_work(postgres, empty, clock, ledger_key):
    name, role = empty
    address = postgres.url(name, f"{role}:pass-word-1")
    upgrade(postgres.url(name), address)
    with postgres.connect(name) as connection:
        (stored,) = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (role,)).fetchone()
    assert stored.startswith("SCRAM-SHA-256$")
    database = PostgresDatabase(address, clock, ledger_key)
    with database.begin() as tx:
        tx.events.append(a_draft())
    assert weaknesses(database) == []
    database.close()


def test_a_role_that_may_not_be_made_says_what_to_run(postgres, empty):
    name, role = empty
    postgres.execute(f"CREATE ROLE {role} LOGIN")
    postgres.execute(f"CREATE DATABASE {name} OWNER {role}")
    with pytest.raises(
        UnavailableError, match=r"the role nobody_yet does not exist[\s\S]*CREATE ROLE nobody_yet LOGIN"
    ):
        upgrade(postgres.url(name, role), postgres.url(name, "nobody_yet"))


def test_the_roles_of_the_compose_file_reach_their_own_database_only(clock, ledger_key):
    passwords = {f"{name}_DATABASE_PASSWORD": "given" for name in ("AIRFLOW", "MLFLOW", "STEWARD")}
    with running_server() as server:
        server.execute(f"DROP OWNED BY {APPLICATION}", "steward_template")
        server.execute(f"DROP ROLE {APPLICATION}")
        script = [binary("psql"), "-X", "-v", "ON_ERROR_STOP=1", "-f", ROOT / "include/postgres/databases.sql"]
        where = ["-h", server.folder, "-U", "postgres", "-d", "postgres"]
        subprocess.run([*map(str, script + where)], env=os.environ | passwords, check=True, capture_output=True)
        upgrade(server.url("steward"), server.url("steward", "steward_app:given"))
        database = PostgresDatabase(server.url("steward", "steward_app:given"), clock, ledger_key)
        with database.begin() as tx:
            tx.events.append(a_draft())
        assert weaknesses(database) == []
        database.close()
        with pytest.raises(psycopg.OperationalError, match='permission denied for database "steward"'):
            server.connect("steward", "airflow")
        with pytest.raises(psycopg.OperationalError, match='permission denied for database "airflow"'):
            server.connect("airflow", "steward_app")
        server.execute("SELECT 1", "mlflow")
