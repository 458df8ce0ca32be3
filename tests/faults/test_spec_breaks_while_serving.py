"""The spec of a version cannot be read any more, by an upgrade or a fault: it keeps the one it was served by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.unit.serving.conftest import MODEL, ROW, Stack, make_estimator, make_spec, ready, tensors, wait_until

from steward.errors import SpecError
from steward.registry import ModelVersion
from steward.spec import ModelSpec
from steward.testing.control_plane import FakeServingSources

pytestmark = pytest.mark.faults

# Routes are followed in the order of their models: what comes after the broken one must not wait for it.
OTHER = "zeppelins"


class MendableSources(FakeServingSources):
    """Specs break and are mended."""

    broken: frozenset[str] = frozenset()

    def spec(self, version: ModelVersion) -> ModelSpec:
        if version.model in self.broken:
            raise SpecError("risk_teir: unknown key", where=f"{version.model}/model.yaml")
        return super().spec(version)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    stack.sources = MendableSources(tmp_path / "store")
    yield stack
    stack.stop()


@pytest.fixture
def client(stack: Stack) -> TestClient:
    """Both models with a champion, the first with a canary beside it."""
    for spec in (make_spec(), make_spec().model_copy(update={"model": OTHER})):
        stack.sources.register(spec, 1, make_estimator())
        stack.sources.register(spec, 2, make_estimator(flip=True))
    stack.sources.route(MODEL, champion=1, canary=2, percent=50)
    stack.sources.route(OTHER, champion=1)
    client = ready(stack.start())
    wait_until(lambda: set(health(client)["epochs"]) == {MODEL, OTHER})
    return client


def test_the_way_back_does_not_wait_for_a_mended_file(stack: Stack, client: TestClient) -> None:
    stack.sources.broken = frozenset({MODEL})
    stack.sources.route(MODEL, champion=1)
    wait_until(lambda: health(client)["epochs"][MODEL] == 2)
    assert {version_for(client, MODEL, f"k{i}") for i in range(20)} == {"1"}


def test_other_models_are_released_as_ever(stack: Stack, client: TestClient) -> None:
    stack.sources.broken = frozenset({MODEL})
    stack.sources.route(MODEL, champion=2)
    stack.sources.route(OTHER, champion=2)
    wait_until(lambda: health(client)["epochs"][OTHER] == 2)
    assert version_for(client, OTHER, "k") == "2"


def test_a_restart_serves_every_model_by_the_spec_it_was_served_by(stack: Stack, client: TestClient) -> None:
    stack.stop()
    stack.sources.broken = frozenset({MODEL})
    client = stack.start()
    wait_until(lambda: client.get("/v2/health/ready").status_code == 200)
    assert set(health(client)["epochs"]) == {MODEL, OTHER}
    assert version_for(client, MODEL, "k") in {"1", "2"}
    assert client.post(f"/v2/models/{MODEL}/infer", json=tensors({"distance": 5.0})).json()["code"] == "missing_feature"


def health(client: TestClient) -> Any:
    return client.get("/v2/health/ready").json()


def version_for(client: TestClient, model: str, key: str) -> str:
    response = client.post(f"/v2/models/{model}/infer", json=tensors(ROW, key=key))
    assert response.status_code == 200, response.text
    return str(response.json()["model_version"])
