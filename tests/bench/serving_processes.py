"""The servers that bench_serving compares, each a process.

`python -m tests.bench.serving_processes bare|steward PORT FOLDER`
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import orjson
import pandas as pd
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.adapters.skops_models import folder_digest, load_model
from steward.clock import SystemClock
from steward.serving.app import ServerOptions, create_app
from steward.serving.server import run
from steward.spec import load_spec
from steward.testing.control_plane import FakeServingSources

MODEL = "flight_delays"
SPEC_FILE = Path("include/models") / MODEL / "model.yaml"


def bare(folder: Path) -> Starlette:
    """The least a handler can do: JSON in, the same model, JSON out. No checks, no routing, no log."""
    model = load_model(folder / "model", folder_digest(folder / "model"))

    async def infer(request: Request) -> Response:
        tensors = orjson.loads(await request.body())["inputs"]
        frame = pd.DataFrame({tensor["name"]: tensor["data"] for tensor in tensors})
        scores = model.predict_proba(frame)[:, 1].tolist()
        return Response(orjson.dumps({"outputs": [{"name": "score", "data": scores}]}), media_type="application/json")

    return Starlette(routes=[Route("/v2/models/{model}/infer", infer, methods=["POST"])])


def steward(folder: Path) -> Starlette:
    """The whole server, its log in Delta tables."""
    sources = FakeServingSources(folder / "store")
    model = load_model(folder / "model", folder_digest(folder / "model"))
    sources.register(load_spec(SPEC_FILE), 1, model)
    sources.route(MODEL, champion=1)
    log = SegmentedPredictionLog(str(folder / "tables"))
    return create_app(sources, log, SystemClock(), ServerOptions(home=folder / "serving"))


def main(kind: str, port: str, folder: str) -> None:
    apps: dict[str, Any] = {"bare": bare, "steward": steward}
    run(apps[kind](Path(folder)), "127.0.0.1", int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
