"""Where a server of a running stack gets its routes, versions and smoke rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from steward.errors import IntegrityError, NotFoundError, PolicyError, SpecError, UnavailableError
from steward.gates import Evidence
from steward.ledger import EventDraft, EventType
from steward.registry import ModelVersion, NewVersion, State
from steward.rollout import Route
from steward.serving.routing.sources import LedgerSources
from steward.spec import ModelSpec
from steward.testing import FakeDatabase
from steward.training import LoggedModel
from steward.types import VersionRef, Window

from .conftest import MODEL, ROW, make_spec

SMOKE = [{"row": ROW, "expect": {"max": 0.5}}]
QUARTER = Window(datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 4, 1, tzinfo=UTC))


class FakeModelStore:
    def fetch(self, logged: LoggedModel) -> Path:
        return Path("/artefacts") / logged.run_id / logged.digest

    def load(self, logged: LoggedModel) -> Any:
        raise AssertionError("a server loads by itself, from its own verified copy")


@pytest.fixture
def sources(fake_database: FakeDatabase) -> LedgerSources:
    services: Any = SimpleNamespace(
        database=fake_database, specs=SimpleNamespace(get=lambda model: make_spec()), models=FakeModelStore()
    )
    return LedgerSources(services)


def release(database: FakeDatabase, smoke: list[dict[str, Any]] | None) -> None:
    with database.begin() as transaction:
        evidence = {}
        if smoke is not None:
            evidence["training"] = transaction.evidence.put(Evidence("training", MODEL, {"smoke": smoke}))
        transaction.versions.add(
            NewVersion(MODEL, State.CHALLENGER, "ada", "spec", "run-1", "uri", "digest", QUARTER, evidence=evidence)
        )
        transaction.routes.set(Route(MODEL, None, 1, 100, 1, datetime(2013, 4, 1, tzinfo=UTC)))


def test_a_release_is_found_with_its_smoke_rows(fake_database: FakeDatabase, sources: LedgerSources) -> None:
    release(fake_database, SMOKE)
    (route,) = sources.routes()
    version = sources.version(VersionRef(route.model, route.canary or 0))
    assert sources.fetch(version) == Path("/artefacts/run-1/digest")
    assert sources.smoke(version) == SMOKE
    assert sources.spec(version).model == MODEL


def test_a_version_without_training_evidence_has_no_smoke_rows(
    fake_database: FakeDatabase, sources: LedgerSources
) -> None:
    release(fake_database, None)
    assert sources.smoke(sources.version(VersionRef(MODEL, 1))) == []


def test_a_version_nobody_registered_is_not_found(sources: LedgerSources) -> None:
    with pytest.raises(NotFoundError):
        sources.version(VersionRef(MODEL, 9))


def test_a_closed_endpoint_is_told_with_its_reason(fake_database: FakeDatabase, sources: LedgerSources) -> None:
    assert sources.closed(MODEL) is None
    with fake_database.begin() as transaction:
        transaction.events.append(EventDraft(EventType.ENDPOINT_CLOSED, MODEL, "airflow:olga", "superseded; ask heir"))
    assert sources.closed(MODEL) == "switched off for good on 2013-06-01: superseded; ask heir"


def test_the_route_of_a_batch_target_is_nobody_elses_business(fake_database: FakeDatabase) -> None:
    """Nor while its spec is broken: what it was last still stands."""
    spec = make_spec()
    batch = spec.model_copy(update={"deployment": spec.deployment.model_copy(update={"target": "batch"})})
    specs = [batch, NotFoundError("the file is broken")]

    def get(model: str) -> Any:
        found = specs.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    services: Any = SimpleNamespace(database=fake_database, specs=SimpleNamespace(get=get), models=FakeModelStore())
    release(fake_database, None)
    sources = LedgerSources(services)
    assert sources.routes() == []
    assert sources.routes() == []


def test_whom_a_model_is_for_is_never_guessed(fake_database: FakeDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that goes away between two questions: what would be a batch model's route is not served meanwhile."""
    services: Any = SimpleNamespace(database=fake_database, specs=SimpleNamespace(get=lambda model: make_spec()))
    release(fake_database, None)
    sources = LedgerSources(services)

    def away(ref: VersionRef) -> ModelVersion:
        raise UnavailableError("gone", where=str(ref))

    monkeypatch.setattr(sources, "version", away)
    with pytest.raises(UnavailableError):
        sources.routes()


def version_of(database: FakeDatabase, sources: LedgerSources, state: State = State.CHALLENGER) -> ModelVersion:
    with database.begin() as transaction:
        added = transaction.versions.add(NewVersion(MODEL, state, "ada", "spec", "run-1", "uri", "digest", QUARTER))
    return sources.version(added.ref)


def record(database: FakeDatabase, kind: EventType, **body: Any) -> None:
    with database.begin() as transaction:
        evidence = body.pop("evidence", None)
        actor = body.pop("actor", "airflow:olga")
        transaction.events.append(EventDraft(kind, MODEL, actor, "as it happened", 1, evidence, body))


