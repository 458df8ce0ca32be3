"""A server whose champion cannot be loaded: the last good version answers, and it says so until that is mended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from steward.serving.memory import loading
from steward.spec import ModelSpec
from steward.types import JsonObject, VersionRef

from .conftest import MODEL, ROW, Stack, at_epoch, make_estimator, ready, tensors, wait_until

INFER = f"/v2/models/{MODEL}/infer"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(loading, "LONGEST_PAUSE", 0.1)


@pytest.fixture
def three(stack: Stack, spec: ModelSpec) -> Stack:
    """1, 2 and 3 were champions, one after the other."""
    for number in (1, 2, 3):
        stack.sources.register(spec, number, make_estimator(flip=number == 2))
    stack.sources.champions = [2, 1]
    stack.sources.route(MODEL, champion=3)
    return stack


def artefact(stack: Stack, number: int) -> Path:
    return stack.sources.folder / f"{MODEL}@{number}"


def lose(stack: Stack, number: int) -> None:
    artefact(stack, number).rename(artefact(stack, number).with_suffix(".lost"))


def answered_by(client: TestClient) -> str:
    response = client.post(INFER, json=tensors(ROW))
    assert response.status_code == 200, response.text
    assert response.json()["parameters"]["role"] == "champion"
    return str(response.json()["model_version"])


def index(client: TestClient) -> dict[str, JsonObject]:
    return {row["version"]: row for row in client.post("/v2/repository/index", json={}).json()}


def test_the_champion_before_answers_until_the_artefact_is_back(three: Stack) -> None:
    lose(three, 3)
    client = ready(three.start())
    assert answered_by(client) == "2"
    health = client.get("/v2/health/ready").json()
    assert health["status"] == "degraded"
    assert f"{MODEL}@3 cannot be loaded, {MODEL}@2 answers instead" in " ".join(health["reasons"])
    rows = index(client)
    assert (rows["3"]["state"], rows["3"]["role"]) == ("UNAVAILABLE", "champion")
    assert rows["3"]["reason"]
    assert rows["2"]["state"] == "READY"
    assert f'steward_champion_missing{{model="{MODEL}",version="3"}} 1.0' in client.get("/metrics").text
    shutil.move(artefact(three, 3).with_suffix(".lost"), artefact(three, 3))
    wait_until(lambda: answered_by(client) == "3")
    assert client.get("/v2/health/ready").json()["status"] == "ok"
    assert set(index(client)) == {"3"}
    assert "steward_champion_missing{" not in client.get("/metrics").text


def test_a_broken_artefact_is_not_served_and_an_earlier_one_is_tried_next(three: Stack) -> None:
    lose(three, 3)
    victim = next(path for path in artefact(three, 2).iterdir() if path.is_file())
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    assert answered_by(ready(three.start())) == "1"


def test_one_that_may_not_serve_any_more_stands_in_for_nobody(three: Stack) -> None:
    lose(three, 3)
    for number in (1, 2):
        three.sources.unreleased[VersionRef(MODEL, number)] = "it is rejected"
    client = three.start()
    wait_until(lambda: "not in force" in " ".join(client.get("/v2/health/ready").json()["reasons"]))
    assert client.post(INFER, json=tensors(ROW)).status_code == 503


def test_the_version_that_stands_by_is_the_first_to_stand_in(three: Stack) -> None:
    three.sources.route(MODEL, champion=3, standby=1)
    lose(three, 3)
    assert answered_by(ready(three.start())) == "1"


def test_a_server_that_serves_already_stays_with_what_it_has(three: Stack) -> None:
    three.sources.route(MODEL, champion=2)
    client = ready(three.start())
    lose(three, 3)
    three.sources.route(MODEL, champion=3, standby=2)
    wait_until(lambda: f"{MODEL}@2 answers instead" in " ".join(client.get("/v2/health/ready").json()["reasons"]))
    assert answered_by(client) == "2"
    assert index(client)["3"]["state"] == "UNAVAILABLE"
    three.sources.route(MODEL, champion=1)  # rolled back elsewhere
    at_epoch(client, 4)
    assert answered_by(client) == "1"
    assert client.get("/v2/health/ready").json()["status"] == "ok"
