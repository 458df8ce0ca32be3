"""The servers that bench_serving compares, each a process of its own.

`python -m tests.bench.serving_processes KIND PORT FOLDER`, KIND one of SERVERS; `memory` answers nobody and prints what
a version takes. A bare handler is plain ASGI (or one Starlette route) on uvicorn, orjson and the model:
no checks, no versions, no log.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import orjson
import psutil
from tests.bench.served_pipeline import CATEGORIES, MODEL, NUMBERS, made_spec

from steward.adapters.onnx_models import NUMBERS as NUMBERS_INPUT
from steward.adapters.onnx_models import SCORES, TEXTS, TWIN_FILE
from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.adapters.skops_models import folder_digest, load_model
from steward.clock import SystemClock
from steward.serving.http.app import ServerOptions, create_app
from steward.serving.memory.versions import prepare
from steward.serving.process.server import run
from steward.testing.control_plane import FakeServingSources
from steward.types import VersionRef

Predict = Callable[[dict[str, list[Any]]], list[float]]
_COPIES = 8


def bare_onnx(folder: Path) -> Any:
    return bare(onnx_predict(folder))


def starlette_onnx(folder: Path) -> Any:
    """As most people would write it: a route of a framework."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    predict = onnx_predict(folder)

    async def infer(request: Request) -> Response:
        columns = {tensor["name"]: tensor["data"] for tensor in orjson.loads(await request.body())["inputs"]}
        answer = orjson.dumps({"outputs": [{"name": "score", "data": predict(columns)}]})
        return Response(answer, media_type="application/json")

    return Starlette(routes=[Route(f"/v2/models/{MODEL}/infer", infer, methods=["POST"])])


def onnx_predict(folder: Path) -> Predict:
    """The twin with the session options that Steward gives it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = str(folder / "twinned" / TWIN_FILE)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(columns: dict[str, list[Any]]) -> list[float]:
        numbers = np.array([columns[name] for name in NUMBERS], dtype=np.float32).T
        texts = np.array([columns[name] for name in CATEGORIES], dtype=object).T
        scores: list[float] = session.run([SCORES], {NUMBERS_INPUT: numbers, TEXTS: texts})[0][:, 1].tolist()
        return scores

    return predict


def bare_sklearn(folder: Path) -> Any:
    import pandas as pd

    model = load_model(folder / "plain", folder_digest(folder / "plain"))

    def predict(columns: dict[str, list[Any]]) -> list[float]:
        scores: list[float] = model.predict_proba(pd.DataFrame(columns))[:, 1].tolist()
        return scores

    return bare(predict)


def bare(predict: Predict) -> Any:
    """The least a handler can do: JSON in, JSON out."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        columns = {tensor["name"]: tensor["data"] for tensor in orjson.loads(body)["inputs"]} if body else {}
        scores = predict(columns) if columns else []
        answer = orjson.dumps({"outputs": [{"name": "score", "data": scores}]})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def steward_onnx(folder: Path) -> Any:
    return steward(folder, "twinned")


def steward_sklearn(folder: Path) -> Any:
    return steward(folder, "plain")


def steward(folder: Path, artefact: str) -> Any:
    """The whole server around one champion: its checks, its routes, its prediction log on disk."""
    sources = FakeServingSources(folder / f"{artefact}-store")
    stored = folder / artefact
    version = sources.register(made_spec(), 1, load_model(folder / "plain", folder_digest(folder / "plain")))
    sources.versions[version.ref] = replace(version, artefact_uri=str(stored), artefact_digest=folder_digest(stored))
    sources.route(MODEL, champion=1)
    log = SegmentedPredictionLog(str(folder / f"{artefact}-log"))
    return create_app(sources, log, SystemClock(), ServerOptions(home=folder / f"{artefact}-home"))


def memory(folder: Path) -> None:
    """Bytes that one more version adds to a process which has some, by artefact."""
    found = {}
    for artefact in ("plain", "twinned"):
        loaded = [loaded_version(folder / artefact)]
        before = resident()
        loaded += [loaded_version(folder / artefact) for _ in range(_COPIES)]
        found[artefact] = (resident() - before) / _COPIES
    print(json.dumps(found))


def loaded_version(folder: Path) -> Any:
    return prepare(VersionRef(MODEL, 1), folder_digest(folder), folder, made_spec(), [])


def resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


SERVERS: dict[str, Callable[[Path], Any]] = {
    "bare-onnx": bare_onnx,
    "starlette-onnx": starlette_onnx,
    "bare-sklearn": bare_sklearn,
    "steward-onnx": steward_onnx,
    "steward-sklearn": steward_sklearn,
}


def main(kind: str, port: str, folder: str) -> None:
    if kind == "memory":
        memory(Path(folder))
    elif kind.startswith("bare"):
        listen(SERVERS[kind](Path(folder)), int(port))
    else:
        run(SERVERS[kind](Path(folder)), "127.0.0.1", int(port))


def listen(app: Any, port: int) -> None:
    import uvicorn

    spare: Any = {"access_log": False, "log_level": "warning", "server_header": False, "lifespan": "off"}
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", **spare)


if __name__ == "__main__":
    main(*sys.argv[1:])
