"""Any transaction's reads over all models at once: each the same as asking model by model."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event
from tests.postgres import APPLICATION
from tests.unit.inventory.estate import plant_estate

from steward.actions import audit_inventory
from steward.actions.governance import surveying
from steward.actions.telling.portfolio import tell_portfolio
from steward.adapters.postgres import PostgresDatabase
from steward.errors import IntegrityError
from steward.gates import Evidence
from steward.inventory.record import Places
from steward.ledger import ALL_MODELS, EventType
from steward.monitoring.windows import IncidentState
from steward.registry import State
from steward.rollout import RolloutState
from steward.testing import FakeDatabase
from steward.testing.builders import (
    NOON,
    WEEK,
    a_draft,
    a_judged_window,
    a_new_version,
    a_rollout,
    an_incident,
)
from steward.types import VersionRef, Window, digest_of

A, B = "alpha", "beta"
NEXT_WEEK = Window.ending(WEEK.end + timedelta(days=7), timedelta(days=7))


def test_versions_of_every_model_come_by_model_and_number(database):
    with database.begin() as tx:
        for model in (B, A, A):
            tx.versions.add(a_new_version(model=model))
        tx.versions.move(VersionRef(A, 2), State.CHALLENGER, State.CHAMPION)
    with database.begin() as tx:
        found = tx.versions.everywhere()
        assert [str(version.ref) for version in found] == ["alpha@1", "alpha@2", "beta@1"]
        assert found == [*tx.versions.all(A), *tx.versions.all(B)]


def test_the_newest_window_of_every_version(database):
    judged = [(B, 1, WEEK), (A, 2, WEEK), (A, 1, NEXT_WEEK), (A, 1, WEEK), (A, 2, NEXT_WEEK)]
    with database.begin() as tx:
        for model, version, window in judged:
            tx.windows.record(a_judged_window(model=model, version=version, window=window))
    with database.begin() as tx:
        found = tx.windows.latest_everywhere()
    assert [(w.model, w.version, w.window) for w in found] == [(A, 1, NEXT_WEEK), (A, 2, NEXT_WEEK), (B, 1, WEEK)]


def test_the_newest_event_of_each_type_about_every_model(database):
    asked, began = EventType.RETRAINING_REQUESTED, EventType.SNAPSHOT_TAKEN
    said = [(A, asked), (B, asked), (A, began), (A, asked), (B, EventType.WINDOW_JUDGED), (A, EventType.WINDOW_JUDGED)]
    with database.begin() as tx:
        told = [tx.events.append(a_draft(kind, model=model, body={"n": n})) for n, (model, kind) in enumerate(said)]
    with database.begin() as tx:
        assert tx.events.newest([asked, began]) == [told[1], told[2], told[3]]
        assert tx.events.newest([asked, began], [A]) == [told[2], told[3]]
        assert tx.events.newest([asked], []) == tx.events.newest([]) == []


def test_every_model_that_an_event_is_about(database):
    with database.begin() as tx:
        assert tx.events.models() == set()
        for model in (B, A, A, ALL_MODELS):
            tx.events.append(a_draft(EventType.WINDOW_JUDGED, model=model))
    with database.begin() as tx:
        assert tx.events.models() == {A, B}


def test_running_rollouts_of_every_model_by_model(database):
    with database.begin() as tx:
        for model in (B, A):
            tx.rollouts.start(a_rollout(id=f"of-{model}", model=model))
        over = tx.rollouts.start(a_rollout(id="over", model="gamma"))
        tx.rollouts.save(replace(over, state=RolloutState.COMPLETED), over.epoch)
    with database.begin() as tx:
        found = tx.rollouts.running_everywhere()
        assert [rollout.id for rollout in found] == [f"of-{A}", f"of-{B}"]
        assert found == [tx.rollouts.running(A), tx.rollouts.running(B)]


def test_unresolved_incidents_of_every_model_oldest_first(database):
    with database.begin() as tx:
        tx.incidents.save(an_incident(id="new", model=A, opened_at=NOON + timedelta(days=1)))
        tx.incidents.save(an_incident(id="old", model=B))
        tx.incidents.save(an_incident(id="over", model=A, cause="data", state=IncidentState.RESOLVED))
        tx.incidents.save(an_incident(id="seen", model=B, cause="data", state=IncidentState.ACKNOWLEDGED))
    with database.begin() as tx:
        assert [incident.id for incident in tx.incidents.unresolved_everywhere()] == ["old", "seen", "new"]


def test_evidence_by_many_digests(database):
    kept = [Evidence("snapshot", model, {"n": 0.1 + 0.2}) for model in (A, B)]
    with database.begin() as tx:
        digests = [tx.evidence.put(each) for each in kept]
    with database.begin() as tx:
        assert tx.evidence.get_all([*digests, digest_of("nothing")]) == dict(zip(digests, kept, strict=True))
        assert tx.evidence.get_all([]) == {}


def test_altered_evidence_is_never_handed_out(postgres, database_name, postgres_database):
    with postgres_database.begin() as tx:
        digest = tx.evidence.put(Evidence("snapshot", A, {"rows": 10}))
    postgres.execute("ALTER TABLE evidence DISABLE TRIGGER ALL", database_name)
    postgres.execute("""UPDATE evidence SET body = '{"rows": 11}'""", database_name)
    with postgres_database.begin() as tx, pytest.raises(IntegrityError, match="was altered"):
        tx.evidence.get_all([digest])


def masked(told):
    """Without what holds the name of a folder."""
    return [{**row, "fault": None, "health": row["health"]["state"]} for row in told["rows"]]


@contextmanager
def questions():
    """Every statement that goes to PostgreSQL meanwhile, but for what opens and closes a transaction."""
    asked = []

    def note(connection, cursor, statement, *rest):
        if statement.lstrip().startswith("SELECT"):
            asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_the_portfolio_asks_one_question_per_table_and_none_per_model(tmp_path, postgres, ledger_key):
    """Retired, broken and undeclared models are among them; the fake tells the same."""
    numbers = []
    for models in (50, 80):
        name, real = postgres.new_database(), []

        def connect(clock, name=name, real=real):
            real.append(PostgresDatabase(postgres.url(name, APPLICATION), clock, ledger_key))
            return real[0]

        (tmp_path / name).mkdir()
        services = plant_estate(tmp_path / name, models=models, per_rule=1, database=connect).services
        with questions() as asked:
            told = tell_portfolio(services, Places())
        real[0].close()
        numbers.append(len(asked))
    assert numbers[0] == numbers[1] <= 11
    (tmp_path / "fake").mkdir()
    fake = tell_portfolio(plant_estate(tmp_path / "fake", models=80, per_rule=1).services, Places())
    assert masked(fake) == masked(told)


def test_an_audit_finds_the_same_and_keeps_it_once(tmp_path, database_url, ledger_key, monkeypatch):
    monkeypatch.setattr(surveying, "PROBES_A_NIGHT", 60)

    def connect(clock):
        real.append(PostgresDatabase(database_url, clock, ledger_key))
        return real[0]

    real, found = [], []
    for name, database in (("fake", FakeDatabase), ("postgres", connect)):
        (tmp_path / name).mkdir()
        estate = plant_estate(tmp_path / name, models=60, per_rule=1, database=database)
        first, again = (audit_inventory(estate.services, actor="airflow:audit") for _ in range(2))
        assert (first["new"], again["new"], again["findings"]) == (len(estate.truth), 0, len(estate.truth))
        found.append(first["rules"])
    real[0].close()
    assert found[0] == found[1]
