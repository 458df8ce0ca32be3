"""What looking after 500 models costs every ten minutes: their record in PostgreSQL, their answers in Delta tables."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.postgres import running_server
from tests.unit.actions.conftest import MODEL_PY, MODEL_YAML

from steward import actions
from steward.actions.state import Services
from steward.adapters.delta_predictions import DeltaPredictionLog
from steward.adapters.postgres import PostgresDatabase
from steward.approval.policy import load_policy
from steward.data import PREDICTION_COLUMNS
from steward.gates import Outcome
from steward.ledger import EventType
from steward.monitoring.windows import JudgedWindow
from steward.registry import State
from steward.rollout import Route
from steward.spec import SpecFolder
from steward.testing import FrozenClock
from steward.testing.builders import a_draft, a_new_version
from steward.testing.database import FAKE_KEY
from steward.testing.services import services_in_memory
from steward.types import VersionRef, Window

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

MODELS, ROWS = int(os.environ.get("BENCH_MODELS", "500")), 1000
POLICY = Path("include/policy.yaml")


@dataclass
class Estate:
    """Every model has a champion that was promoted a while ago and judged since."""

    services: Services
    clock: FrozenClock
    models: list[str]

    def release(self, model: str) -> None:
        with self.services.database.begin() as tx:
            for _ in range(2):
                tx.versions.add(a_new_version(model=model))
            for number in (1, 2):
                if number == 2:
                    tx.versions.move(VersionRef(model, 1), State.CHAMPION, State.SUPERSEDED)
                tx.versions.move(VersionRef(model, number), State.CHALLENGER, State.CHAMPION)
                body = {"replaced": 1 if number == 2 else None, "epoch": number}
                tx.events.append(a_draft(EventType.VERSION_PROMOTED, model=model, version=number, body=body))
            tx.routes.set(Route(model, 2, None, 0, 2, self.clock.now()))

    def judge(self) -> None:
        end = self.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        window = Window(end - timedelta(days=7), end)
        with self.services.database.begin() as tx:
            for model in self.models:
                judged = JudgedWindow(model, 2, window, Outcome.PASSED, (), "e" * 64, self.clock.now())
                tx.windows.record(judged)

    def stand_by(self) -> None:
        """Version 1 of every model stands by, and version 2 answered requests."""
        with self.services.database.begin() as tx:
            for route in tx.routes.all():
                tx.routes.set(replace(route, standby=1, epoch=3))
        for model in self.models:
            self.services.predictions.append(model, self._answers())

    def _answers(self) -> pa.Table:
        now = datetime.now(UTC)
        known: dict[str, Any] = {
            "decision_id": [f"d{place}" for place in range(ROWS)],
            "version": [2] * ROWS,
            "role": ["champion"] * ROWS,
            "epoch": [2] * ROWS,
            "at": [now] * ROWS,
            "recorded_at": [now] * ROWS,
            "latency_ms": [2.0] * ROWS,
            "score": np.linspace(0, 1, ROWS),
        }
        return pa.table({name: known.get(name, [None] * ROWS) for name in PREDICTION_COLUMNS})

    def heal(self) -> None:
        done = actions.heal(self.services, actor="airflow:bench")
        assert (done["found"], done["faults"]) == ([], [])


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    clock, models = FrozenClock(datetime.now(UTC)), [f"model_{place:03d}" for place in range(MODELS)]
    for model in models:
        folder = tmp_path / "models" / model
        folder.mkdir(parents=True)
        (folder / "model.yaml").write_text(MODEL_YAML.replace("model: toy", f"model: {model}", 1))
        (folder / "model.py").write_text(MODEL_PY)
    with running_server() as server:
        database = PostgresDatabase(server.url(server.new_database()), clock, FAKE_KEY)
        in_memory = services_in_memory(SpecFolder(tmp_path / "models"), load_policy(POLICY), clock, tmp_path)
        log = DeltaPredictionLog(str(tmp_path / "log"))
        services = replace(in_memory, database=database, predictions=log, wall=lambda: datetime.now(UTC))
        estate = Estate(services, clock, models)
        for model in models:
            estate.release(model)
        yield estate
        database.close()


def test_looking_after_500_models(report: Report, estate: Estate) -> None:
    estate.judge()
    quiet = spent(estate.heal)
    estate.clock.advance(timedelta(hours=3))
    first, known = spent(estate.heal), spent(estate.heal)
    estate.stand_by()
    spent(estate.heal)  # imports are paid once a process
    watched = spent(estate.heal)
    report.table(
        f"Healing with nothing to heal, {MODELS} models, CPU and wall seconds of one run",
        "all monitors judged within two hours",
        Figure("all monitors judged within two hours: no spec is read", quiet[0], "CPU s", 1.0),
        Figure("the same, by the clock on the wall", quiet[1], "s"),
        Figure(
            "none judged within two hours: every spec is read, in a new process", first[0], "CPU s", first[0] / quiet[0]
        ),
        Figure("the same with the specs known", known[0], "CPU s", known[0] / quiet[0]),
        Figure(f"every champion new, {ROWS:,} answers each judged", watched[0], "CPU s", watched[0] / quiet[0]),
        Figure("the same, by the clock on the wall", watched[1], "s"),
    )


def spent(work: Callable[[], None]) -> tuple[float, float]:
    """CPU and wall seconds."""
    cpu, wall = time.process_time(), time.monotonic()
    work()
    return time.process_time() - cpu, time.monotonic() - wall
