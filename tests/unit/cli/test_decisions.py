"""approve, reject and rollback: the answer goes through Airflow, the ledger says whether it counts."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.cli.conftest import Steward

from steward import actions, wiring
from steward.approval import RequestState
from steward.cli import decisions
from steward.registry import State
from steward.testing import FakeDatabase
from steward.testing.builders import MODEL, NOON, a_new_version, a_request, a_route
from steward.types import JsonObject, VersionRef

DOOR = {"dag_id": "flight_delays__train", "run_id": "run-1", "task_id": "await_approval", "map_index": -1}


class FakeAirflow:
    """Airflow's screen for one user: an answer given there is judged by the action behind it."""

    def __init__(self, services: Any, user: str) -> None:
        self.services, self.user, self.asks, self.works = services, user, True, True
        self.responses: list[tuple[str, JsonObject]] = []

    def waiting(self, dag: str, run: str) -> list[JsonObject]:
        here = (dag, run) == (DOOR["dag_id"], DOOR["run_id"])
        return [{"task_instance": {"task_id": DOOR["task_id"]}}] if here and self.asks else []

    def respond(self, dag: str, run: str, task: str, option: str, params: JsonObject) -> JsonObject:
        self.responses.append((option, params))
        if self.works:
            with self.services.database.begin() as tx:
                (request,) = tx.approvals.find(MODEL, None, RequestState.OPEN)
            actions.answer_approval(
                self.services,
                request=request.id,
                by=self.user,
                approved=option == "Approve",
                reason=params["reason"],
                evidence=request.evidence,
                via="airflow",
            )
        return {"dag": dag, "run": run, "task": task}


