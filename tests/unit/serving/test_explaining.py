"""An answer with its reasons, on request; and what the server says it serves."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier

from steward.serving.protocols.reason_codes import codes_of
from steward.spec import ModelSpec
from steward.types import VersionRef

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
    training_frame,
)

REFERENCE = {"distance": 1500.0, "carrier": "UA", "stops": 1.0, "holiday": False, "temp": 10.0}
INFER = f"/v2/models/{MODEL}/infer"


@pytest.fixture
def explained(stack: Stack, spec: ModelSpec) -> TestClient:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.references[VersionRef(MODEL, 1)] = REFERENCE
    stack.sources.route(MODEL, champion=1)
    return ready(stack.start())


def explanation_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    (tensor,) = [output for output in answer["outputs"] if output["name"] == "explanation"]
    assert tensor["datatype"] == "BYTES"
    return [json.loads(text) for text in tensor["data"]]


def test_an_answer_carries_its_reasons_when_asked(explained: TestClient) -> None:
    answer = explained.post(INFER, json=tensors(ROW, explain=True)).json()
    (why,) = explanation_of(answer)
    (score,) = answer["outputs"][0]["data"]
    assert why["score"] == pytest.approx(score)
    total = why["reference_score"] + sum(each["amount"] for each in why["contributions"])
    assert total == pytest.approx(score)
    assert why["contributions"][0]["feature"] == "distance"
    assert (why["decision"], why["threshold"], why["reasons"][0]["code"]) == (0, 0.5, "distance")


def test_nobody_is_told_reasons_unasked(explained: TestClient) -> None:
    outputs = explained.post(INFER, json=tensors(ROW)).json()["outputs"]
    assert [output["name"] for output in outputs] == ["score", "label"]


def test_mlflows_protocol_carries_them_too(explained: TestClient) -> None:
    body = {"dataframe_records": [ROW, {**ROW, "distance": 2900.0}], "params": {"explain": True}}
    answer = explained.post("/invocations", json=body).json()
    assert [each["decision"] for each in answer["explanations"]] == answer["predictions"] == [0, 1]


def test_a_version_without_a_reference_still_answers(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    answer = ready(stack.start()).post(INFER, json=tensors(ROW, explain=True))
    assert answer.status_code == 200
    assert "without a reference row" in explanation_of(answer.json())[0]["problem"]


def test_a_reference_that_cannot_be_scored_loses_no_decision(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator(strict_carriers=("UA", "AA")))
    stack.sources.references[VersionRef(MODEL, 1)] = {**REFERENCE, "carrier": "ZZ"}
    stack.sources.route(MODEL, champion=1)
    answer = ready(stack.start()).post(INFER, json=tensors(ROW, explain=True))
    assert answer.status_code == 200
    assert "ZZ" in explanation_of(answer.json())[0]["problem"]
    assert len(stack.logged()) == 1


def test_what_fails_unforeseen_while_it_is_explained_loses_no_decision(
    explained: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("steward.serving.answers.explaining.explain", fails)
    answer = explained.post(INFER, json=tensors(ROW, explain=True))
    assert answer.status_code == 200
    assert explanation_of(answer.json()) == [{"problem": "it could not be explained (ZeroDivisionError)"}]


@pytest.mark.parametrize(("explain", "rows", "code"), [("yes", 1, 400), (1, 1, 200), (True, 21, 413)])
def test_what_may_be_asked(explained: TestClient, explain: Any, rows: int, code: int) -> None:
    assert explained.post(INFER, json=tensors(*[ROW] * rows, explain=explain)).status_code == code


def codes_in(answer: dict[str, Any]) -> list[Any]:
    (tensor,) = [output for output in answer["outputs"] if output["name"] == "reason_codes"]
    return [json.loads(text) for text in tensor["data"]]


def test_a_refused_person_gets_codes_in_the_words_of_the_spec(stack: Stack) -> None:
    spec = make_spec()
    said = spec.data.features["distance"].model_copy(update={"reason": "The route is too short"})
    spec = spec.model_copy(
        update={"data": spec.data.model_copy(update={"features": {**spec.data.features, "distance": said}})}
    )
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.references[VersionRef(MODEL, 1)] = REFERENCE
    stack.sources.route(MODEL, champion=1)
    client = ready(stack.start())
    row = {**ROW, "temp": 30.0, "stops": 3}
    (codes,) = codes_in(client.post(INFER, json=tensors(row, reason_codes=True)).json())
    assert codes[0] == {"code": "distance", "feature": "distance", "text": "The route is too short"}
    assert 2 <= len(codes) <= 4
    (one,) = codes_in(client.post(INFER, json=tensors(row, reason_codes=1)).json())
    assert one == codes[:1]


def test_codes_come_without_the_account_and_beside_it(explained: TestClient) -> None:
    alone = explained.post(INFER, json=tensors(ROW, reason_codes=True)).json()
    assert [output["name"] for output in alone["outputs"]] == ["score", "label", "reason_codes"]
    both = explained.post(INFER, json=tensors(ROW, reason_codes=True, explain=True)).json()
    reasons = explanation_of(both)[0]["reasons"]
    assert [code["code"] for code in codes_in(both)[0]] == [reason["code"] for reason in reasons]
    named = {**tensors(ROW), "outputs": [{"name": "reason_codes"}]}
    assert [output["name"] for output in explained.post(INFER, json=named).json()["outputs"]] == ["reason_codes"]


def test_codes_in_mlflows_protocol_are_none_where_it_went_well(explained: TestClient) -> None:
    body = {"dataframe_records": [ROW, {**ROW, "distance": 2900.0}], "params": {"reason_codes": 2}}
    answer = explained.post("/invocations", json=body).json()
    assert answer["predictions"] == [0, 1]
    assert answer["reason_codes"][0][0]["code"] == "distance"
    assert answer["reason_codes"][1] == []
    assert "explanations" not in answer


@pytest.mark.parametrize(("asked", "code"), [(0, 400), (5, 400), ("yes", 400), (1.0, 400), (4, 200), (False, 200)])
def test_how_many_codes_may_be_asked(explained: TestClient, asked: Any, code: int) -> None:
    answer = explained.post(INFER, json=tensors(ROW, reason_codes=asked))
    assert answer.status_code == code
    assert code == 200 or answer.json()["code"] == "bad_reason_codes"


@pytest.mark.parametrize("how", ["parameter", "explanation", "reason_codes"])
def test_reasons_of_many_rows_are_refused_however_they_are_asked(explained: TestClient, how: str) -> None:
    body = tensors(*[ROW] * 21, **({"reason_codes": True} if how == "parameter" else {}))
    if how != "parameter":
        body["outputs"] = [{"name": how}]
    answer = explained.post(INFER, json=body)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_rows")


def test_no_reference_is_no_reason_and_says_so(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    answer = ready(stack.start()).post(INFER, json=tensors(ROW, reason_codes=True)).json()
    assert "without a reference row" in codes_in(answer)[0]["problem"]


def test_a_model_that_decides_nothing_has_no_reasons() -> None:
    assert "no yes-or-no decision" in codes_of({"score": 3.5, "contributions": []}, 4)["problem"]


def test_reasons_outlive_the_control_plane(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.references[VersionRef(MODEL, 1)] = REFERENCE
    stack.sources.route(MODEL, champion=1)
    ready(stack.start())
    stack.stop()
    stack.sources.away = True
    answer = ready(stack.start()).post(INFER, json=tensors(ROW, explain=True)).json()
    assert explanation_of(answer)[0]["reasons"]


@pytest.mark.parametrize(("threshold", "label"), [(0.5, 0), (0.001, 1)])
def test_the_label_follows_the_versions_own_threshold(
    stack: Stack, spec: ModelSpec, threshold: float, label: int
) -> None:
    estimator = FixedThresholdClassifier(FrozenEstimator(make_estimator()), threshold=threshold)
    row = {**ROW, "distance": 1300.0}
    stack.sources.register(spec, 1, estimator.fit(*training_frame()))
    stack.sources.references[VersionRef(MODEL, 1)] = REFERENCE
    stack.sources.route(MODEL, champion=1)
    answer = ready(stack.start()).post(INFER, json=tensors(row, explain=True)).json()
    assert answer["outputs"][1]["data"] == [label]
    assert (explanation_of(answer)[0]["decision"], explanation_of(answer)[0]["threshold"]) == (label, threshold)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_index_names_every_routed_version(stack: Stack, spec: ModelSpec, method: str) -> None:
    one = stack.sources.register(spec, 1, make_estimator())
    two = stack.sources.register(spec, 2, make_estimator(flip=True))
    stack.sources.route(MODEL, champion=1, canary=2, percent=20)
    rows = ready(stack.start()).request(method, "/v2/repository/index").json()
    found = [(r["name"], r["version"], r["state"], r["role"], r["percent"], r["digest"]) for r in rows]
    assert found == [
        (MODEL, "1", "READY", "champion", 80, one.artefact_digest),
        (MODEL, "2", "READY", "canary", 20, two.artefact_digest),
    ]


def test_a_canary_that_cannot_be_loaded_is_unavailable(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator())
    smoke = [{"row": ROW, "expect": {"min": 0.0, "max": 1.0}}]
    stack.sources.register(spec, 2, not_a_number_estimator(), smoke)
    stack.sources.route(MODEL, champion=1)
    client = ready(stack.start())
    stack.sources.route(MODEL, champion=1, canary=2, percent=20)
    at_epoch(client, 2)
    canary = client.get("/v2/repository/index").json()[1]
    assert (canary["state"], canary["digest"]) == ("UNAVAILABLE", None)
    assert "not a finite number" in canary["reason"]


def test_the_index_is_for_those_with_the_token(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    client = stack.start(token="secret")
    assert client.post("/v2/repository/index").status_code == 401
    assert client.post("/v2/repository/index", headers={"authorization": "Bearer secret"}).status_code == 200


def test_explanations_are_the_same_for_the_same_decision(explained: TestClient) -> None:
    first, again = (
        explanation_of(explained.post(INFER, json={**tensors(ROW, explain=True), "id": "d-1"}).json()) for _ in range(2)
    )
    assert first == again
    assert np.isfinite([each["amount"] for each in first[0]["contributions"]]).all()
