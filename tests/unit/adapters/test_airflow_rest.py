"""Airflow's refusals become Steward's errors; what Steward's own door refused comes back as it was raised there."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from steward import errors
from steward.adapters.airflow_rest import AirflowClient, AirflowRuns
from steward.types import JsonObject


def airflow(answer: Callable[[httpx.Request], httpx.Response]) -> AirflowClient:
    client = AirflowClient("http://airflow", user="ravi", token="t0ken")
    client._http = httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(answer))
    return client


def test_every_dag_is_asked_for_page_by_page() -> None:
    """Airflow cuts an answer to a hundred, whatever was asked for."""
    there = [{"dag_id": f"m{number:03}__train"} for number in range(240)]

    def answer(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params["offset"])
        limit = min(100, int(request.url.params["limit"]))
        return httpx.Response(200, json={"dags": there[start : start + limit], "total_entries": len(there)})

    assert airflow(answer).dags() == there


def test_a_decision_is_sent_as_the_user_and_says_through_which_door() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"state": "approved"})

    assert airflow(answer).decide("toy", "waivers/revoke", {"waiver": "w"}) == {"state": "approved"}
    (request,) = seen
    assert (request.method, request.url.path) == ("POST", "/steward/api/models/toy/waivers/revoke")
    assert (request.headers["authorization"], request.headers["steward-door"]) == ("Bearer t0ken", "cli")
    assert json.loads(request.content) == {"waiver": "w"}


def test_a_task_of_a_run_that_ended_runs_again_with_what_follows_it() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"task_instances": [{"task_id": "rollout.start"}], "total_entries": 1})

    cleared = airflow(answer).clear("toy__train", "run-1", "rollout.start", "the freeze is over")
    assert [task["task_id"] for task in cleared] == ["rollout.start"]
    assert seen[0].url.path == "/api/v2/dags/toy__train/clearTaskInstances"
    body = json.loads(seen[0].content)
    assert (body["dag_run_id"], body["task_ids"], body["note"]) == ("run-1", ["rollout.start"], "the freeze is over")
    # Airflow's own defaults would try nothing, and only what failed.
    assert (body["dry_run"], body["only_failed"], body["include_downstream"]) == (False, False, True)


def test_a_name_leads_nowhere_else() -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(200, json={})

    airflow(answer).decide("../../api/v2/x?y", "reviews", {})
    assert seen == [b"/steward/api/models/..%2F..%2Fapi%2Fv2%2Fx%3Fy/reviews"]


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, {"detail": "Token Expired"}, errors.PolicyError, "Airflow refused (401): Token Expired"),
        (403, {"detail": "Forbidden"}, errors.PolicyError, "Airflow refused (403): Forbidden"),
        (404, {"detail": "Not Found"}, errors.NotFoundError, "Airflow refused (404): Not Found"),
        (409, {"detail": "answered already"}, errors.ConflictError, "answered already"),
        (413, {"detail": "too large"}, errors.RequestError, "too large"),
        (422, {"detail": [{"loc": ["path"]}]}, errors.RequestError, "loc"),
        (400, ["a list"], errors.RequestError, "a list"),
        (502, None, errors.UnavailableError, "Airflow answered 502"),
        (503, {"error": "UnavailableError", "detail": "no database"}, errors.UnavailableError, "no database"),
        (403, {"error": "PolicyError", "detail": "not you", "where": "toy"}, errors.PolicyError, "toy: not you"),
        (422, {"error": "SpecError", "detail": "half-written"}, errors.SpecError, "half-written"),
        (500, {"error": "StewardError", "detail": "odd"}, errors.StewardError, "odd"),
        (403, {"error": "annotations", "detail": "odd"}, errors.PolicyError, "odd"),
        (403, {"error": "_rebuild", "detail": "odd"}, errors.PolicyError, "odd"),
    ],
)
def test_a_refusal_keeps_its_class_and_its_words(
    status: int, body: JsonObject | list[str] | None, kind: type[errors.StewardError], said: str
) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json=body) if body is not None else httpx.Response(status, text="<html>")

    with pytest.raises(kind) as caught:
        airflow(answer).decide("toy", "reviews", {"reason": "r"})
    assert type(caught.value) is kind
    assert said in str(caught.value)


def test_an_expired_log_in_is_renewed_once() -> None:
    tokens = iter(["old", "new"])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": next(tokens)})
        fresh = request.headers["authorization"] == "Bearer new" and request.headers["steward-door"] == "cli"
        return httpx.Response(200 if fresh else 401, json={"detail": "Token Expired"})

    client = AirflowClient("http://airflow", user="ravi", password="secret")
    client._http = httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(answer))
    assert client.decide("toy", "reviews", {"reason": "r"}) == {"detail": "Token Expired"}


def test_nobody_is_nobody() -> None:
    def unreachable(_: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing should have been sent")

    client = AirflowClient("http://airflow")
    client._http = httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(unreachable))
    with pytest.raises(errors.PolicyError, match="no Airflow log-in is known"):
        client.decide("toy", "reviews", {"reason": "r"})


def test_airflow_away_is_try_again() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(errors.UnavailableError, match="does not answer"):
        airflow(away).decide("toy", "reviews", {"reason": "r"})


RUN = "scheduled__2013-06-01T08:00:00+00:00"


@pytest.mark.parametrize(
    ("status", "body", "over"),
    [
        (200, {"state": "success"}, True),
        (200, {"state": "failed"}, True),
        (200, {"state": "running"}, False),
        (200, {"state": "queued"}, False),
        (404, {"detail": "no such run"}, None),
        (503, {}, None),
    ],
)
def test_whether_a_run_is_over_is_airflows_word_or_nobodys(status: int, body: JsonObject, over: bool | None) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        return httpx.Response(status, json=body)

    client = AirflowClient("http://airflow", token="t")
    client._http = httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(answer))
    assert AirflowRuns(client).is_over("toy", RUN) is over
    assert asked == ["/api/v2/dags/toy__train/dagRuns/scheduled__2013-06-01T08%3A00%3A00%2B00%3A00"]
