"""Every route of the Open Inference Protocol answers as the published document says, in success and in refusal; and
the clients of MLflow, as they are installed, are answered without a change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pandas as pd
import pytest
import uvicorn
import yaml
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from starlette.testclient import TestClient
from tests.unit.serving.conftest import MODEL, ROW, Stack, make_estimator, make_spec, ready, tensors, wait_until

DOCUMENT = yaml.safe_load((Path(__file__).parent / "open_inference_rest.yaml").read_text())
ROUTES = [(path, *pair) for path, methods in DOCUMENT["paths"].items() for pair in methods.items()]
INFER = f"/v2/models/{MODEL}/infer"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("served"))
    stack.sources.register(make_spec(), 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def client(stack: Stack) -> TestClient:
    return ready(stack.start())


def check(body: Any, schema: str) -> None:
    jsonschema.validate(body, {**DOCUMENT, "$ref": f"#/schemas/{schema}"})


@pytest.mark.parametrize(("path", "method", "schema"), ROUTES)
def test_every_route_answers_as_the_document_says(client: TestClient, path: str, method: str, schema: str) -> None:
    content = {"json": {**tensors(ROW, ROW), "id": "42"}} if method == "post" else {}
    answer = client.request(method, path.format(model=MODEL, version=1), **content)
    assert answer.status_code == 200
    check(answer.json(), schema)
    if method == "post":
        assert answer.json()["id"] == "42"


STRANGERS = [("nobody", "1"), (MODEL, "9"), (MODEL, "x")]
REFUSED = [
    (path.format(model=model, version=version), method)
    for path, method, _ in ROUTES
    for model, version in STRANGERS
    if "{version}" in path or ("{model}" in path and model != MODEL)
]


@pytest.mark.parametrize(("path", "method"), REFUSED)
def test_every_refusal_is_the_documents_error(client: TestClient, path: str, method: str) -> None:
    answer = client.request(method, path, **({"json": tensors(ROW)} if method == "post" else {}))
    assert answer.status_code == 404
    check(answer.json(), "error_response")


def test_what_the_document_allows_to_ask_is_answered(client: TestClient) -> None:
    request = {**tensors(ROW), "id": "7", "outputs": [{"name": "score", "parameters": {"binary_data": False}}]}
    check(request, "inference_request")
    answer = client.post(INFER, json=request).json()
    assert [output["name"] for output in answer["outputs"]] == ["score"]
    metadata = client.get(f"/v2/models/{MODEL}").json()
    every = client.post(INFER, json=tensors(ROW)).json()["outputs"]
    assert {(o["name"], o["datatype"]) for o in every} == {(o["name"], o["datatype"]) for o in metadata["outputs"]}


def test_the_repository_says_what_is_ready_and_lets_nobody_load(client: TestClient) -> None:
    every = client.post("/v2/repository/index").json()
    assert client.post("/v2/repository/index", json={"ready": True}).json() == every
    assert [(row["name"], row["version"], row["state"]) for row in every] == [(MODEL, "1", "READY")]
    for verb in ("load", "unload"):
        refused = client.post(f"/v2/repository/models/{MODEL}/{verb}")
        assert (refused.status_code, refused.json()["code"]) == (403, "released_by_rollout")
    assert client.post("/v2/repository/index", json={"ready": "yes"}).json()["code"] == "bad_request"


def test_an_explicit_version_is_asked_as_a_tester(client: TestClient) -> None:
    answer = client.post(f"/v2/models/{MODEL}/versions/1/infer", json=tensors(ROW)).json()
    assert (answer["model_version"], answer["parameters"]["role"]) == ("1", "tester")


@pytest.fixture(scope="module")
def mlflow_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoringServerClient]:
    """MLflow's own client, against a server on a port."""
    stack = Stack(tmp_path_factory.mktemp("on-a-port"))
    stack.sources.register(make_spec(), 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    server = uvicorn.Server(uvicorn.Config(stack.application(), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield ScoringServerClient("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(20)


def test_mlflows_client_is_answered(mlflow_client: ScoringServerClient) -> None:
    mlflow_client.wait_server_ready(timeout=20)
    assert mlflow_client.get_version()
    frame = pd.DataFrame([ROW, {**ROW, "temp": np.nan, "distance": 2900.0}])
    answer = mlflow_client.invoke(frame)
    assert answer.get_predictions("ndarray").tolist() == [0, 1]
    assert answer.get_predictions()[0].tolist() == [0, 1]
    assert mlflow_client.invoke([ROW]).get_predictions("ndarray").tolist() == [0]
    assert mlflow_client.invoke(frame, params={"key": "k"})["decision_ids"]


def test_mlflows_client_is_told_what_is_wrong(mlflow_client: ScoringServerClient) -> None:
    with pytest.raises(Exception, match="missing_feature"):
        mlflow_client.invoke(pd.DataFrame([ROW]).drop(columns="distance"))


def test_csv_is_answered_as_the_frame_is(mlflow_client: ScoringServerClient) -> None:
    frame = pd.DataFrame([ROW])
    headers = {"content-type": "text/csv; charset=utf-8"}
    url = f"{mlflow_client.url_prefix}/invocations"
    answer = httpx.post(url, content=frame.to_csv(index=False), headers=headers)
    assert answer.json()["scores"] == mlflow_client.invoke(frame)["scores"]
    refused = httpx.post(url, content=b"PAR1", headers={"content-type": "application/vnd.apache.parquet"})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
