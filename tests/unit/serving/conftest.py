"""A small real model, its spec, and a server around fakes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from starlette.testclient import TestClient

from steward.serving.http.app import ModelServer, ServerOptions, create_app
from steward.serving.routing.trip_reports import TripReport
from steward.spec import ModelSpec
from steward.testing.control_plane import FakeServingSources
from steward.testing.data_stores import FakePredictionLog

MODEL = "flight_delays"
ROW: dict[str, Any] = {"distance": 500.0, "carrier": "UA", "stops": 1, "holiday": False, "temp": 10.5}


class StandingClock:
    """Business time of these tests."""

    def now(self) -> datetime:
        return datetime(2013, 4, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    return make_spec()


def make_spec(**data: Any) -> ModelSpec:
    features = {
        "distance": {"type": "number", "min": 0},
        "carrier": {"type": "category", "levels": ["UA", "AA"]},
        "stops": {"type": "integer"},
        "holiday": {"type": "boolean"},
        "temp": {"type": "number", "max_missing": 0.5},
    }
    return ModelSpec.model_validate(
        {
            "model": MODEL,
            "title": "Late?",
            "purpose": "Tests",
            "owner": {"team": "ops", "name": "Ada", "email": "ada@example.com", "user": "ada"},
            "risk_tier": "medium",
            "task": "binary_classification",
            "data": {
                "id": "flight_id",
                "time": "departure",
                "label": {"column": "late"},
                "features": features,
                **data,
            },
            "training": {"window": {"days": 90}},
            "evaluation": {"holdout": {"days": 14}, "metrics": {"roc_auc": {"min": 0.5}}},
            "deployment": {
                "bake": {"requests": 10, "at_most": "10m"},
                "smoke": "model:examples",
                "guardrails": {"error_rate": {"max": 0.01}},
            },
        }
    )


def training_frame(carriers: tuple[str, ...] = ("UA", "AA")) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "distance": random.uniform(100, 3000, 200),
            "carrier": random.choice(carriers, 200),
            "stops": random.integers(0, 3, 200).astype(float),
            "holiday": random.random(200) < 0.1,
            "temp": random.normal(10, 5, 200),
        }
    )
    return frame, (frame["distance"] > 1500).to_numpy().astype(int)


def make_estimator(flip: bool = False, strict_carriers: tuple[str, ...] = ()) -> Pipeline:
    """`strict_carriers`: raises for every other carrier."""
    unknown = "error" if strict_carriers else "ignore"
    columns = ColumnTransformer(
        [("carrier", OneHotEncoder(handle_unknown=unknown), ["carrier"])], remainder=SimpleImputer(), sparse_threshold=0
    )
    frame, late = training_frame(strict_carriers or ("UA", "AA"))
    return Pipeline([("columns", columns), ("scale", StandardScaler()), ("model", LogisticRegression())]).fit(
        frame, 1 - late if flip else late
    )


def not_a_number_estimator() -> Pipeline:
    estimator = make_estimator()
    estimator[-1].coef_ = estimator[-1].coef_ * np.nan
    return estimator


class Stack:
    """A server and what is around it. `start` may be called again after `stop`: same home, new process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.sources = FakeServingSources(home / "store")
        self.log = FakePredictionLog()
        self.trips: list[tuple[str, int, str]] = []
        self._running = ExitStack()

    def application(self, report_trip: TripReport | None = None, **options: Any) -> ModelServer:
        report = report_trip or (lambda *trip: self.trips.append(trip))
        given = ServerOptions(home=self.home / "serving", **{"flush_interval": 0.05, **options})
        return create_app(self.sources, self.log, StandingClock(), given, lambda s: time.sleep(0.02), report)

    def start(self, report_trip: TripReport | None = None, **options: Any) -> TestClient:
        client = TestClient(self.application(report_trip, **options), raise_server_exceptions=False)
        self._running.enter_context(client)
        return client

    def stop(self) -> None:
        self._running.close()

    def logged(self) -> pd.DataFrame:
        """Everything logged, after the server stopped."""
        self.stop()
        return pd.concat([rows.to_pandas() for rows in self.log.rows[MODEL]], ignore_index=True)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    yield stack
    stack.stop()


@pytest.fixture
def served(stack: Stack, spec: ModelSpec) -> TestClient:
    """One champion, version 1."""
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    return ready(stack.start())


def ready(client: TestClient) -> TestClient:
    wait_until(lambda: client.get("/v2/health/ready").json()["epochs"])
    return client


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def at_epoch(client: TestClient, epoch: int) -> None:
    wait_until(lambda: client.get("/v2/health/ready").json()["epochs"].get(MODEL) == epoch)


_DATATYPES = {str: "BYTES", bool: "BOOL", int: "INT64", float: "FP64"}


def tensors(*rows: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """An Open Inference Protocol request of these rows."""
    first = rows[0]
    inputs = [
        {"name": n, "shape": [len(rows)], "datatype": _DATATYPES[type(first[n])], "data": [row[n] for row in rows]}
        for n in first
    ]
    return {"inputs": inputs, "parameters": parameters}
