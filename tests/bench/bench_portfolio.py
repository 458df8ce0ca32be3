"""What it costs to show the portfolio of 500 models: their specs on disk, their record in PostgreSQL, to the last byte
of the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.bench.bench_inventory import POLICY, VERSIONS, fill, write_models
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.postgres import PostgresServer, running_server
from tests.unit.inventory.estate import NOW

from steward.actions.state import Services
from steward.actions.telling.portfolio import Memory, tell_portfolio
from steward.adapters.postgres import PostgresDatabase
from steward.approval.policy import load_policy
from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.inventory.record import Places
from steward.ledger import EventDraft, EventType
from steward.monitoring.windows import Cause, JudgedWindow
from steward.reporting.pages import portfolio_fragment, portfolio_page
from steward.spec import SpecFolder
from steward.testing import FrozenClock
from steward.testing.builders import a_request, an_incident
from steward.testing.database import FAKE_KEY
from steward.testing.services import services_in_memory
from steward.types import JsonObject, Window, digest_of

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

MODELS, FEW, NIGHTS, ROUNDS = 500, 50, 10, 3
FEATURES, SLICES, DAYS_COUNTED = 15, 20, 60
PLACES = Places("http://localhost:8000/v2/models/{model}/infer")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_server() as found:
        yield found


@contextmanager
def estate(server: PostgresServer, folder: Path, count: int) -> Iterator[Services]:
    clock = FrozenClock(NOW)
    models = write_models(folder / "models", count)
    database = PostgresDatabase(server.url(server.new_database()), clock, FAKE_KEY)
    in_memory = services_in_memory(SpecFolder(folder / "models"), load_policy(POLICY), clock, folder)
    for place, model in enumerate(models):
        fill(database, clock, model)
        tell_nights(database, clock, model, place)
    clock.set(NOW)
    yield replace(in_memory, database=database)
    database.close()


def tell_nights(database: PostgresDatabase, clock: FrozenClock, model: str, place: int) -> None:
    """Some nights of decisions on retraining, last night's window in full, and of some models trouble."""
    lost, drifts = place % 10 == 0, place % 4 == 0
    with database.begin() as tx:
        for night in range(NIGHTS, 0, -1):
            clock.set(NOW - timedelta(days=night))
            body: JsonObject = {"trigger": None, "detail": {"triggers": [], "safeguards": [{"name": "x" * 200}] * 8}}
            said = EventDraft(
                EventType.RETRAINING_DECLINED, model, "airflow:monitor", "nothing asks for it", 4, None, body
            )
            tx.events.append(said)
        evidence = Evidence("window", model, window_body(lost=lost, drifts=drifts))
        outcomes = {
            Cause.DRIFT: Outcome.FAILED if drifts else Outcome.PASSED,
            Cause.PERFORMANCE: Outcome.FAILED if lost else Outcome.PASSED,
        }
        causes = tuple(cause for cause, outcome in outcomes.items() if outcome is Outcome.FAILED)
        window = Window.ending(NOW - timedelta(hours=3), timedelta(days=7))
        whole = Outcome.FAILED if causes else Outcome.PASSED
        digest = tx.evidence.put(evidence)
        tx.windows.record(JudgedWindow(model, VERSIONS, window, whole, causes, digest, NOW, outcomes))
        for cause in causes:
            tx.incidents.save(an_incident(id=f"{model}-{cause}", model=model, version=VERSIONS, cause=cause.value))
        if place % 20 == 0:
            tx.approvals.open(a_request(id=f"of-{model}", model=model, version=VERSIONS))


def window_body(*, lost: bool, drifts: bool) -> JsonObject:
    """As large as that of a model with some features and slices."""
    reason = "PSI is 0.04 on 1900 rows, within the limit 0.25, and chance alone gives up to 0.02 with so few rows"
    findings = [
        Finding(f"drift.{check}:feature_{place:02d}", outcome_of(drifts and not place), reason, 0.04, 0.25, rows=1900)
        for place in range(FEATURES)
        for check in ("psi", "missing", "levels")
    ]
    findings += [
        Finding(
            "performance.roc_auc",
            outcome_of(lost and not place),
            reason,
            0.7,
            0.03,
            f"slice_{place}" if place else "overall",
            90,
        )
        for place in range(SLICES)
    ]
    days = {str((NOW - timedelta(days=day)).date()): digest_of(day) for day in range(DAYS_COUNTED)}
    return {
        "verdict": Verdict.of(findings).to_json(),
        "rows": 1900,
        "counted": {"against": digest_of("p"), "days": days},
    }


def outcome_of(failed: bool) -> Outcome:
    return Outcome.FAILED if failed else Outcome.PASSED


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and of the CPU in this process; the rest is PostgreSQL's."""

    wall: float
    cpu: float


def spent(work: Callable[[], Any]) -> Spent:
    """The fastest of some rounds."""
    found = []
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found.append(Spent(time.perf_counter() - wall, time.process_time() - cpu))
    return min(found, key=lambda each: each.wall)


def shown(services: Services, specs: SpecFolder | None = None, memory: Memory | None = None) -> str:
    known = services if specs is None else replace(services, specs=specs)
    return portfolio_fragment(tell_portfolio(known, PLACES, memory=memory), live=True)


def test_portfolio_of_500_models(report: Report, server: PostgresServer, tmp_path: Path) -> None:
    with estate(server, tmp_path / "few", FEW) as services:
        services.specs.all()
        few = spent(lambda: shown(services))
    with estate(server, tmp_path / "many", MODELS) as services:
        folder, memory = services.specs.folder, Memory()
        first = spent(lambda: shown(services, SpecFolder(folder)))
        specs = spent(lambda: SpecFolder(folder).all())
        services.specs.all()
        again = spent(lambda: shown(services))
        shown(services, memory=memory)
        remembered = spent(lambda: shown(services, memory=memory))
        view = tell_portfolio(services, PLACES, memory=memory)
        told = spent(lambda: tell_portfolio(services, PLACES, memory=memory))
        rendered = spent(lambda: portfolio_fragment(view, live=True))
    assert len(view["rows"]) == MODELS
    assert portfolio_page(view).count("<tr data-state") == MODELS
    rows = [
        ("first page of a process, nothing read before", first),
        ("of that, specs and their code", specs),
        ("page, specs read before", again),
        ("page, specs and last night's windows read before", remembered),
        ("of that, telling", told),
        ("of that, rendering", rendered),
    ]
    report.table(
        f"The portfolio page of {MODELS} models in PostgreSQL, beside that of {FEW}",
        f"page of {FEW} models, specs read before",
        Figure(f"page of {FEW} models, specs read before", few.wall, "s", 1.0),
        *(Figure(what, each.wall, "s", each.wall / few.wall) for what, each in rows),
        *(Figure(f"{what}, CPU", each.cpu, "CPU s") for what, each in rows),
    )
