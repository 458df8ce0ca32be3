"""The server as its callers see it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from steward.serving.answers.answering import Limits
from steward.spec import ModelSpec

from .conftest import MODEL, ROW, Stack, make_estimator, make_spec, ready, tensors, wait_until

INFER = f"/v2/models/{MODEL}/infer"


def test_an_answer_names_version_role_and_decisions(served: TestClient) -> None:
    answer = served.post(INFER, json={**tensors(ROW, ROW, key="k"), "id": "r1"}).json()
    expected = make_estimator().predict_proba(_frame(ROW))[:, 1]
    assert answer["model_version"] == "1"
    assert answer["id"] == "r1"
    assert answer["parameters"]["role"] == "champion"
    assert len(set(answer["parameters"]["decision_ids"])) == 2
    score, label = answer["outputs"]
    assert score == {"name": "score", "shape": [2], "datatype": "FP64", "data": pytest.approx([expected[0]] * 2)}
    assert label["data"] == [0, 0]


def _frame(row: dict[str, Any]) -> Any:
    import pandas as pd

    return pd.DataFrame([{**row, "stops": float(row["stops"])}])


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}},
        {"dataframe_records": [ROW]},
        {"instances": [ROW]},
        {"inputs": {name: [value] for name, value in ROW.items()}},
    ],
)
@pytest.mark.parametrize("path", ["/invocations", f"/invocations?model={MODEL}", f"/models/{MODEL}/invocations"])
def test_mlflow_clients_are_answered_in_all_their_ways(served: TestClient, body: dict[str, Any], path: str) -> None:
    response = served.post(path, json=body)
    score = served.post(INFER, json=tensors(ROW)).json()["outputs"][0]["data"]
    assert response.json()["predictions"] == [0]
    assert response.json()["scores"] == score
    assert response.headers["x-steward-version"] == "1"
    assert response.headers["x-steward-role"] == "champion"
    assert response.headers["x-steward-decision-ids"] == response.json()["decision_ids"][0]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ROW.items() if key != name}


def tensor(**changed: Any) -> dict[str, Any]:
    """A request whose `distance` tensor is changed."""
    request = tensors(ROW)
    request["inputs"][0].update(changed)
    return request


BAD_REQUESTS: dict[str, tuple[Any, str]] = {
    "not JSON": (b"{", "bad_json"),
    "a bare NaN": (b'{"inputs": [NaN]}', "bad_json"),
    "not an object": ([1], "bad_json"),
    "no inputs": ({}, "no_inputs"),
    "inputs not tensors": ({"inputs": [1]}, "bad_request"),
    "a feature left out": (tensors(without("distance")), "missing_feature"),
    "text for a number": (tensors({**ROW, "distance": "far"}), "wrong_datatype"),
    "a number for text": (tensors({**ROW, "carrier": 7}), "wrong_datatype"),
    "a number for a boolean": (tensors({**ROW, "holiday": 1}), "wrong_datatype"),
    "a fraction for an integer": (tensors({**ROW, "stops": 1.5}), "wrong_datatype"),
    "a boolean for a number": (tensors({**ROW, "distance": True}), "wrong_datatype"),
    "another datatype than said": (tensor(datatype="INT64"), "wrong_datatype"),
    "an unknown datatype": (tensor(datatype="FP7"), "wrong_datatype"),
    "a missing value not allowed": (tensor(data=[None]), "missing_value"),
    "a shape that does not fit": (tensor(shape=[2]), "ragged"),
    "a shape of text": (tensor(shape="one"), "ragged"),
    "two columns in a tensor": (tensor(data=[[1.0, 2.0]], shape=[1, 2]), "ragged"),
    "tensors of two lengths": (tensor(data=[1.0, 2.0], shape=[2]), "ragged"),
    "a tensor twice": ({"inputs": tensors(ROW)["inputs"] * 2}, "twice"),
    "no rows": (tensor(data=[], shape=[0]), "ragged"),
    "one id for two rows": (tensors(ROW, ROW, decision_ids=["a"]), "bad_decision_ids"),
    "the same id twice": (tensors(ROW, ROW, decision_ids=["a", "a"]), "bad_decision_ids"),
    "a key that is no name": (tensors(ROW, key={"a": 1}), "bad_request"),
    "parameters not an object": ({**tensors(ROW), "parameters": [1]}, "bad_request"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_told_what_to_do(served: TestClient, case: str) -> None:
    body, code = BAD_REQUESTS[case]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = served.post(INFER, content=content)
    assert response.status_code == 400
    assert response.json()["code"] == code
    assert response.json()["error"]
    assert response.json()["hint"]


def test_a_misspelt_feature_is_pointed_at(served: TestClient) -> None:
    hint = served.post(INFER, json=tensors({**without("distance"), "distnace": 5.0})).json()["hint"]
    assert "'distnace' is close" in hint


def test_missing_values_are_answered_where_the_contract_allows_them(served: TestClient) -> None:
    request = tensors(ROW)
    request["inputs"][4]["data"] = [None]
    assert served.post(INFER, json=request).status_code == 200


def test_a_category_never_seen_is_answered_and_counted(served: TestClient) -> None:
    assert served.post(INFER, json=tensors({**ROW, "carrier": "ZZ"})).status_code == 200
    assert f'steward_unseen_levels_total{{model="{MODEL}"}} 1.0' in served.get("/metrics").text


def test_an_unknown_model_is_told_which_are_known(served: TestClient) -> None:
    response = served.post("/v2/models/nobody/infer", json=tensors(ROW))
    assert response.status_code == 404
    assert (response.json()["code"], response.json()["hint"]) == ("unknown_model", f"known here: {MODEL}")


def test_an_unknown_route_is_json_too(served: TestClient) -> None:
    assert served.get("/docs").json()["code"] == "no_such_route"
    assert served.get(INFER).status_code == 405


def test_a_model_not_loaded_yet_says_when_to_come_back(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.away = True
    client = stack.start()
    response = client.post(INFER, json=tensors(ROW))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["code"] == "not_ready"
    assert client.get("/v2/health/ready").status_code == 503
    assert client.get("/v2/health/live").status_code == 200


def test_limits_hold(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    client = ready(stack.start(limits=Limits(body_bytes=4000, rows=3)))
    assert client.post(INFER, json=tensors(*[ROW] * 4)).json()["code"] == "too_many_rows"
    assert client.post(INFER, content=b" " * 4001).status_code == 413
    assert client.post(INFER, content=iter([b" " * 3000] * 2)).json()["code"] == "body_too_large"


def test_a_token_guards_everything_but_health(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    client = ready(stack.start(token="secret"))
    for path in ("/v2", "/metrics", f"/v2/models/{MODEL}"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
        assert client.get(path, headers={"authorization": "Bearer secret"}).status_code == 200
    assert client.post(INFER, json=tensors(ROW)).json()["code"] == "unauthorized"


def test_metadata_lists_the_features(served: TestClient) -> None:
    metadata = served.get(f"/v2/models/{MODEL}").json()
    assert metadata["versions"] == ["1"]
    assert {i["name"]: i["datatype"] for i in metadata["inputs"]} == {
        "distance": "FP64",
        "carrier": "BYTES",
        "stops": "INT64",
        "holiday": "BOOL",
        "temp": "FP64",
    }
    assert served.get(f"/v2/models/{MODEL}/ready").json()["ready"] is True


def test_what_was_answered_is_in_the_log(stack: Stack, served: TestClient) -> None:
    request = tensors(ROW, {**ROW, "distance": 900.0}, key="k", source="desk", decision_ids=["a", "b"])
    answer = served.post(INFER, json=request).json()
    rows = stack.logged()
    assert list(rows["decision_id"]) == ["a", "b"]
    assert list(rows["score"]) == answer["outputs"][0]["data"]
    assert list(rows["f_distance"]) == [500.0, 900.0]
    assert list(rows["f_carrier"]) == ["UA", "UA"]
    assert rows[["request_key", "version", "role", "epoch", "source"]].iloc[0].tolist() == [
        "k",
        1,
        "champion",
        1,
        "desk",
    ]
    assert rows["at"].iloc[0].isoformat() == "2013-04-01T12:00:00+00:00"
    assert (rows["latency_ms"] > 0).all()


def test_one_rows_request_id_names_its_decision(stack: Stack, served: TestClient) -> None:
    answer = served.post(INFER, json={**tensors(ROW), "id": "flight-7"}).json()
    assert answer["parameters"]["decision_ids"] == ["flight-7"]
    assert stack.logged()["request_key"].tolist() == ["flight-7"]


def test_privacy_drops_and_hashes_columns(stack: Stack) -> None:
    private = make_spec(privacy={"carrier": "hash", "distance": "drop"})
    stack.sources.register(private, 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    client = ready(stack.start(hash_key=b"key"))
    client.post(INFER, json=tensors(ROW, {**ROW, "carrier": "AA"}, {**ROW, "passenger": "Ada"}))
    rows = stack.logged()
    assert not {"f_distance", "f_passenger"} & set(rows.columns)
    assert rows["f_carrier"].nunique() == 2
    assert not rows["f_carrier"].isin(["UA", "AA"]).any()


def test_outcomes_are_stored_before_they_are_acknowledged(stack: Stack, served: TestClient) -> None:
    told = [{"decision_id": "a", "label": True, "observed_at": "2013-04-02T00:00:00Z"}]
    response = served.post(f"/v2/models/{MODEL}/outcomes", json={"outcomes": told})
    assert response.json() == {"stored": 1}
    assert stack.log.outcomes[MODEL][0].to_pylist()[0]["label"] == 1.0
    stack.log.away = True
    refused = served.post(f"/v2/models/{MODEL}/outcomes", json={"outcomes": told})
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize(
    "outcome",
    [
        7,
        {"label": 1, "observed_at": "2013-04-02"},
        {"decision_id": "a", "label": "late", "observed_at": "2013-04-02"},
        {"decision_id": "a", "label": 1, "observed_at": "soon"},
        {"decision_id": "a", "label": 1},
    ],
)
def test_a_bad_outcome_stores_none_of_them(stack: Stack, served: TestClient, outcome: Any) -> None:
    good = {"decision_id": "b", "label": 1, "observed_at": "2013-04-02"}
    response = served.post(f"/v2/models/{MODEL}/outcomes", json={"outcomes": [good, outcome]})
    assert response.status_code == 400
    assert "outcomes[1]" in response.json()["error"]
    assert MODEL not in stack.log.outcomes


def test_answers_go_on_while_the_log_is_away_and_nothing_is_lost(stack: Stack, served: TestClient) -> None:
    stack.log.away = True
    for i in range(5):
        assert served.post(INFER, json={**tensors(ROW), "id": f"d{i}"}).status_code == 200
    wait_until(lambda: served.get("/v2/health/ready").json()["status"] == "degraded")
    assert served.get("/v2/health/ready").status_code == 200
    stack.log.away = False
    assert sorted(stack.logged()["decision_id"]) == [f"d{i}" for i in range(5)]


def test_a_full_log_queue_counts_what_it_loses(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    stack.log.away = True
    client = ready(stack.start(log_capacity=3))
    for _ in range(5):
        assert client.post(INFER, json=tensors(ROW)).status_code == 200
    assert f'steward_prediction_log_lost_total{{model="{MODEL}"}} 2.0' in client.get("/metrics").text
    assert "steward_prediction_log_pending_rows 3.0" in client.get("/metrics").text


def test_rows_a_crash_took_are_counted_by_the_next_process(tmp_path: Path) -> None:
    from steward.serving.log.row_counts import RowCount

    crashed, alive = RowCount(tmp_path / "count"), RowCount(tmp_path / "count")
    crashed.take(10)
    crashed.settle(7)
    alive.take(100)
    crashed.close()
    assert RowCount(tmp_path / "count").lost_before == 3
    assert RowCount(tmp_path / "count").lost_before == 0


def test_metrics_carry_only_the_three_labels(served: TestClient) -> None:
    served.post(INFER, json=tensors(ROW))
    served.post(INFER, json={})
    text = served.get("/metrics").text
    assert f'steward_requests_total{{model="{MODEL}",role="champion",version="1"}} 1.0' in text
    assert 'kind="no_inputs"' in text
    assert f'steward_route_epoch{{model="{MODEL}"}} 1.0' in text
    for name in ("steward_request_duration_seconds_bucket", "steward_prediction_rows_total"):
        assert name in text