@pytest.fixture
def services(store: FakeDatabase, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What these actions use of the services, upon the fake database."""
    found = SimpleNamespace(database=store, clock=store.clock, policy=wiring.policy, mirror=None)
    monkeypatch.setattr(wiring, "services", lambda: found)
    monkeypatch.setattr("steward.actions.operation.deliver", lambda _: 0)
    return found


@pytest.fixture
def asked(store: FakeDatabase) -> FakeDatabase:
    """Version 1 of anna's waits for a yes; owner dana."""
    with store.begin() as tx:
        tx.versions.add(a_new_version())
        policy = {"quorum": 1, "roles": ["approver"]}
        tx.approvals.open(a_request(owner="dana", policy=policy, door=DOOR, expires_at=NOON + timedelta(days=3)))
    return store


@pytest.fixture
def airflow(services: Any, monkeypatch: pytest.MonkeyPatch) -> FakeAirflow:
    screen = FakeAirflow(services, "ravi")
    monkeypatch.setattr(decisions, "airflow", lambda: screen)
    monkeypatch.setattr(decisions, "LOOK_SECONDS", 0.0)
    return screen


def state_of_request(store: FakeDatabase) -> RequestState:
    with store.begin() as tx:
        return tx.approvals.get("request-1").state


@pytest.mark.parametrize("name", [MODEL, f"{MODEL}@1"])
def test_approve(steward: Steward, asked: FakeDatabase, airflow: FakeAirflow, name: str) -> None:
    ended = steward("approve", name, "--reason", " better on every slice ")
    assert ended.code == 0
    assert ended.out == "flight_delays@1: approved by ravi: better on every slice\n"
    assert airflow.responses == [("Approve", {"reason": "better on every slice"})]
    assert state_of_request(asked) is RequestState.APPROVED


def test_reject(steward: Steward, asked: FakeDatabase, airflow: FakeAirflow) -> None:
    ended = steward("reject", MODEL, "--reason", "worse at night", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["counted"] is True
    assert airflow.responses == [("Reject", {"reason": "worse at night"})]
    assert state_of_request(asked) is RequestState.REJECTED


@pytest.mark.parametrize(
    ("user", "refusal"),
    [("dana", "owns the model and may not approve it"), ("admin", "has none of the roles approver")],
)
def test_an_answer_that_does_not_count_is_3(
    steward: Steward, asked: FakeDatabase, airflow: FakeAirflow, user: str, refusal: str
) -> None:
    airflow.user = user
    ended = steward("approve", MODEL, "--reason", "it is mine")
    assert ended.code == 3
    assert f"{user} {refusal}" in ended.out
    assert state_of_request(asked) is RequestState.OPEN


def test_the_command_never_answers_by_itself(steward: Steward, asked: FakeDatabase, airflow: FakeAirflow) -> None:
    airflow.works = False
    ended = steward("approve", MODEL, "--reason", "yes", "--wait", "0")
    assert ended.code == 0
    assert "Airflow has the answer, the ledger not yet" in ended.out
    with asked.begin() as tx:
        assert tx.approvals.answers("request-1") == []
        assert tx.events.read() == []


def test_an_answer_before_airflow_asks_would_be_lost(
    steward: Steward, asked: FakeDatabase, airflow: FakeAirflow
) -> None:
    airflow.asks = False
    assert steward("approve", MODEL, "--reason", "yes").code == 75
    assert airflow.responses == []
    assert state_of_request(asked) is RequestState.OPEN


@pytest.mark.parametrize(("name", "code"), [(f"{MODEL}@2", 5), ("flights", 5), ("flights@x", 5)])
def test_nothing_waits(steward: Steward, asked: FakeDatabase, airflow: FakeAirflow, name: str, code: int) -> None:
    assert asked
    assert steward("approve", name, "--reason", "yes").code == code
    assert airflow.responses == []


def test_a_reason_is_wanted(steward: Steward, asked: FakeDatabase, airflow: FakeAirflow) -> None:
    assert asked
    assert steward("approve", MODEL, "--reason", "  ").code == 2
    assert steward("approve", MODEL).code == 2
    assert airflow.responses == []


def test_several_that_wait_must_be_named(steward: Steward, asked: FakeDatabase, airflow: FakeAirflow) -> None:
    with asked.begin() as tx:
        tx.versions.add(a_new_version())
        tx.approvals.open(a_request(id="request-2", version=2, door=DOOR))
    ended = steward("approve", MODEL, "--reason", "yes")
    assert ended.code == 4
    assert "flight_delays@1, flight_delays@2" in ended.err
    assert airflow.responses == []


def test_a_request_made_elsewhere(steward: Steward, store: FakeDatabase, airflow: FakeAirflow) -> None:
    with store.begin() as tx:
        tx.versions.add(a_new_version())
        tx.approvals.open(a_request(door=None))
    assert steward("approve", MODEL, "--reason", "yes").code == 5
    assert airflow.responses == []


@pytest.mark.parametrize("broken", [False, True])
def test_rollback_needs_no_sound_spec(
    steward: Steward, store: FakeDatabase, models: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    if broken:
        (models / MODEL / "model.yaml").write_text("rubbish")
    with store.begin() as tx:
        tx.versions.add(a_new_version())
        tx.versions.move(VersionRef(MODEL, 1), State.CHALLENGER, State.CHAMPION)
        tx.routes.set(a_route(champion=1, canary=None, percent=0))
    monkeypatch.setattr(wiring, "services", lambda: store)
    seen: list[tuple[str, str, str]] = []

    def roll_back(_: object, spec: Any, *, actor: str, reason: str) -> JsonObject:
        seen.append((spec.model, actor.partition(":")[0], reason))
        return {"from": 2, "to": 1, "epoch": 3, "seconds": 0.25}

    monkeypatch.setattr(actions, "roll_back", roll_back)
    ended = steward("rollback", MODEL, "--reason", "it is slow")
    assert ended.out == "traffic went from flight_delays@2 to flight_delays@1 in 0.25 s\n"
    assert seen == [(MODEL, "cli", "it is slow")]
