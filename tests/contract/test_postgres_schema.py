"""What PostgreSQL itself refuses, whoever writes: the last line behind the tables' own checks."""

from __future__ import annotations

import threading
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, delete

from steward.adapters.postgres import PostgresDatabase, upgrade
from steward.adapters.postgres.tables import events, metadata
from steward.errors import IntegrityError, PolicyError, UnavailableError
from steward.gates import Evidence
from steward.registry import State
from steward.rollout import RolloutState
from steward.testing.builders import (
    MODEL,
    a_draft,
    a_new_version,
    a_request,
    a_rollout,
    a_route,
    an_answer,
    an_incident,
)
from steward.types import VersionRef


@pytest.fixture
def filled(postgres_database):
    with postgres_database.begin() as tx:
        tx.evidence.put(Evidence("evaluation", MODEL, {"auc": 0.7}))
        tx.events.append(a_draft())
        for _ in range(2):
            tx.versions.add(a_new_version())
        tx.versions.move(VersionRef(MODEL, 1), State.CHALLENGER, State.CHAMPION)
        tx.approvals.open(a_request())
        tx.approvals.record(an_answer())
        tx.rollouts.start(a_rollout(epoch=3))
        tx.rollouts.start(a_rollout(id="ended", model="other", state=RolloutState.COMPLETED))
        tx.routes.set(a_route(epoch=3))
        tx.incidents.save(an_incident())
        tx.incidents.save(an_incident(id="incident-2", version=2))
    return postgres_database


@pytest.fixture
def superuser(postgres, database_name, filled):
    with postgres.connect(database_name) as connection:
        yield connection


@pytest.mark.parametrize("table", ["events", "evidence"])
@pytest.mark.parametrize("change", ["UPDATE {} SET model = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_record_refuses_to_be_changed_even_by_a_superuser(superuser, table, change):
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"{table} is append-only"):
        superuser.execute(change.format(table))


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE versions SET state = 'champion'", "versions_one_champion"),
        ("UPDATE rollouts SET state = 'running', model = 'flight_delays'", "rollouts_one_running"),
        ("UPDATE incidents SET version = 1", "incidents_one_unresolved"),
        ("INSERT INTO approval_answers SELECT * FROM approval_answers", "approval_answers_one_per_person"),
        ("UPDATE routes SET epoch = 2", "routes_epoch_rises"),
        ("UPDATE routes SET percent = 50", "routes_epoch_rises"),
        ("UPDATE rollouts SET epoch = 2 WHERE epoch = 3", "rollouts_epoch_rises"),
        ("UPDATE routes SET percent = 101, epoch = 9", "routes_percent_is_a_share"),
        ("INSERT INTO events SELECT * FROM events", "events_pkey"),
        (
            "INSERT INTO events SELECT 2, at, recorded_at, type, model, version, actor, reason, evidence, body, "
            "previous_hash, hash FROM events",
            "events_one_successor",
        ),
    ],
)
def test_a_broken_rule_is_refused_by_name(superuser, statement, rule):
    with pytest.raises(psycopg.errors.IntegrityError) as refused:
        superuser.execute(statement)
    assert refused.value.diag.constraint_name == rule


def test_the_owner_of_the_tables_may_append_but_not_change(postgres, clock, ledger_key):
    role, name = f"app_{uuid4().hex[:8]}", f"t_{uuid4().hex[:12]}"
    postgres.execute(f"CREATE ROLE {role} LOGIN")
    postgres.execute(f"CREATE DATABASE {name} OWNER {role}")
    try:
        upgrade(postgres.url(name, role))
        database = PostgresDatabase(postgres.url(name, role), clock, ledger_key)
        with database.begin() as tx:
            tx.events.append(a_draft())
            tx.evidence.put(Evidence("evaluation", MODEL))
        with (
            postgres.connect(name, role) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for table events"),
        ):
            connection.execute("DELETE FROM events")
        database.close()
    finally:
        postgres.drop_database(name)
        postgres.execute(f"DROP ROLE {role}")


def test_the_migrations_build_what_the_tables_say(database_url):
    engine = create_engine(database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_a_missing_database_is_created_once_by_two_at_a_time(postgres, clock, ledger_key):
    name = f"t_{uuid4().hex[:12]}"
    failed = []

    def upgrade_and_note():
        try:
            upgrade(postgres.url(name))
        except Exception as error:  # noqa: BLE001 - any error of any thread fails the test below
            failed.append(error)

    threads = [threading.Thread(target=upgrade_and_note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert failed == []
        upgrade(postgres.url(name))  # once more changes nothing
        database = PostgresDatabase(postgres.url(name), clock, ledger_key)
        with database.begin() as tx:
            assert tx.events.append(a_draft()).seq == 1
        database.close()
    finally:
        postgres.drop_database(name)


def test_a_database_that_may_not_be_created_says_why(postgres):
    postgres.execute("CREATE ROLE nobody_special LOGIN")
    try:
        with pytest.raises(UnavailableError, match="permission denied to create database"):
            upgrade(postgres.url("never_there", "nobody_special"))
    finally:
        postgres.execute("DROP ROLE nobody_special")


def test_a_database_without_tables_says_what_to_run(postgres, clock, ledger_key):
    name = postgres.new_database(template="template0")
    database = PostgresDatabase(postgres.url(name), clock, ledger_key)
    try:
        with (
            pytest.raises(UnavailableError, match=r"the tables are not there[\s\S]*`python -m steward.local.schema`"),
            database.begin() as tx,
        ):
            tx.versions.all(MODEL)
    finally:
        database.close()
        postgres.drop_database(name)


def test_a_password_is_never_in_a_message(clock, ledger_key):
    database = PostgresDatabase("postgresql://anna:hush-hush@127.0.0.1:1/steward", clock, ledger_key)
    with pytest.raises(UnavailableError) as away, database.begin():
        pytest.fail("there is no server on port 1")
    assert "hush-hush" not in str(away.value)
    assert "STEWARD_DATABASE_URL" in str(away.value)


def test_evidence_altered_past_the_trigger_is_found_on_reading(superuser, filled):
    digest = Evidence("evaluation", MODEL, {"auc": 0.7}).digest
    superuser.execute("ALTER TABLE evidence DISABLE TRIGGER ALL")
    superuser.execute("UPDATE evidence SET body = '{\"auc\": 0.9}'")
    with filled.begin() as tx, pytest.raises(IntegrityError, match="was altered"):
        tx.evidence.get(digest)


def test_a_statement_the_grants_refuse_is_a_refusal_by_policy(filled):
    said = r"permission denied for table events[\s\S]*only ever appended"
    with pytest.raises(PolicyError, match=said), filled.begin() as tx:
        tx.events._work.write(delete(events))
