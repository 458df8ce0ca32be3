"""Protected columns that are no features: heard in every protocol, logged by the rule of privacy, seen by no model."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from steward.data.privacy import keyed_hash
from steward.rollout import Route
from steward.serving.answers.contract import RequestContract
from steward.serving.answers.failures import RefusedRequestError
from steward.serving.log.answered_rows import FeatureLayout
from steward.serving.memory.versions import LoadedVersion
from steward.serving.routing.active_route import ActiveRoute
from steward.serving.routing.breaker import CanaryBreaker
from steward.spec import ModelSpec
from steward.types import VersionRef

from .conftest import MODEL, ROW, Stack, make_estimator, make_spec, ready, tensors

INFER = f"/v2/models/{MODEL}/infer"
WATCHED: dict[str, Any] = {
    "other_columns": ["race", "age_band"],
    "protected": ["race", "age_band"],
    "privacy": {"race": "keep"},
}
KEY, NOW = b"key", datetime(2013, 4, 1, tzinfo=UTC)
PERSON = {**ROW, "race": "black", "age_band": 3}


def watched() -> ModelSpec:
    return make_spec(**WATCHED)


@pytest.fixture
def client(stack: Stack) -> TestClient:
    stack.sources.register(watched(), 1, make_estimator())
    stack.sources.route(MODEL, champion=1)
    return ready(stack.start(hash_key=KEY))


def _split(row: dict[str, Any]) -> dict[str, Any]:
    return {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}


WAYS = {
    "infer": (INFER, tensors),
    "records": ("/invocations", lambda row: {"dataframe_records": [row]}),
    "split": ("/invocations", _split),
    "instances": (f"/models/{MODEL}/invocations", lambda row: {"instances": [row]}),
    "columns": ("/invocations", lambda row: {"inputs": {name: [value] for name, value in row.items()}}),
}


@pytest.mark.parametrize("way", WAYS)
def test_groups_are_heard_in_every_protocol_and_change_no_answer(stack: Stack, client: TestClient, way: str) -> None:
    path, body = WAYS[way]
    with_groups, without = client.post(path, json=body(PERSON)), client.post(path, json=body(ROW))
    assert (with_groups.status_code, without.status_code) == (200, 200)
    rows = stack.logged()
    assert rows["score"].nunique() == 1
    assert rows["g_race"].tolist() == ["black", None]
    assert rows["g_age_band"].tolist() == [keyed_hash(KEY, MODEL, "3"), None]
    assert not {"f_race", "f_age_band"} & set(rows.columns)


def test_csv_brings_them_too(stack: Stack, client: TestClient) -> None:
    text = "distance,carrier,stops,holiday,temp,race,age_band\n500,UA,1,false,10.5,white,3\n500,UA,1,false,10.5,,\n"
    answer = client.post("/invocations", content=text, headers={"content-type": "text/csv"})
    assert answer.status_code == 200
    assert stack.logged()["g_race"].tolist() == ["white", None]


def test_several_rows_keep_their_order_beside_rows_without(stack: Stack, client: TestClient) -> None:
    client.post(INFER, json=tensors({**PERSON, "race": "white"}, PERSON, decision_ids=["a", "b"]))
    client.post(INFER, json=tensors(ROW, decision_ids=["c"]))
    assert stack.logged().set_index("decision_id")["g_race"].to_dict() == {"a": "white", "b": "black", "c": None}


@pytest.mark.parametrize("value", ["x" * 201, ["black"], {"race": "black"}])
def test_what_names_no_group_is_refused(client: TestClient, value: Any) -> None:
    answer = client.post("/invocations", json={"dataframe_records": [{**ROW, "race": value}]})
    assert (answer.status_code, answer.json()["code"]) == (400, "wrong_datatype")
    assert "race" in answer.json()["error"]


def test_a_number_and_its_text_are_one_group_and_nothing_is_missing() -> None:
    columns = {**{name: [value] * 5 for name, value in ROW.items()}, "age_band": [3, 3.0, "3", None, ""]}
    batch = RequestContract(watched()).check(columns, 5, tuple(ROW))
    assert batch.groups == {"age_band": ["3", "3", "3", None, None]}
    assert set(batch.columns) == set(ROW), "a model is handed features alone"


def test_what_the_spec_does_not_name_is_still_left_out(stack: Stack, client: TestClient) -> None:
    client.post(INFER, json=tensors({**PERSON, "passenger": "Ada"}))
    assert not any("passenger" in column for column in stack.logged().columns)


def test_a_misspelt_feature_is_not_taken_for_a_group() -> None:
    columns = {name: [value] for name, value in ROW.items() if name != "distance"} | {"race": ["black"], "distnce": [1]}
    with pytest.raises(RefusedRequestError, match="distance") as refused:
        RequestContract(watched()).check(columns, 1, tuple(ROW))
    assert "distnce" in str(refused.value.hint)


def test_models_without_groups_keep_what_they_kept() -> None:
    plain, columns = make_spec(), {name: [value] for name, value in ROW.items()}
    batch = RequestContract(plain).check(columns, 1, tuple(ROW))
    assert batch.columns is columns, "the features alone are not even copied"
    assert FeatureLayout(plain, KEY).keep(batch) == tuple(ROW.values())
    assert not batch.groups


def test_a_version_beside_the_champion_is_heard_too() -> None:
    versions = {
        number: LoadedVersion(VersionRef(MODEL, number), "d", make_estimator(), spec)
        for number, spec in {1: make_spec(), 2: watched()}.items()
    }
    active = ActiveRoute.of(
        Route(MODEL, epoch=2, updated_at=NOW, champion=1, canary=2, percent=5), versions, {}, CanaryBreaker()
    )
    assert active.contract.groups == ("race", "age_band")
    columns = {name: [value] for name, value in PERSON.items()}
    batch = active.contract.check(columns, 1, active.promised.features)
    assert active.layout.keep(batch)[-2:] == ("black", "3")


def test_metadata_and_schema_say_what_is_accepted(client: TestClient) -> None:
    told = client.get(f"/v2/models/{MODEL}").json()
    assert told["parameters"] == {"groups": ["race", "age_band"]}
    assert [each["name"] for each in told["inputs"]] == list(ROW), "a tensor without names holds the features alone"
    row = client.get("/openapi.json").json()["components"]["schemas"][f"{MODEL}.row"]
    assert {"race", "age_band"} <= set(row["properties"])
    assert row["required"] == list(ROW)


def test_groups_are_in_no_line_of_the_servers_log(
    stack: Stack, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        client.post(INFER, json=tensors({**PERSON, "race": "a-very-rare-group"}))
        client.post(INFER, json=tensors({**PERSON, "race": "a-very-rare-group", "distance": "far"}))
        metrics = client.get("/metrics").text
        stack.logged()
    told = orjson.dumps([vars(record) for record in caplog.records], default=str).decode()
    assert "a-very-rare-group" not in told
    assert "a-very-rare-group" not in metrics


@pytest.mark.parametrize(("value", "stored"), [(12.5, 12.5), (-3, -3.0), (None, None), ("absent", None)])
def test_an_outcome_may_carry_the_businesss_value(
    stack: Stack, client: TestClient, value: Any, stored: float | None
) -> None:
    outcome: dict[str, Any] = {"decision_id": "a", "label": 1, "observed_at": "2013-04-02", "value": value}
    if value == "absent":
        del outcome["value"]
    assert client.post(f"/v2/models/{MODEL}/outcomes", json={"outcomes": [outcome]}).json() == {"stored": 1}
    assert stack.log.outcomes[MODEL][0].to_pylist()[0]["value"] == stored


@pytest.mark.parametrize("value", [True, "12", [1]])
def test_a_value_that_is_no_number_stores_nothing(stack: Stack, client: TestClient, value: Any) -> None:
    outcome = {"decision_id": "a", "label": 1, "observed_at": "2013-04-02", "value": value}
    answer = client.post(f"/v2/models/{MODEL}/outcomes", json={"outcomes": [outcome]})
    assert answer.status_code == 400
    assert "outcomes[0]" in answer.json()["error"]
    assert MODEL not in stack.log.outcomes
