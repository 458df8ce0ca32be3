"""A shadow and a version that stands by in a server: heard by nobody but testers, recorded, and never in the way."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from tests.unit.serving.conftest import (
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

from steward.serving.memory.versions import LoadedVersion

ASKED = 40


def serve(stack: Stack, second: Any, spec: Any = None, **route: int) -> Any:
    stack.sources.register(make_spec(), 1, make_estimator())
    stack.sources.register(spec or make_spec(), 2, second)
    stack.sources.route(MODEL, champion=1, **route)
    client = ready(stack.start())
    wait_until(lambda: {"1", "2"} <= ready_versions(client))
    return client


def ask(client: Any, count: int = ASKED, headers: dict[str, str] | None = None) -> list[Any]:
    answers = []
    for i in range(count):
        body = {"id": f"d{i}", **tensors({**ROW, "distance": 100.0 + 70 * i}, key=str(i))}
        answers.append(client.post(f"/v2/models/{MODEL}/infer", json=body, headers=headers))
    return answers


def sample(client: Any, name: str) -> float:
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_users_are_answered_by_the_champion_and_the_shadow_is_recorded_beside(stack: Stack) -> None:
    client = serve(stack, make_estimator(flip=True), shadow=2)
    answers = ask(client)
    assert {(a.status_code, a.json()["model_version"]) for a in answers} == {(200, "1")}
    wait_until(lambda: sample(client, 'steward_requests_total{model="flight_delays",role="shadow"') == ASKED)
    assert sample(client, "steward_shadow_differed_total") == ASKED
    rows = stack.logged()
    champion, shadow = rows[rows["role"] == "champion"], rows[rows["role"] == "shadow"]
    assert set(shadow["decision_id"]) == set(champion["decision_id"])
    assert (set(shadow["version"]), set(shadow["epoch"]), set(shadow["error"])) == ({2}, {1}, {None})
    both = champion.merge(shadow, on="decision_id")
    assert np.allclose(both["score_x"], 1 - both["score_y"])


@pytest.mark.parametrize("broken", [not_a_number_estimator(), make_estimator(strict_carriers=("XX", "YY"))])
def test_a_broken_shadow_costs_no_user_an_answer_and_is_reported_once(stack: Stack, broken: Any) -> None:
    client = serve(stack, broken, shadow=2)
    answers = ask(client)
    assert {(a.status_code, a.json()["model_version"]) for a in answers} == {(200, "1")}
    wait_until(lambda: stack.trips)
    (trip,) = stack.trips
    assert trip[:2] == (MODEL, 2)
    assert "errors" in trip[2]
    index = {row["version"]: row for row in client.post("/v2/repository/index", json={}).json()}
    assert "errors" in index["2"]["reason"]
    rows = stack.logged()
    assert set(rows[rows["role"] == "shadow"]["error"]) <= {"not_finite", "model_failed"}
    assert len(rows[rows["role"] == "champion"]) == ASKED


def test_a_slow_shadow_makes_nobody_wait(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a quarter of a second; forty requests behind it would take ten."""
    answer = LoadedVersion.answer

    def slow(self: LoadedVersion, batch: Any) -> Any:
        if self.ref.number == 2:
            time.sleep(0.25)
        return answer(self, batch)

    client = serve(stack, make_estimator(), shadow=2)
    monkeypatch.setattr(LoadedVersion, "answer", slow)
    started = time.monotonic()
    assert {a.status_code for a in ask(client)} == {200}
    assert time.monotonic() - started < 5


def test_a_shadow_that_the_requests_do_not_fit_says_so(stack: Stack) -> None:
    """Its spec asks for a feature that callers do not send yet: they would be refused if it were the champion."""
    features = {**make_spec().model_dump(mode="json")["data"]["features"], "weight": {"type": "number"}}
    spec = make_spec(features=features)
    client = serve(stack, make_estimator_with("weight"), spec, shadow=2)
    assert {a.status_code for a in ask(client, 3)} == {200}
    wait_until(lambda: sample(client, 'steward_request_errors_total{kind="refused"') == 3)


def make_estimator_with(name: str) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from tests.unit.serving.conftest import training_frame

    frame, late = training_frame()
    numbers = frame[["distance"]].assign(**{name: 1.0})
    return Pipeline([("model", LogisticRegression())]).fit(numbers, late)


def test_a_version_that_stands_by_is_loaded_and_asked_by_name_alone(stack: Stack) -> None:
    client = serve(stack, make_estimator(flip=True), standby=2)
    assert {a.json()["model_version"] for a in ask(client)} == {"1"}
    (asked,) = ask(client, 1, {"x-steward-version": "2"})
    assert asked.json()["model_version"] == "2"
    roles = stack.logged()["role"].value_counts().to_dict()
    assert roles == {"champion": ASKED, "tester": 1}


def ready_versions(client: Any) -> set[str]:
    rows = client.post("/v2/repository/index", json={}).json()
    return {row["version"] for row in rows if row["state"] == "READY"}


def test_a_switch_to_a_version_that_stood_by_loads_nothing(stack: Stack) -> None:
    client = serve(stack, make_estimator(flip=True), standby=2)
    fetched = list(stack.sources.fetched)
    route = stack.sources.route(MODEL, champion=1, canary=2, percent=100)
    at_epoch(client, route.epoch)
    assert {a.json()["model_version"] for a in ask(client, 5)} == {"2"}
    assert stack.sources.fetched == fetched


def test_blue_answers_what_green_cannot(stack: Stack) -> None:
    client = serve(stack, not_a_number_estimator(), canary=2, percent=100)
    answers = ask(client)
    assert {(a.status_code, a.json()["model_version"]) for a in answers} == {(200, "1")}
    wait_until(lambda: stack.trips)


def test_of_a_feature_that_only_the_next_version_knows_no_more_is_logged_than_its_own_spec_allows(stack: Stack) -> None:
    features = {**make_spec().model_dump(mode="json")["data"]["features"], "passport": {"type": "text"}}
    spec = make_spec(features=features, privacy={"passport": "hash"})
    client = serve(stack, make_estimator(), spec, canary=2, percent=50)
    for i in range(20):
        client.post(f"/v2/models/{MODEL}/infer", json=tensors({**ROW, "passport": "X123"}, key=str(i)))
    logged = stack.logged()
    assert "X123" not in logged.to_csv()
    assert logged["f_passport"].notna().all()
