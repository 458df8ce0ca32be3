"""What the page of a model costs after a month and after three years of nights on 200 features, with the record in
PostgreSQL, to the last byte of the page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.postgres import APPLICATION, running_server
from tests.unit.actions.conftest import MODEL_PY, MODEL_YAML
from tests.unit.reporting.model_lives import a_window

from steward.actions.state import Services
from steward.actions.telling.model_page import WINDOWS_READ, tell_model
from steward.adapters.postgres import PostgresDatabase
from steward.approval.policy import load_policy
from steward.gates import Evidence, Outcome
from steward.ledger import EventDraft, EventType
from steward.monitoring.windows import Cause, JudgedWindow
from steward.registry import State
from steward.reporting.pages import model_page
from steward.spec import SpecFolder
from steward.testing import FrozenClock
from steward.testing.builders import NOON, a_new_version
from steward.testing.database import FAKE_KEY
from steward.testing.services import services_in_memory
from steward.types import VersionRef

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

FEATURES, MONTH, YEARS, ROUNDS = 200, 30, 1095, 5
DAY = timedelta(days=1)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    folder, clock = tmp_path / "models" / "toy", FrozenClock(NOON)
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL_YAML)
    (folder / "model.py").write_text(MODEL_PY)
    policy = load_policy(Path(__file__).parents[2] / "include" / "policy.yaml")
    in_memory = services_in_memory(SpecFolder(folder.parent), policy, clock, tmp_path)
    with running_server() as server:
        database = PostgresDatabase(server.url(server.new_database(), APPLICATION), clock, FAKE_KEY)
        with database.begin() as tx:
            tx.versions.add(a_new_version(model="toy"))
            tx.versions.move(VersionRef("toy", 1), State.CHALLENGER, State.CHAMPION)
            served = {"replaced": None, "rollout": "r1"}
            tx.events.append(EventDraft(EventType.VERSION_PROMOTED, "toy", "person:dana", "first", 1, None, served))
        yield replace(in_memory, database=database)
        database.close()


def live_on(services: Services, nights: range, features: int = FEATURES) -> None:
    """A night leaves a judged window with its evidence, and a refusal to retrain."""
    with services.database.begin() as tx:
        for night in nights:
            seen = a_window(night, NOON + night * DAY, version=1, features=features, broken=night % 4)
            assert seen.body is not None
            digest = tx.evidence.put(Evidence("window", "toy", {**seen.body, "night": night}))
            outcome = Outcome(seen.outcome)
            tx.windows.record(
                JudgedWindow("toy", 1, seen.window, outcome, (), digest, seen.window.end, {Cause.DRIFT: outcome})
            )
            told: dict[str, Any] = {"window": seen.window.to_json(), "outcome": outcome, "causes": []}
            tx.events.append(EventDraft(EventType.WINDOW_JUDGED, "toy", "steward", "held", 1, digest, told))
            tx.events.append(EventDraft(EventType.RETRAINING_DECLINED, "toy", "steward", "nothing lost", 1))


@dataclass(frozen=True)
class Page:
    """The cheapest of some rounds."""

    cpu: float
    wall: float
    size: int

    @classmethod
    def of(cls, services: Services) -> Page:
        rounds = []
        for _ in range(ROUNDS):
            cpu, wall = time.process_time(), time.perf_counter()
            page = model_page(tell_model(services, "toy"))
            rounds.append((time.process_time() - cpu, time.perf_counter() - wall))
        return cls(min(cpu for cpu, _ in rounds), min(wall for _, wall in rounds), len(page.encode()))


def test_page_of_a_long_life(report: Report, services: Services) -> None:
    live_on(services, range(MONTH))
    month = Page.of(services)
    live_on(services, range(MONTH, YEARS - WINDOWS_READ), features=2)  # too long ago to be read: light to write
    live_on(services, range(YEARS - WINDOWS_READ, YEARS))
    years = Page.of(services)
    report.table(
        f"The page of a model with {FEATURES} features",
        "the same page after a month",
        Figure(f"after {MONTH} nights", month.cpu, "CPU s", 1.0),
        Figure(f"after {YEARS} nights", years.cpu, "CPU s", years.cpu / month.cpu),
        Figure(f"after {YEARS} nights, to the last byte", years.wall, "s"),
        Figure(f"after {YEARS} nights, one file", years.size / 1000, "kB", years.size / month.size),
    )
