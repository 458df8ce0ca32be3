"""A whole life in memory: real rooms and actions, fakes behind every Protocol, a small model that learns in a blink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from steward import actions
from steward.actions.state import Services
from steward.approval.policy import load_policy
from steward.data import PREDICTION_COLUMNS
from steward.inventory.stages import load_stages
from steward.spec import ModelSpec, SpecFolder
from steward.testing import FrozenClock
from steward.testing.data_stores import FakePredictionLog
from steward.testing.services import services_in_memory
from steward.testing.tracking import FakeTracker
from steward.types import JsonObject, VersionRef

MODEL_YAML = """
model: toy
title: A toy
purpose: To be tested.
owner: {team: tests, name: Olga, email: olga@example.com, user: olga}
risk_tier: medium
task: binary_classification
data:
  id: id
  time: at
  label: {column: y, arrives_after: 1d}
  features: {x: {type: number}}
  min_rows: 100
training: {window: {days: 20}, params: {C: 1.0}, seed: 3}
evaluation:
  holdout: {days: 5}
  metrics: {roc_auc: {min: 0.7, not_worse_than_champion: 0.05}}
deployment:
  steps: [20, 50, 100]
  bake: {requests: 100, at_most: 10m}
  smoke: model:examples
  guardrails: {error_rate: {max: 0.02}, prediction_psi: {max: 0.25}}
monitoring:
  window: {days: 7}
  min_rows: 100
  performance: {roc_auc: {max_drop: 0.05}}
retraining: {when: {failed_windows: 1, of: 2}, cooldown: 3d, budget: {runs: 2, per: 30d}}
"""
MODEL_PY = """
import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

def load(start, end):
    hours = pd.date_range(start, end, freq="30min", inclusive="left", tz="UTC")
    draw = np.random.default_rng(int(start.timestamp()) % 2**32)
    x = draw.normal(size=len(hours))
    y = (draw.random(len(hours)) < 1 / (1 + np.exp(-2 * x))).astype(float)
    return pd.DataFrame({"id": hours.strftime("%Y%m%d%H%M"), "at": hours, "x": x, "y": y})

def build(params):
    return DummyClassifier() if params.get("C") == 0 else LogisticRegression(**params)

def examples():
    return [{"row": {"x": 2.0}, "expect": {"min": 0.6}}]
