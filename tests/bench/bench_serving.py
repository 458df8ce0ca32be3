"""One row at a time, validated, routed and logged, beside bare handlers and beside `mlflow models serve`.

The same fitted pipeline behind each, one server process each, asked in turn by a closed loop from a process of its own.
CPU per request is the figure that a busy machine disturbs least; ratios are what to compare between machines.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.bench.served_pipeline import MODEL, fitted, made_frame, save, split_frame, tensors
from tests.bench.server_process import ENVIRONMENT, Measured, Server, free_port, running

from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.adapters.skops_models import TRUSTED_TYPES
from steward.types import Window

pytestmark = [pytest.mark.bench, pytest.mark.timeout(240)]

ROUNDS, SECONDS, WARM_SECONDS, SIDE_SECONDS = 3, 2.0, 0.7, 1.5
INFER = f"/v2/models/{MODEL}/infer"
NAMES = {
    "mlflow": "`mlflow models serve`",
    "bare-sklearn": "a bare handler, scikit-learn",
    "steward-sklearn": "Steward, scikit-learn",
    "bare-onnx": "a bare handler, the ONNX twin",
    "starlette-onnx": "a bare Starlette route, the ONNX twin",
    "steward-onnx": "Steward, the ONNX twin",
}


@dataclass(frozen=True)
class Bodies:
    """Files of requests, one per line: of one row, and of a hundred."""

    one: Path
    hundred: Path


def written(frame: pd.DataFrame, folder: Path, name: str, body: Callable[[pd.DataFrame], bytes]) -> Bodies:
    one, hundred = folder / f"{name}-1", folder / f"{name}-100"
    one.write_bytes(b"\n".join(body(frame.iloc[[place]]) for place in range(200)))
    hundred.write_bytes(b"\n".join(body(frame.iloc[place : place + 100]) for place in range(0, 1000, 100)))
    return Bodies(one, hundred)


def mlflow_folder(model: Any, example: pd.DataFrame, folder: Path) -> Path:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    mlflow.sklearn.save_model(
        model,
        folder,
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
        signature=infer_signature(example, model.predict_proba(example)),
        pyfunc_predict_fn="predict_proba",
        pip_requirements=["scikit-learn"],
    )
    return folder


@dataclass(frozen=True)
class Field:
    """All servers, and what each is asked."""

    servers: dict[str, Server]
    bodies: dict[str, Bodies]

    def one_row(self, name: str, seconds: float, connections: int = 8) -> Measured:
        return self.servers[name].asked(self.bodies[name].one, seconds, connections)

    def hundred_rows(self, name: str) -> Measured:
        return self.servers[name].asked(self.bodies[name].hundred, SIDE_SECONDS, 8)


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    frame = made_frame()
    model = fitted(frame)
    save(model, tmp_path / "plain", twin=False)
    save(model, tmp_path / "twinned", twin=True)
    ours = written(frame, tmp_path, "tensors", tensors)
    theirs = written(frame, tmp_path, "split", split_frame)
    bodies = {name: theirs if name == "mlflow" else ours for name in NAMES}
    with ExitStack() as stack:
        servers = {}
        for name in NAMES:
            port, path = free_port(), "/invocations" if name == "mlflow" else INFER
            folder = mlflow_folder(model, frame.head(5), tmp_path / "mlflow") if name == "mlflow" else tmp_path
            first = bodies[name].one.read_bytes().split(b"\n", 1)[0]
            started = running(command(name, port, folder), port, path, first, tmp_path / f"{name}.out")
            servers[name] = stack.enter_context(started)
        yield Field(servers, bodies)


def command(name: str, port: int, folder: Path) -> list[str]:
    if name == "mlflow":
        serve = ["models", "serve", "-m", str(folder), "--env-manager", "local", "-p", str(port)]
        return [sys.executable, "-m", "mlflow", *serve, "-h", "127.0.0.1", "--workers", "1"]
    return [sys.executable, "-m", "tests.bench.serving_processes", name, str(port), str(folder)]


def test_one_row_requests(report: Report, field: Field, tmp_path: Path) -> None:
    found: dict[str, list[Measured]] = {name: [] for name in NAMES}
    for name in NAMES:
        field.one_row(name, WARM_SECONDS)
    for _ in range(ROUNDS):
        for name in NAMES:
            found[name].append(field.one_row(name, SECONDS))
    hand_in({name: middle(rounds) for name, rounds in found.items()}, report)
    crowds = {name: field.one_row(name, SIDE_SECONDS, 64) for name in NAMES}
    report.table("One-row requests, 64 connections", NAMES["mlflow"], *rates(crowds))
    batches = {name: field.hundred_rows(name) for name in NAMES}
    report.table("Requests of 100 rows, 8 connections", NAMES["mlflow"], *rates(batches))
    starts = [Figure(NAMES[name], field.servers[name].started, "s to its first answer") for name in NAMES]
    report.table("Start, and what a version takes", "nothing", *starts, *memory(tmp_path))
    assert stored(tmp_path / "twinned-log") > found["steward-onnx"][0].per_second, "the log is on"
    assert stored(tmp_path / "plain-log") > found["steward-sklearn"][0].per_second, "the log is on"


def middle(rounds: list[Measured]) -> Measured:
    """The median of each figure."""
    return Measured(*map(statistics.median, zip(*map(astuple, rounds), strict=True)))


def hand_in(found: dict[str, Measured], report: Report) -> None:
    speed = {name: each.per_second for name, each in found.items()}
    cpu = {name: each.cpu * 1e6 for name, each in found.items()}
    lines = {"steward-onnx": "with its ONNX twin", "steward-sklearn": "by scikit-learn"}
    for name, how in lines.items():
        beside = NAMES["mlflow"]
        report.headline(f"One-row requests a second {how}, logged, beside {beside}", speed[name], speed["mlflow"], "")
    for name, how in lines.items():
        bare = name.replace("steward", "bare")
        what = f"CPU of a one-row request {how}, logged, beside a bare handler"
        report.headline(what, cpu[name], cpu[bare], "µs")
    framed = "CPU of a one-row request with its ONNX twin, logged, beside a bare Starlette route"
    report.headline(framed, cpu["steward-onnx"], cpu["starlette-onnx"], "µs")
    bare = "One-row requests a second by scikit-learn, logged, beside a bare handler"
    report.headline(bare, speed["steward-sklearn"], speed["bare-sklearn"], "")
    report.table("One-row requests, 8 connections, one server process each", NAMES["mlflow"], *rates(found))
    costs = [Figure(NAMES[name], cpu[name], "µs", cpu[name] / cpu["bare-onnx"]) for name in NAMES]
    report.table("CPU of a one-row request", NAMES["bare-onnx"], *costs)


def rates(found: dict[str, Measured]) -> Iterator[Figure]:
    for name, each in found.items():
        beside = each.per_second / found["mlflow"].per_second
        tail = f"a second; p50 {each.p50 * 1e3:.2f} ms, p99 {each.p99 * 1e3:.2f} ms"
        yield Figure(NAMES[name], each.per_second, tail, beside)


def memory(folder: Path) -> Iterator[Figure]:
    asked = command("memory", 0, folder)
    said = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=90, env=ENVIRONMENT)
    for artefact, size in json.loads(said.stdout.splitlines()[-1]).items():
        yield Figure(f"one more version, {artefact}", size / 2**20, "MiB")


def stored(root: Path) -> int:
    today = datetime.now(UTC)
    window = Window(today.replace(year=today.year - 1), today.replace(year=today.year + 1))
    return len(SegmentedPredictionLog(str(root)).served(MODEL, window, ["decision_id"]))
