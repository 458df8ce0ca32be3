"""The end of a model on the real stores: PostgreSQL, Delta tables, files, and a model server that follows the route."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life
from tests.unit.serving.conftest import wait_until

from steward import actions
from steward.adapters.archive_files import FileArchive
from steward.adapters.delta_predictions import DeltaPredictionLog
from steward.adapters.delta_snapshots import DeltaSnapshotStore
from steward.adapters.postgres import PostgresDatabase
from steward.adapters.skops_models import folder_digest, load_model, save_model
from steward.errors import IntegrityError, PolicyError
from steward.serving.http.app import ServerOptions, create_app
from steward.serving.routing.sources import LedgerSources
from steward.testing.tracking import FakeTracker
from steward.training import LoggedModel, TrainingRecord

YAML = MODEL_YAML + "consumers: [{name: desk, contact: mo@example.com}]\nretirement: {quiet: 7d}\n"


class FolderTracker(FakeTracker):
    """Keeps real artefacts, as MLflow does, without its server."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def log(self, record: TrainingRecord, model: Any, example: Any, files: Any = None) -> LoggedModel:
        logged = super().log(record, model, example, files)
        save_model(model, self.root / logged.run_id)
        return replace(logged, digest=folder_digest(self.root / logged.run_id))

    def fetch(self, logged: LoggedModel) -> Path:
        return self.root / logged.run_id

    def load(self, logged: LoggedModel) -> Any:
        return load_model(self.fetch(logged), logged.digest)


@pytest.fixture
def life(tmp_path: Path, database_url: str, ledger_key: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    """One version in service; its log has been quiet for a week."""
    monkeypatch.setenv("STEWARD_CODE_COMMIT", "c" * 40)
    made = build_life(tmp_path, YAML)
    database = PostgresDatabase(database_url, made.clock, ledger_key)
    tracker, log = FolderTracker(tmp_path / "artefacts"), DeltaPredictionLog(str(tmp_path / "tables"))
    services = replace(
        made.services,
        database=database,
        snapshots=DeltaSnapshotStore(str(tmp_path / "tables")),
        predictions=log,
        archive=FileArchive(str(tmp_path / "tables" / "archive")),
        tracker=tracker,
        models=tracker,
        mirror=tracker,
        wall=made.clock.now,
    )
    found = Life(services, made.spec, made.clock, tracker, log)  # type: ignore[arg-type]
    trained = found.train()
    found.approve(trained)
    found.release(trained)
    found.clock.advance(timedelta(days=8))
    yield found
    database.close()


@pytest.fixture
def server(life: Life, tmp_path: Path) -> Iterator[TestClient]:
    options = ServerOptions(home=tmp_path / "serving", flush_interval=0.05)
    app = create_app(LedgerSources(life.services), life.services.predictions, life.clock, options)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def ask(server: TestClient) -> int:
    request = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [0.5]}]}
    return server.post("/v2/models/toy/infer", json=request).status_code


def start(life: Life) -> None:
    life.do("start_retirement", "end", "airflow:olga", reason="superseded")
    actions.confirm_consumer(life.services, model="toy", consumer="desk", by="mo", via="test")


def retire(life: Life) -> Callable[[], Any]:
    start(life)
    for step in ("close_endpoint", "archive_model"):
        life.do(step, "end")
    return lambda: life.do("bury", "end")


def test_a_request_keeps_the_endpoint_open_and_its_end_is_told_to_callers(life: Life, server: TestClient) -> None:
    wait_until(lambda: ask(server) == 200)
    start(life)
    wait_until(lambda: not life.do("await_quiet", "end")["final"])
    with pytest.raises(PolicyError, match="still needed"):
        life.do("close_endpoint", "early")
    life.clock.advance(timedelta(days=8))
    assert life.do("await_quiet", "end")["final"]
    life.do("close_endpoint", "end")
    wait_until(lambda: ask(server) == 410)
    assert "superseded" in server.get("/v2/models/toy").json()["error"]


def test_the_archive_is_whole_and_reproduces_the_model_when_all_else_is_gone(life: Life, tmp_path: Path) -> None:
    before = life.do("reproduce", "r1", version=1)
    assert (before["verdict"], before["differing_parts"], before["data"]["from"]) == ("bit-exact", [], "the snapshot")
    retire(life)()
    kept = tmp_path / "tables" / "archive" / "toy"
    assert (kept / "versions" / "1" / "model.skops").read_bytes() == (
        tmp_path / "artefacts" / "run-1" / "model.skops"
    ).read_bytes()
    assert actions.verify_archive(life.services, "toy")["missing"] == {}
    shutil.rmtree(tmp_path / "tables" / "snapshots")
    after = life.do("reproduce", "r2", version=1)
    assert (after["verdict"], after["data"]["from"]) == ("bit-exact", "the archive")
    (kept / "ledger.jsonl").write_bytes((kept / "ledger.jsonl").read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="reads otherwise than it was written"):
        actions.verify_archive(life.services, "toy")
    assert actions.verify_ledger(life.services, actor="nightly")["intact"]


def test_rows_altered_on_disk_are_found(life: Life, tmp_path: Path) -> None:
    import pandas as pd

    part = next((tmp_path / "tables" / "snapshots" / "toy").glob("*.parquet"))
    rows = pd.read_parquet(part)
    rows["x"] = rows["x"] + 1
    rows.to_parquet(part, index=False)
    found = life.do("reproduce", "r1", version=1)
    assert found["verdict"] == "not reproducible"
    assert "the rows were altered" in found["reasons"][0]
