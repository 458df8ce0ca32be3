"""The published schema, and the table it is made from: every route, and for every one who may ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

from steward.serving.http.hot_path import read_path
from steward.serving.http.openapi import document
from steward.serving.http.paths import PATHS, Path

from .conftest import MODEL, ROW, Stack, make_estimator, make_spec, ready, tensors

TOKEN = "s3cret"
FEATURES = {MODEL: make_spec().data.features}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    stack = Stack(tmp_path_factory.mktemp("guarded"))
    stack.sources.register(make_spec(), 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    yield ready(stack.start(token=TOKEN))
    stack.stop()


def ask(client: TestClient, path: Path, authorization: str | None) -> Any:
    headers = {"authorization": authorization.encode("latin-1")} if authorization else {}
    url = path.path.format(model=MODEL, version=1)
    return client.request(path.method, url, headers=headers)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.method} {path.path}")
@pytest.mark.parametrize(
    "authorization", [None, "Bearer wrong", f"bearer {TOKEN}", f"Basic {TOKEN}", f"Bearer {TOKEN}\xe9"]
)
def test_who_has_no_token_learns_nothing(guarded: TestClient, path: Path, authorization: str | None) -> None:
    answer = ask(guarded, path, authorization)
    if path.open:
        assert answer.status_code == 200
        assert MODEL not in answer.text or path.handler == "ready"
    else:
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.method} {path.path}")
def test_who_has_the_token_is_heard(guarded: TestClient, path: Path) -> None:
    assert ask(guarded, path, f"Bearer {TOKEN}").status_code not in (401, 404, 405, 500)


@pytest.mark.parametrize("url", ["/docs", "/redoc", "/", "/v2/models", "/v2/nothing", "/openapi.json/", "//v2"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_the_anonymous_are_not_told_which_paths_there_are(guarded: TestClient, url: str, method: str) -> None:
    assert guarded.request(method, f"http://testserver{url}").status_code == 401


def test_the_hot_path_answers_what_the_table_leaves_to_it() -> None:
    filled = [(path, path.path.format(model=MODEL, version=1)) for path in PATHS]
    assert all((read_path(url) is not None) == (path.handler is None) for path, url in filled)


def test_open_routes_are_those_of_health_alone() -> None:
    assert {path.path for path in PATHS if path.open} == {"/v2/health/live", "/v2/health/ready", "/ping", "/health"}


def test_the_schema_is_sound_and_names_every_route(guarded: TestClient) -> None:
    schema = guarded.get("/openapi.json", headers={"authorization": f"Bearer {TOKEN}"}).json()
    assert schema == document(FEATURES)
    assert {(m.upper(), p) for p, ms in schema["paths"].items() for m in ms} == {(p.method, p.path) for p in PATHS}
    for part in schema["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(part)
    ids = [operation["operationId"] for methods in schema["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)
    for name in re.findall(r"#/components/schemas/([\w.]+)", str(schema)):
        assert name in schema["components"]["schemas"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("Tensors", tensors(ROW), {"inputs": [{"name": "distance", "shape": [1], "datatype": "BYTES", "data": ["x"]}]}),
        ("Frame", {"instances": [ROW]}, {"instances": [{**ROW, "distance": "far"}]}),
        ("Frame", {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}}, {"frame": []}),
    ],
)
def test_what_the_schema_allows_is_what_is_answered(guarded: TestClient, name: str, good: Any, bad: Any) -> None:
    schema = {**document(FEATURES), "$ref": f"#/components/schemas/{name}"}
    url = f"/v2/models/{MODEL}/infer" if name == "Tensors" else f"/models/{MODEL}/invocations"
    headers = {"authorization": f"Bearer {TOKEN}"}
    jsonschema.validate(good, schema)
    assert guarded.post(url, json=good, headers=headers).status_code == 200
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)
    assert guarded.post(url, json=bad, headers=headers).status_code == 400


def test_answers_are_of_the_published_form(guarded: TestClient) -> None:
    headers, schema = {"authorization": f"Bearer {TOKEN}"}, document(FEATURES)
    bodies = {"Tensors": tensors(ROW), "Frame": {"instances": [ROW]}}
    for path in PATHS:
        if path.answer and path.body != "Outcomes":
            url = path.path.format(model=MODEL, version=1)
            body = {"json": bodies[path.body]} if path.body in bodies else {}
            answer = guarded.request(path.method, url, headers=headers, **body)
            assert answer.status_code == 200, url
            jsonschema.validate(answer.json(), {**schema, "$ref": f"#/components/schemas/{path.answer}"})
    refused = guarded.post(f"/v2/models/{MODEL}/infer", content=b"{", headers=headers).json()
    jsonschema.validate(refused, {**schema, "$ref": "#/components/schemas/Error"})
