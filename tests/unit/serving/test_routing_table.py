"""Canaries, their breaker, and a control plane that comes and goes."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from steward.errors import UnavailableError
from steward.serving.memory import loading
from steward.serving.memory.artefact_cache import ArtefactCache
from steward.serving.routing.routing_table import ActiveRoute, RoutingTable
from steward.serving.routing.saved_table import SavedTable
from steward.spec import ModelSpec

from .conftest import (
    MODEL,
    ROW,
    Stack,
    at_epoch,
    make_estimator,
    make_spec,
    not_a_number_estimator,
    ready,
    tensors,
    wait_until,
)

INFER = f"/v2/models/{MODEL}/infer"


def ask(client: TestClient, key: str = "k") -> tuple[str, str]:
    """→ version and role of the answer, which must be one."""
    response = client.post(INFER, json=tensors(ROW, key=key))
    assert response.status_code == 200, response.text
    return response.json()["model_version"], response.json()["parameters"]["role"]


@pytest.fixture
def two(stack: Stack, spec: ModelSpec) -> Stack:
    """Champion 1 in force; version 2 registered and sound."""
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.register(spec, 2, make_estimator(flip=True))
    stack.sources.route(MODEL, champion=1)
    return stack


def test_a_canary_takes_its_share_and_keys_stay(two: Stack) -> None:
    client = ready(two.start())
    two.sources.route(MODEL, champion=1, canary=2, percent=25)
    at_epoch(client, 2)
    first = {f"k{i}": ask(client, f"k{i}") for i in range(200)}
    assert 25 <= Counter(first.values())[("2", "canary")] <= 75
    two.sources.route(MODEL, champion=1, canary=2, percent=50)
    at_epoch(client, 3)
    assert all(ask(client, key) == answer for key, answer in first.items() if answer[1] == "canary")


def test_a_first_release_needs_no_champion(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.route(MODEL, champion=None, canary=1, percent=100)
    assert ask(ready(stack.start())) == ("1", "canary")


@pytest.mark.parametrize(
    ("canary", "kind"),
    [(lambda: make_estimator(strict_carriers=("XX",)), "model_failed"), (not_a_number_estimator, "not_finite")],
)
def test_the_champion_answers_for_a_failing_canary_until_it_is_taken_off(
    two: Stack, spec: ModelSpec, canary, kind
) -> None:  # type: ignore[no-untyped-def]
    two.sources.register(spec, 3, canary())
    client = ready(two.start())
    two.sources.route(MODEL, champion=1, canary=3, percent=50)
    at_epoch(client, 2)
    assert {ask(client, f"k{i}") for i in range(40)} == {("1", "champion")}
    wait_until(lambda: two.trips)
    ((model, version, reason),) = two.trips
    assert (model, version) == (MODEL, 3)
    assert reason.startswith("3 errors among its last 3 requests; off traffic since 20")
    metrics = client.get("/metrics").text
    assert f'steward_request_errors_total{{kind="{kind}",model="{MODEL}",role="canary",version="3"}} 3.0' in metrics
    assert f'steward_canary_trips_total{{model="{MODEL}",version="3"}} 1.0' in metrics
    failed = (rows := two.logged())[rows["role"] == "canary"]
    assert failed["error"].tolist() == [kind] * 3
    assert failed["score"].isna().all()
    answered = rows[rows["role"] == "champion"]
    assert len(answered) == 40
    assert set(failed["decision_id"]) <= set(answered["decision_id"])


def test_a_newer_epoch_gives_a_tripped_canary_another_chance(two: Stack, spec: ModelSpec) -> None:
    two.sources.register(spec, 3, not_a_number_estimator())
    client = ready(two.start())
    two.sources.route(MODEL, champion=1, canary=3, percent=100)
    at_epoch(client, 2)
    for i in range(10):
        ask(client, f"k{i}")
    wait_until(lambda: two.trips)
    assert len(two.trips) == 1
    two.sources.route(MODEL, champion=1, canary=2, percent=100)
    at_epoch(client, 3)
    assert ask(client) == ("2", "canary")


def test_without_a_champion_a_failure_is_told(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, not_a_number_estimator())
    stack.sources.route(MODEL, champion=None, canary=1, percent=100)
    response = ready(stack.start()).post(INFER, json=tensors(ROW))
    assert (response.status_code, response.json()["code"]) == (500, "not_finite")


def test_a_report_that_fails_does_no_harm(two: Stack, spec: ModelSpec) -> None:
    def refuse(model: str, version: int, reason: str) -> None:
        raise ConnectionError("nobody listens")

    two.sources.register(spec, 3, not_a_number_estimator())
    client = ready(two.start(report_trip=refuse))
    two.sources.route(MODEL, champion=1, canary=3, percent=100)
    at_epoch(client, 2)
    assert {ask(client, f"k{i}") for i in range(12)} == {("1", "champion")}


def test_a_caller_whom_no_version_can_answer_ends_no_release(stack: Stack, spec: ModelSpec) -> None:
    for number in (1, 2):
        stack.sources.register(spec, number, make_estimator(strict_carriers=("UA",)))
    stack.sources.route(MODEL, champion=1, canary=2, percent=100)
    client = ready(stack.start())
    for i in range(12):
        response = client.post(INFER, json=tensors({**ROW, "carrier": "AA"}, key=f"k{i}"))
        assert (response.status_code, response.json()["code"]) == (500, "model_failed")
    assert ask(client) == ("2", "canary")
    assert stack.trips == []


def test_a_tripped_canary_stays_off_after_a_restart_with_nobody_to_ask(two: Stack, spec: ModelSpec) -> None:
    two.sources.register(spec, 3, not_a_number_estimator())
    client = ready(two.start(report_trip=nobody_listens))
    two.sources.route(MODEL, champion=1, canary=3, percent=100)
    at_epoch(client, 2)
    assert {ask(client, f"k{i}") for i in range(5)} == {("1", "champion")}
    wait_until(lambda: list((two.home / "serving" / "trips").glob("*.json")))
    (said,) = client.get("/v2/health/ready").json()["reasons"]
    assert said == f"{MODEL}@3 is off traffic, which nobody else was told yet"
    two.stop()
    two.sources.away = True
    again = ready(two.start())
    assert ask(again) == ("1", "champion")
    assert "errors among" in canary_row(again)["reason"]
    wait_until(lambda: two.trips)  # reported by the next process, as soon as somebody listens
    assert two.trips[0][:2] == (MODEL, 3)
    rows = two.logged()
    assert rows["role"].tolist().count("canary") == 3


def test_a_server_beside_it_follows_a_trip_without_the_control_plane(two: Stack, spec: ModelSpec) -> None:
    two.sources.register(spec, 3, not_a_number_estimator())
    first, second = ready(two.start(report_trip=nobody_listens)), ready(two.start(report_trip=nobody_listens))
    two.sources.route(MODEL, champion=1, canary=3, percent=100)
    at_epoch(first, 2)
    at_epoch(second, 2)
    two.sources.away = True
    for i in range(3):
        ask(first, f"k{i}")
    wait_until(lambda: "errors among" in canary_row(second)["reason"], seconds=3)
    assert "steward_canary_trips_total{" not in second.get("/metrics").text, "it did not see a failure itself"


def nobody_listens(model: str, version: int, reason: str) -> None:
    raise UnavailableError("nobody listens")


def canary_row(client: TestClient) -> dict[str, Any]:
    (row,) = [row for row in client.get("/v2/repository/index").json() if row["role"] == "canary"]
    return row


def test_an_altered_canary_is_never_loaded_and_counts_as_failing(two: Stack, spec: ModelSpec) -> None:
    two.sources.register(spec, 3, make_estimator())
    (two.sources.folder / f"{MODEL}@3" / "extra.txt").write_text("not approved")
    client = ready(two.start())
    two.sources.route(MODEL, champion=1, canary=3, percent=100)
    at_epoch(client, 2)
    assert {ask(client, f"k{i}") for i in range(8)} == {("1", "champion")}
    assert "the artefact has digest" in client.get("/v2/health/ready").json()["reasons"][0]
    rows = two.logged()
    assert rows.loc[rows["role"] == "canary", "error"].tolist() == ["not_loaded"] * 3


def test_an_altered_champion_does_not_replace_a_good_one(two: Stack) -> None:
    client = ready(two.start())
    (two.sources.folder / f"{MODEL}@2" / "extra.txt").write_text("not approved")
    two.sources.route(MODEL, champion=2)
    wait_until(lambda: client.get("/v2/health/ready").json()["status"] == "degraded")
    assert ask(client) == ("1", "champion")


def test_wrong_smoke_answers_keep_a_version_off(two: Stack, spec: ModelSpec) -> None:
    sound = {"row": {**ROW, "distance": 2900.0}, "expect": {"min": 0.5}}
    two.sources.register(spec, 3, make_estimator(), smoke=[sound])
    two.sources.register(spec, 4, make_estimator(flip=True), smoke=[sound])
    client = ready(two.start())
    two.sources.route(MODEL, champion=3)
    at_epoch(client, 2)
    two.sources.route(MODEL, champion=4)
    wait_until(lambda: client.get("/v2/health/ready").json()["status"] == "degraded")
    assert "smoke row 0 scored" in client.get("/v2/health/ready").json()["reasons"][0]
    assert ask(client) == ("3", "champion")


def test_a_version_is_served_by_the_spec_it_was_registered_under(two: Stack) -> None:
    """What a model.yaml says today is the next version's: neither its features nor its threshold reach this one."""
    two.sources.specs[MODEL] = make_spec(features={"distance": {"type": "number"}})
    assert ask(ready(two.start())) == ("1", "champion")