"""


@dataclass
class Life:
    """Drives the actions as the DAGs do, one training after another."""

    services: Services
    spec: ModelSpec
    clock: FrozenClock
    tracker: FakeTracker
    predictions: FakePredictionLog
    runs: int = 0
    answers: dict[str, JsonObject] = field(default_factory=dict)

    def do(self, action: str, run: str, actor: str = "airflow:dana", **inputs: Any) -> JsonObject:
        return getattr(actions, action)(self.services, self.spec, run=run, actor=actor, **inputs)

    def train(self, params: JsonObject | None = None, actor: str = "airflow:dana") -> JsonObject:
        """Up to registration; the answer of `register` with the run's name in it."""
        self.runs += 1
        run = f"run{self.runs}"
        snapshot = self.do("take_snapshot", run, actor)["snapshot"]
        validation = self.do("validate_data", run, actor, snapshot=snapshot)["validation"]
        training = self.do("train", run, actor, snapshot=snapshot, params=params)["training"]
        evaluation = self.do("evaluate", run, actor, training=training)["evaluation"]
        digests = {"validation": validation, "training": training, "evaluation": evaluation}
        return {**self.do("register", run, actor, **digests), "run": run, **digests}

    def ask(self, trained: JsonObject) -> JsonObject:
        return self.do("request_approval", trained["run"], version=trained["version"])

    def answer(self, asked: JsonObject, by: str, approved: bool = True, **changes: Any) -> JsonObject:
        given = {"request": asked["request"], "evidence": asked["evidence"], "reason": "looked at it", "via": "test"}
        return actions.answer_approval(self.services, by=by, approved=approved, **{**given, **changes})

    def approve(self, trained: JsonObject) -> None:
        self.answer(self.ask(trained), "ravi")

    def bake(self, rollout: str, run: str, percent: int, **canary: Any) -> JsonObject:
        """Shift, answer enough requests on both arms, analyse."""
        self.do("shift_traffic", run, rollout=rollout, percent=percent)
        self.serve_arms(**canary)
        return self.do("analyse_canary", run, rollout=rollout)

    def serve_arms(self, count: int = 150, errors: int = 0, shift: float = 0.0) -> None:
        with self.services.database.begin() as tx:
            route = tx.routes.get(self.spec.model)
        assert route is not None
        self.clock.advance(timedelta(seconds=30))
        scores = np.clip(np.linspace(0, 1, count) + shift, 0, 1)
        asked = f"{route.epoch}-{self.clock.now().timestamp()}"
        if route.champion is not None and route.percent < 100:
            beside = np.linspace(0, 1, count if route.shadow else 4 * count)
            self.log(route.champion, route.epoch, "champion", beside, asked=asked)
        if route.canary is not None:
            self.log(route.canary, route.epoch, "canary", scores, errors)
        if route.shadow is not None:
            self.log(route.shadow, route.epoch, "shadow", scores, errors, asked=asked)

    def log(
        self, version: int, epoch: int, role: str, scores: Any, errors: int = 0, asked: str | None = None, **more: Any
    ) -> None:
        """Rows of one role. Those `asked` the same have the same decision ids: a shadow's and its champion's."""
        count, now = len(scores), self.clock.now()
        about = asked or f"{version}-{epoch}-{role}-{now.timestamp()}"
        rows: dict[str, Any] = {
            **{name: [None] * count for name in PREDICTION_COLUMNS},
            "decision_id": [f"{about}-{i}" for i in range(count)],
            "request_key": ["k"] * count,
            "version": [version] * count,
            "role": [role] * count,
            "epoch": [epoch] * count,
            "at": [now] * count,
            "recorded_at": [now] * count,
            "latency_ms": [2.0] * count,
            "error": ["boom"] * errors + [None] * (count - errors),
            "score": scores,
            **more,
        }
        extra = {name: _arrow_name(more[name]) for name in more if name not in PREDICTION_COLUMNS}
        types = {**PREDICTION_COLUMNS, **extra}
        named = {"string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64()}
        schema = pa.schema([(n, named.get(t, pa.timestamp("us", "UTC"))) for n, t in types.items()])
        self.predictions.append(self.spec.model, pa.table(rows, schema=schema))

    def release(self, trained: JsonObject) -> JsonObject:
        started = self.do("start_rollout", trained["run"], version=trained["version"])
        for percent in self.spec.deployment.judged_steps:
            verdict = self.bake(started["rollout"], trained["run"], percent)
            assert verdict["outcome"] == "PASSED", verdict
        return self.do("complete_rollout", trained["run"], rollout=started["rollout"])

    def champion(self) -> int | None:
        with self.services.database.begin() as tx:
            found = tx.versions.champion(self.spec.model)
            route = tx.routes.get(self.spec.model)
        number = found.number if found else None
        assert route is None or route.champion == number, "the route and the ledger disagree"
        return number

    def state(self, number: int) -> str:
        with self.services.database.begin() as tx:
            return tx.versions.get(VersionRef(self.spec.model, number)).state.value

    def events(self, *types: str) -> list[Any]:
        with self.services.database.begin() as tx:
            return [e for e in tx.events.read(model=self.spec.model) if not types or e.type.value in types]


def _arrow_name(values: Any) -> str:
    return "string" if isinstance(next(iter(values), None), str) else "float64"


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return build_life(tmp_path)


@pytest.fixture
def new_life(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Life]:
    return lambda: build_life(tmp_path_factory.mktemp("life"))


def build_life(folder: Path, yaml: str = MODEL_YAML, code: str = MODEL_PY) -> Life:
    (folder / "models" / "toy").mkdir(parents=True)
    (folder / "models" / "toy" / "model.yaml").write_text(yaml)
    (folder / "models" / "toy" / "model.py").write_text(code)
    clock = FrozenClock(datetime(2013, 6, 1, 6, tzinfo=UTC))
    specs = SpecFolder(folder / "models")
    policy = load_policy(Path(__file__).parents[3] / "include" / "policy.yaml")
    stages = load_stages(Path(__file__).parents[3] / "include" / "stages.yaml")
    services = services_in_memory(specs, policy, clock, folder, stages)
    return Life(services, specs.get("toy"), clock, services.tracker, services.predictions)
