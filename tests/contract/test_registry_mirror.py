"""Tracker, model store and mirror, on the fake and on a real MLflow server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from steward.adapters.mlflow_tracking import MlflowTracker
from steward.errors import IntegrityError, NotFoundError, UnavailableError
from steward.testing.tracking import FakeTracker
from steward.training import LoggedModel, TrainingRecord
from steward.training.likeness import differing_parts
from steward.training.provenance import environment

FRAME = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
RECORD = TrainingRecord(
    model="toy",
    run_name="run-1",
    params={"C": 1.0},
    seed=3,
    spec_digest="a" * 64,
    snapshot={"table": "snapshots/toy", "version": 0, "digest": "b" * 64},
    code_commit="c" * 40,
    environment=environment(),
    environment_digest="d" * 64,
    cpu_seconds=0.1,
    rows=4,
)


@pytest.fixture(scope="module")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/db", "--artifacts-destination", str(folder / "artefacts")]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *options, *stores],
            env={**os.environ, **quiet},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, server, folder / "log")
        yield url
    finally:
        os.killpg(server.pid, 15)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    pytest.fail(f"MLflow did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module", params=["fake", "mlflow"])
def tracker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "fake":
        return FakeTracker()
    return MlflowTracker(request.getfixturevalue("mlflow_url"), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def logged(tracker: Any) -> LoggedModel:
    return tracker.log(RECORD, LogisticRegression().fit(FRAME, [0, 0, 1, 1]), FRAME)


def test_a_logged_model_comes_back_and_answers_the_same(tracker: Any, logged: LoggedModel) -> None:
    again = tracker.load(logged)
    assert again.predict_proba(FRAME)[:, 1] == pytest.approx(
        LogisticRegression().fit(FRAME, [0, 0, 1, 1]).predict_proba(FRAME)[:, 1]
    )


def test_a_logged_model_holds_to_the_last_bit_what_was_fitted_and_its_files_can_be_kept(tracker: Any) -> None:
    """What a reproduction compares, and what an archive copies."""
    rows, labels = pd.DataFrame({"x": range(200)}, dtype="float64"), [i % 3 == 0 for i in range(200)]

    def fit() -> Any:
        return HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(rows, labels)

    logged = tracker.log(RECORD, fit(), rows.head(5))
    assert differing_parts(tracker.load(logged), fit()) == []
    assert [path for path in tracker.fetch(logged).rglob("*") if path.is_file()]


def test_files_beside_a_model_are_kept_under_its_digest(tracker: Any, logged: LoggedModel) -> None:
    beside = tracker.log(RECORD, LogisticRegression().fit(FRAME, [0, 0, 1, 1]), FRAME, {"model.onnx": b"a twin"})
    assert (tracker.fetch(beside) / "model.onnx").read_bytes() == b"a twin"
    assert not (tracker.fetch(logged) / "model.onnx").exists()
    other = tracker.log(RECORD, LogisticRegression().fit(FRAME, [0, 0, 1, 1]), FRAME, {"model.onnx": b"another"})
    assert len({logged.digest, beside.digest, other.digest}) == 3
    assert tracker.load(beside).predict_proba(FRAME).shape == (4, 2)


def test_metrics_are_taken(tracker: Any, logged: LoggedModel) -> None:
    tracker.log_evaluation(logged.run_id, {"roc_auc": 0.75})


def test_aliases_follow_and_moved_ones_are_told(tracker: Any, logged: LoggedModel) -> None:
    for number in (1, 2, 2):
        tracker.register(logged, "toy", number, {"steward.author": "dana"})
    assert tracker.assert_aliases("toy", {"champion": 1, "challenger": 2}) == {"champion": None, "challenger": None}
    assert tracker.assert_aliases("toy", {"champion": 1, "challenger": 2}) == {}
    assert tracker.assert_aliases("toy", {"champion": 2, "challenger": None}) == {"champion": 1, "challenger": 2}
    assert tracker.assert_aliases("toy", {"champion": 2, "challenger": None}) == {}


def test_the_listing_names_every_model_and_what_its_aliases_point_at(tracker: Any, logged: LoggedModel) -> None:
    for model, number in (("listed", 1), ("listed", 2), ("bare", 1)):
        tracker.register(logged, model, number, {"steward.author": "dana"})
    tracker.assert_aliases("listed", {"champion": 2, "challenger": None})
    found = tracker.listing()
    assert {"listed": {"champion": 2}, "bare": {}}.items() <= found.items()


def test_an_alias_at_a_version_of_somebody_else_is_told_and_set_back(mlflow_url: str, tmp_path: Path) -> None:
    """Registered past Steward, and given our aliases by hand."""
    tracker = MlflowTracker(mlflow_url, tmp_path)
    mine = tracker.log(RECORD, LogisticRegression().fit(FRAME, [0, 0, 1, 1]), FRAME)
    tracker.register(mine, "pointed_at", 1, {"steward.author": "dana"})
    api = f"{mlflow_url}/api/2.0/mlflow"
    body = {"name": "pointed_at", "source": f"runs:/{mine.run_id}/model", "run_id": mine.run_id}
    made = httpx.post(f"{api}/model-versions/create", json=body)
    assert made.status_code == 200, made.text
    theirs = made.json()["model_version"]["version"]
    for alias in ("champion", "challenger"):
        pointed = {"name": "pointed_at", "alias": alias, "version": theirs}
        assert httpx.post(f"{api}/registered-models/alias", json=pointed).status_code == 200
    assert tracker.listing()["pointed_at"] == {"champion": -1, "challenger": -1}
    wanted: dict[str, int | None] = {"champion": 1, "challenger": None}
    assert tracker.assert_aliases("pointed_at", wanted) == {"champion": -1, "challenger": -1}
    assert tracker.assert_aliases("pointed_at", wanted) == {}


def test_files_changed_at_the_store_are_refused(mlflow_url: str, logged: LoggedModel, tmp_path: Path) -> None:
    tracker = MlflowTracker(mlflow_url, tmp_path / "cache")
    mine = tracker.log(RECORD, LogisticRegression().fit(FRAME, [0, 0, 1, 1]), FRAME)
    path = mine.uri.removeprefix("mlflow-artifacts:").lstrip("/")
    swapped = httpx.put(f"{mlflow_url}/api/2.0/mlflow-artifacts/artifacts/{path}/model.skops", content=b"other")
    assert swapped.status_code == 200
    with pytest.raises(IntegrityError, match="changed after approval"):
        tracker.load(mine)


def test_an_unknown_version_has_no_alias(mlflow_url: str, tmp_path: Path) -> None:
    tracker = MlflowTracker(mlflow_url, tmp_path)
    with pytest.raises(NotFoundError, match=r"steward\.version=9"):
        tracker.assert_aliases("toy", {"champion": 9})


def test_a_server_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="does not answer"):
        MlflowTracker("http://127.0.0.1:9", tmp_path).assert_aliases("toy", {"champion": 1})
