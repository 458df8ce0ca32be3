"""A night's monitoring of 500 models: their rows in Delta tables on disk, their counts and record in PostgreSQL.

Of each model one day is new, and outcomes came for the day before it: two days are counted, 26 are taken as they were
counted on earlier nights, the week is added up and judged, and evidence, window and event are written. Figures are CPU
seconds of this process; the server's own are told beside them. One model lives its first four weeks through the same
actions, and the others are copies of it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.postgres import PostgresServer, running_server
from tests.unit.specs import a_data_section, a_spec

from steward import actions
from steward.actions.operation import Operation
from steward.actions.state import Services
from steward.actions.windows import tallying
from steward.adapters.delta_predictions import DeltaPredictionLog
from steward.adapters.postgres import PostgresDatabase
from steward.adapters.postgres.watch import PostgresTallyTable
from steward.approval.policy import load_policy
from steward.data import PREDICTION_COLUMNS
from steward.gates import Evidence
from steward.monitoring.checks import judging
from steward.monitoring.profiles.profile import build_profile
from steward.registry import State
from steward.spec import ModelSpec, SpecFolder
from steward.testing import FrozenClock
from steward.testing.builders import a_new_version
from steward.testing.database import FAKE_KEY
from steward.testing.services import services_in_memory
from steward.types import VersionRef, Window

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

MODELS, ROWS, NUMBERS, LEVELS, NIGHTS = int(os.environ.get("BENCH_MODELS", "500")), 1000, 16, 4, 28
BUSY_ROWS = 50_000
BORN = datetime(2013, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = Path("include/policy.yaml")
FIRST = "model_000"


def the_spec(model: str) -> ModelSpec:
    features: dict[str, Any] = {f"n{i}": {"type": "number"} for i in range(NUMBERS)}
    features |= {f"c{i}": {"type": "category"} for i in range(LEVELS)}
    data = a_data_section(features, label={"column": "late", "arrives_after": "1d"})
    monitoring = {"min_rows": 1000, "performance": {"roc_auc": {"max_drop": 0.05}}, "error_rate": {"max": 0.01}}
    return a_spec(model=model, data=data, monitoring=monitoring)


def features_of(draw: np.random.Generator, rows: int) -> dict[str, Any]:
    found: dict[str, Any] = {f"n{i}": draw.normal(size=rows) for i in range(NUMBERS)}
    return found | {f"c{i}": draw.choice([f"level {j}" for j in range(12)], rows) for i in range(LEVELS)}


@dataclass
class Night:
    """One model that lived four weeks, and its copies."""

    services: Services
    clock: FrozenClock
    root: Path
    server: PostgresServer
    rows: int = ROWS
    draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @cached_property
    def profile(self) -> Any:
        scores = 1 / (1 + np.exp(-np.random.default_rng(1).normal(size=20_000)))
        rows = pd.DataFrame(features_of(np.random.default_rng(2), 20_000))
        labels = (np.random.default_rng(3).random(20_000) < scores).astype(float)
        return build_profile(the_spec(FIRST), rows, scores, labels)

    def register(self, model: str) -> None:
        with self.services.database.begin() as tx:
            profile = tx.evidence.put(Evidence("profile", model, self.profile))
            tx.versions.add(a_new_version(model=model, profile=profile))
            tx.versions.move(VersionRef(model, 1), State.CHALLENGER, State.CHAMPION)

    def serve_day(self, model: str) -> pa.Table:
        now, features = self.clock.now(), features_of(self.draw, self.rows)
        at = [now + timedelta(seconds=80_000 / self.rows * place) for place in range(self.rows)]
        columns: dict[str, Any] = {
            "decision_id": [f"{now:%j}-{place}" for place in range(self.rows)],
            "request_key": ["k"] * self.rows,
            "version": [1] * self.rows,
            "role": ["champion"] * self.rows,
            "epoch": [1] * self.rows,
            "at": at,
            "recorded_at": at,
            "latency_ms": self.draw.gamma(4, 5, self.rows),
            "error": [None] * self.rows,
            "score": 1 / (1 + np.exp(-self.draw.normal(size=self.rows))),
        }
        columns = {name: columns.get(name, [None] * self.rows) for name in PREDICTION_COLUMNS}
        rows = pa.table(columns | {f"f_{name}": values for name, values in features.items()})
        self.services.predictions.append(model, rows)
        return rows

    def tell(self, model: str, rows: pa.Table) -> None:
        now = [self.clock.now()] * self.rows
        labels = (self.draw.random(self.rows) < rows["score"].to_numpy()).astype(float)
        told = {"decision_id": rows["decision_id"], "label": labels, "observed_at": now, "recorded_at": now}
        self.services.predictions.append_outcomes(model, pa.table(told))

    def judge(self, model: str) -> Any:
        run = f"night {self.clock.now():%Y-%m-%d}"
        return actions.judge_window(self.services, the_spec(model), run=run, actor="airflow:bench")

    def live(self, model: str, nights: int = NIGHTS) -> None:
        """Days, each judged the night after; then one that nobody has judged yet."""
        self.register(model)
        yesterday = None
        for night in range(nights + 1):
            rows = self.serve_day(model)
            self.clock.advance(DAY - timedelta(hours=1))
            if yesterday is not None:
                self.tell(model, yesterday)
            self.clock.advance(timedelta(hours=1))
            yesterday = rows
            if night < nights:
                self.judge(model)
        self.services.predictions.maintain(model, BORN)

    def copy(self, model: str) -> None:
        now = self.clock.now()
        self.clock.set(BORN)
        self.register(model)
        self.clock.set(now)
        for kind in ("predictions", "outcomes"):
            shutil.copytree(self.root / kind / FIRST, self.root / kind / model, copy_function=os.link)
        with self.services.database.begin() as tx:
            against = tallying.counted_against(the_spec(model), tx.versions.get(VersionRef(model, 1)))
            for counted in tx.tallies.days(FIRST, 1, BORN.date(), now.date()):
                tally = replace(counted.tally, profile=against)
                tx.tallies.record(replace(counted, model=model, tally=tally))
            for judged in tx.windows.recent(FIRST, NIGHTS):
                tx.windows.record(replace(judged, model=model))


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    folder, clock = tmp_path, FrozenClock(BORN)
    (folder / "models").mkdir()
    with running_server() as server:
        database = PostgresDatabase(server.url(server.new_database()), clock, FAKE_KEY)
        in_memory = services_in_memory(SpecFolder(folder / "models"), load_policy(POLICY), clock, folder)
        log = DeltaPredictionLog(str(folder / "log"))
        yield Night(replace(in_memory, database=database, predictions=log), clock, folder / "log", server)
        database.close()


class Spent:
    """CPU seconds of this process inside the functions it was put around. What one calls of another counts once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = 0.0
        self._patch = monkeypatch

    def around(self, owner: Any, name: str, what: str) -> None:
        function = getattr(owner, name)

        def timed(*given: Any, **named: Any) -> Any:
            outer, self._inside, started = self._inside, 0.0, time.process_time()
            try:
                return function(*given, **named)
            finally:
                whole = time.process_time() - started
                self.seconds[what] = self.seconds.get(what, 0.0) + whole - self._inside
                self._inside = outer + whole

        self._patch.setattr(owner, name, timed)