def test_a_version_whose_own_spec_lacks_a_feature_is_not_served(two: Stack) -> None:
    narrow = make_spec(features={"distance": {"type": "number"}})
    two.sources.register(narrow, 1, make_estimator())
    client = two.start()
    wait_until(lambda: "does not declare" in str(client.get("/v2/health/ready").json()["reasons"]))
    assert client.post(INFER, json=tensors(ROW)).status_code == 503


def test_an_older_epoch_is_refused(two: Stack) -> None:
    client = ready(two.start())
    newer = two.sources.route(MODEL, champion=2)
    at_epoch(client, 2)
    two.sources.table[MODEL] = two.sources.table[MODEL].__class__(MODEL, 1, None, 0, 1, newer.updated_at)
    wait_until(lambda: client.get("/v2/health/ready").json()["status"] == "ok")
    assert ask(client) == ("2", "champion")


def test_traffic_goes_on_while_the_control_plane_is_away(two: Stack) -> None:
    client = ready(two.start())
    two.sources.away = True
    wait_until(lambda: client.get("/v2/health/ready").json()["status"] == "degraded")
    health = client.get("/v2/health/ready")
    assert health.status_code == 200
    assert "control plane unreachable since" in health.json()["reasons"][0]
    assert ask(client) == ("1", "champion")
    two.sources.away = False
    two.sources.route(MODEL, champion=2)
    at_epoch(client, 2)
    assert client.get("/v2/health/ready").json()["status"] == "ok"