def begin_rollout(database: FakeDatabase, approval: str | None) -> None:
    record(database, EventType.ROLLOUT_STARTED, approval=approval, previous=None, rollout="r-1")


def test_the_spec_is_the_one_it_was_registered_under(fake_database: FakeDatabase, sources: LedgerSources) -> None:
    version, then = version_of(fake_database, sources), make_spec(features={"distance": {"type": "number"}})
    record(fake_database, EventType.VERSION_REGISTERED, spec=then.model_dump(mode="json"))
    assert sources.spec(version).digest == then.digest != make_spec().digest


def test_a_broken_file_does_not_matter_to_what_is_served(fake_database: FakeDatabase) -> None:
    def broken(model: str) -> ModelSpec:
        raise SpecError("risk_teir: unknown key", where=f"{model}/model.yaml")

    services: Any = SimpleNamespace(database=fake_database, specs=SimpleNamespace(get=broken))
    sources = LedgerSources(services)
    version = version_of(fake_database, sources)
    record(fake_database, EventType.VERSION_REGISTERED, spec=make_spec().model_dump(mode="json"))
    assert sources.spec(version).model == MODEL
    with fake_database.begin() as transaction:
        transaction.routes.set(Route(MODEL, 1, None, 0, 1, datetime(2013, 4, 1, tzinfo=UTC)))
    assert [route.model for route in sources.routes()] == [MODEL]


def test_a_version_that_no_rollout_was_begun_of_is_refused(fake_database: FakeDatabase, sources: LedgerSources) -> None:
    version = version_of(fake_database, sources)
    with pytest.raises(PolicyError, match="holds no release"):
        sources.check_released(version)
    begin_rollout(fake_database, None)
    sources.check_released(version)


@pytest.mark.parametrize("state", [State.REJECTED, State.RETIRED])
def test_a_version_that_may_not_serve_any_more_is_refused(
    fake_database: FakeDatabase, sources: LedgerSources, state: State
) -> None:
    version = version_of(fake_database, sources, state)
    begin_rollout(fake_database, None)
    with pytest.raises(PolicyError, match=f"it is {state}"):
        sources.check_released(version)


def test_a_release_on_an_approval_needs_the_answers_in_the_record(
    fake_database: FakeDatabase, sources: LedgerSources
) -> None:
    version = version_of(fake_database, sources)
    begin_rollout(fake_database, "q-1")
    with pytest.raises(IntegrityError, match="approval q-1, which the record does not hold"):
        sources.check_released(version)
    record(fake_database, EventType.APPROVAL_REQUESTED, request="q-1", evidence="e", policy={"quorum": 2})
    yes = {"request": "q-1", "evidence": "e", "approved": True}
    record(fake_database, EventType.APPROVAL_ANSWERED, **yes, actor="airflow:vera", state="open")
    with pytest.raises(IntegrityError, match="approval q-1"):
        sources.check_released(version)
    record(fake_database, EventType.APPROVAL_ANSWERED, **yes, actor="airflow:mia", state="approved")
    sources.check_released(version)


def test_a_release_that_was_written_by_hand_is_refused(
    fake_database: FakeDatabase, sources: LedgerSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = version_of(fake_database, sources)
    begin_rollout(fake_database, None)
    with fake_database.begin() as transaction:
        events = type(transaction.events)
    monkeypatch.setattr(events, "is_genuine", lambda log, event: False)
    with pytest.raises(IntegrityError, match="was not signed with this ledger's key"):
        sources.check_released(version)


def test_another_artefact_than_the_one_registered_is_refused(
    fake_database: FakeDatabase, sources: LedgerSources
) -> None:
    """Somebody wrote another digest into the table, and put the files beside it."""
    version = version_of(fake_database, sources)
    with fake_database.begin() as transaction:
        training = transaction.evidence.put(Evidence("training", MODEL, {"logged": {"digest": "digest"}}))
    record(fake_database, EventType.VERSION_REGISTERED, training=training)
    begin_rollout(fake_database, None)
    sources.check_released(version)
    with pytest.raises(IntegrityError, match="the table says artefact other"):
        sources.check_released(replace(version, artefact_digest="other"))


def test_earlier_champions_are_those_that_may_come_back_the_newest_first(
    fake_database: FakeDatabase, sources: LedgerSources
) -> None:
    for number in (1, 2, 3, 4):
        with fake_database.begin() as tx:
            run = f"run-{number}"
            tx.versions.add(NewVersion(MODEL, State.CHALLENGER, "ada", "spec", run, "uri", "digest", QUARTER))
            ref = VersionRef(MODEL, number)
            if champion := tx.versions.champion(MODEL):
                after = State.REJECTED if champion.number == 2 else State.SUPERSEDED  # 2 was rolled back for cause
                tx.versions.move(champion.ref, State.CHAMPION, after)
            tx.versions.move(ref, State.CHALLENGER, State.CHAMPION)
            tx.events.append(EventDraft(EventType.VERSION_PROMOTED, MODEL, "t", "it took over", number))
    assert sources.earlier(VersionRef(MODEL, 4)) == [VersionRef(MODEL, 3), VersionRef(MODEL, 1)]