def test_a_night_of_500_models(report: Report, night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    night.live(FIRST)
    models = [f"model_{place:03d}" for place in range(1, MODELS)]
    for model in models:
        night.copy(model)
    night.judge(FIRST)  # imports are paid once a process
    counted: list[Any] = []
    monkeypatch.setattr(tallying, "_count", noting(tallying._count, counted))
    spent = Spent(monkeypatch)
    spent.around(tallying, "_count", "reading and counting two days")
    spent.around(tallying, "_told_since", "asking which days outcomes came for")
    spent.around(PostgresTallyTable, "days", "fetching the counts of earlier days")
    spent.around(judging, "judge", "judging")
    spent.around(Operation, "commit", "writing evidence, window and event")
    servers = postgres_seconds(night.server)
    whole, answers = cpu(lambda: [night.judge(model) for model in models])
    servers = postgres_seconds(night.server) - servers
    assert len(counted) == 2 * len(models)
    assert {answer["caught_up"] for answer in answers} == {0}
    assert {answer["outcome"] for answer in answers} <= {"PASSED", "INCONCLUSIVE"}, answers[0]["reasons"]
    again, _ = cpu(lambda: [read_the_week(night, model) for model in models])
    each = whole / len(models)
    rest = whole - sum(spent.seconds.values())
    report.headline(
        f"A night of {MODELS} models, CPU s per model, beside reading each week's rows again",
        each,
        again / len(models),
        "s",
    )
    report.table(
        f"A night's monitoring, {MODELS} models × {NUMBERS + LEVELS} features × {ROWS:,} rows a day, per model",
        "reading the week's rows again",
        Figure("reading the week's rows again, nothing judged", again / len(models), "CPU s", 1.0),
        Figure("a monitor run", each, "CPU s", whole / again),
        *(Figure(f"of that, {what}", s / len(models), "CPU s", s / again) for what, s in sorted(spent.seconds.items())),
        Figure("of that, the rest", rest / len(models), "CPU s", rest / again),
        Figure("the database server, beside it", servers / len(models), "CPU s", servers / again),
        Figure("the whole night, one process", whole, "CPU s"),
    )


def test_a_night_of_a_busy_model(report: Report, night: Night) -> None:
    night.rows = BUSY_ROWS
    night.live(FIRST, nights=7)
    run, answer = cpu(lambda: night.judge(FIRST))
    week, rows = cpu(lambda: read_the_week(night, FIRST))
    assert (answer["caught_up"], rows) == (0, 7 * BUSY_ROWS)
    report.headline(
        f"A monitor run at {BUSY_ROWS:,} rows a day, beside reading its week as a frame", run, week, "CPU s"
    )
    report.table(
        f"A monitor run of one model, {BUSY_ROWS:,} rows a day × {NUMBERS + LEVELS} features",
        "reading the week's rows again",
        Figure("reading the week's rows again, nothing judged", week, "CPU s", 1.0),
        Figure("a monitor run: two days counted, the week judged", run, "CPU s", run / week),
    )


def noting(function: Callable[..., Any], done: list[Any]) -> Callable[..., Any]:
    def noted(*given: Any) -> Any:
        done.append(given)
        return function(*given)

    return noted


def read_the_week(night: Night, model: str) -> int:
    return len(night.services.predictions.served(model, Window.ending(night.clock.now(), 7 * DAY)))


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def postgres_seconds(server: PostgresServer) -> float:
    """Of the server and its children that are still there: the pool's one connection is."""
    first = psutil.Process(int((server.folder / "data" / "postmaster.pid").read_text().split()[0]))
    times = [each.cpu_times() for each in (first, *first.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))