def test_a_server_starts_from_its_last_table_without_the_control_plane(two: Stack) -> None:
    client = ready(two.start())
    two.sources.route(MODEL, champion=1, canary=2, percent=100)
    at_epoch(client, 2)
    two.stop()
    two.sources.away = True
    again = ready(two.start())
    assert ask(again) == ("2", "canary")
    assert again.get("/v2/health/ready").json()["status"] == "degraded"


def test_a_server_that_starts_alone_brings_every_model_back(two: Stack) -> None:
    """Though they come in one after the other, and the table is saved in between."""
    models = [f"model_{letter}" for letter in "abcdef"]
    for model in models:
        two.sources.register(make_spec().model_copy(update={"model": model}), 1, make_estimator())
        two.sources.route(model, champion=1)
    client = two.start()
    wait_until(lambda: len(client.get("/v2/health/ready").json()["epochs"]) == 7)
    two.stop()
    two.sources.away = True
    alone = two.start()
    wait_until(lambda: set(models) <= set(alone.get("/v2/health/ready").json()["epochs"]), seconds=4)
    two.stop()
    assert {route["model"] for route in json.loads((two.home / "serving" / "routes.json").read_text())["routes"]} == {
        MODEL,
        *models,
    }


def test_an_artefact_altered_in_the_cache_is_fetched_again(two: Stack) -> None:
    ready(two.start())
    two.stop()
    (cached,) = (two.home / "serving" / "artefacts").iterdir()
    (cached / "model.skops").write_bytes(b"altered")
    assert ask(ready(two.start())) == ("1", "champion")
    assert len(two.sources.fetched) == 2


def test_a_broken_saved_table_is_as_good_as_none(two: Stack) -> None:
    saved = two.home / "serving" / "routes.json"
    saved.parent.mkdir(parents=True)
    saved.write_text('{"routes": [{"model":')
    assert ask(ready(two.start())) == ("1", "champion")


def test_the_saved_table_names_only_what_is_served(two: Stack) -> None:
    client = ready(two.start())
    two.sources.route(MODEL, champion=2)
    at_epoch(client, 2)
    file = two.home / "serving" / "routes.json"  # written a moment after the route is in force
    wait_until(lambda: list(json.loads(file.read_text())["artefacts"]) == [f"{MODEL}@2"])


def test_a_model_switched_off_for_good_says_so_and_is_not_waited_for(two: Stack) -> None:
    client = ready(two.start())
    two.sources.switched_off[MODEL] = "switched off for good on 2013-04-01: superseded; ask heir"
    two.sources.route(MODEL, champion=None)
    wait_until(lambda: client.post(INFER, json=tensors(ROW)).status_code == 410)
    refused = client.post(INFER, json=tensors(ROW)).json()
    assert (refused["code"], refused["error"]) == ("retired", f"{MODEL}: {two.sources.switched_off[MODEL]}")
    for path in (f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/ready"):
        assert client.get(path).status_code == 410
    assert client.post("/models/" + MODEL + "/invocations", json={"dataframe_records": [ROW]}).status_code == 410
    late = {"outcomes": [{"decision_id": "d", "label": 1.0}]}
    assert client.post(f"/v2/models/{MODEL}/outcomes", json=late).status_code == 410
    assert client.get("/v2/health/ready").json()["ready"]
    assert client.post("/v2/repository/index", json={}).json() == []


def test_a_server_that_starts_alone_still_knows_what_was_switched_off(two: Stack) -> None:
    client = ready(two.start())
    two.sources.switched_off[MODEL] = "switched off for good"
    two.sources.route(MODEL, champion=None)
    wait_until(lambda: client.post(INFER, json=tensors(ROW)).status_code == 410)
    two.stop()
    two.sources.away = True
    assert two.start().post(INFER, json=tensors(ROW)).status_code == 410


def test_a_retired_model_whose_folder_is_gone_holds_up_nobody(two: Stack, spec: ModelSpec) -> None:
    """A fresh server, without a saved table: the route is all that is left of the one model."""
    two.sources.switched_off["gone"] = "switched off for good"
    two.sources.route("gone", champion=None)
    client = ready(two.start())
    assert ask(client) == ("1", "champion")
    assert client.post("/v2/models/gone/infer", json=tensors(ROW)).status_code == 410


def test_a_first_release_rolled_back_is_not_released_rather_than_gone(two: Stack) -> None:
    client = ready(two.start())
    two.sources.route(MODEL, champion=None)
    at_epoch(client, 2)
    assert client.post(INFER, json=tensors(ROW)).json()["code"] == "not_ready"
    two.sources.switched_off[MODEL] = "switched off for good"
    wait_until(lambda: client.post(INFER, json=tensors(ROW)).status_code == 410)


def test_a_route_that_cannot_be_put_in_force_holds_up_no_other(two: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    of = ActiveRoute.of

    def fails_for_one(route: Any, *given: Any) -> ActiveRoute:
        if route.model == MODEL:
            raise KeyError("nobody thought of this")
        return of(route, *given)

    monkeypatch.setattr(ActiveRoute, "of", fails_for_one)
    two.sources.register(make_spec().model_copy(update={"model": "other"}), 1, make_estimator())
    two.sources.route("other", champion=1)
    client = two.start()
    wait_until(lambda: client.get("/v2/health/ready").json()["epochs"] == {"other": 1})
    wait_until(lambda: "nobody thought of this" in str(client.get("/v2/health/ready").json()["reasons"]))


def test_what_was_taken_back_while_it_was_loaded_does_not_stay(two: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    at_it, go_on = threading.Event(), threading.Event()
    fetch = two.sources.fetch

    def slow(version: Any) -> Path:
        if version.number == 2:
            at_it.set()
            assert go_on.wait(10)
        return fetch(version)

    monkeypatch.setattr(two.sources, "fetch", slow)
    table = RoutingTable(two.sources, ArtefactCache(two.home / "cache"), SavedTable(two.home / "routes.json"))
    two.sources.route(MODEL, champion=1, shadow=2)
    table.refresh()
    wait_until(lambda: MODEL in table.active and at_it.is_set())
    two.sources.route(MODEL, champion=1)
    table.refresh()
    go_on.set()
    table._loader._pool.shutdown(wait=True)
    assert [version.ref.number for version in table.loaded()] == [1]


def test_an_altered_artefact_is_not_fetched_for_ever_at_the_same_pace(
    two: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "RETRY_SECONDS", 0.02)
    (two.sources.folder / f"{MODEL}@2" / "model.skops").write_bytes(b"altered")
    two.sources.route(MODEL, champion=1, standby=2)
    table = RoutingTable(two.sources, ArtefactCache(two.home / "cache"), SavedTable(two.home / "routes.json"))
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        table.refresh()
        time.sleep(0.005)
    assert 3 <= [ref.number for ref in two.sources.fetched].count(2) <= 8
