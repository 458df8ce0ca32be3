"""approve, reject and rollback: the answer goes through Airflow, the ledger says whether it counts."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.cli.conftest import Steward

from steward import actions, wiring
from steward.actions.approvals.dossiers import dossier_of
from steward.approval import RequestState
from steward.cli import decisions, door
from steward.errors import PolicyError
from steward.ledger import EventType
from steward.testing import FakeDatabase
from steward.testing.builders import MODEL, NOON, a_draft, a_new_version, a_request
from steward.types import JsonObject

DOOR = {"dag_id": "flight_delays__train", "run_id": "run-1", "task_id": "await_approval", "map_index": -1}


class FakeAirflow:
    """Airflow's screen for one user: an answer given there is judged by the action behind it."""

    def __init__(self, services: Any, user: str) -> None:
        self.services, self.user, self.asks, self.works = services, user, True, True
        self.responses: list[tuple[str, JsonObject]] = []
        self.decided: list[tuple[str, str, JsonObject]] = []
        self.refusal: Exception | None = None

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
                evidence=params["evidence"],
                via="airflow",
            )
        return {"dag": dag, "run": run, "task": task}

    def decide(self, model: str, decision: str, fields: JsonObject) -> JsonObject:
        """Steward's own door: what does not count is refused."""
        self.decided.append((model, decision, fields))
        if self.refusal:
            raise self.refusal
        said = actions.answer_approval(self.services, by=self.user, via="cli", **fields)
        if not said["counted"]:
            raise PolicyError(said["message"])
        return said


@pytest.fixture
def services(store: FakeDatabase, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What these actions use of the services, upon the fake database."""
    rooms = {"policy": wiring.policy, "specs": wiring.specs(), "stages": wiring.stages}
    found = SimpleNamespace(database=store, clock=store.clock, mirror=None, **rooms)
    monkeypatch.setattr(wiring, "services", lambda: found)
    monkeypatch.setattr("steward.actions.operation.deliver", lambda _: 0)
    return found


@pytest.fixture
def asked(store: FakeDatabase) -> FakeDatabase:
    """Version 1 of anna's waits for a yes; owner dana."""
    with store.begin() as tx:
        ask(tx, owner="dana", door=DOOR)
    return store


def ask(tx: Any, **changes: Any) -> None:
    """About a new version, on its dossier."""
    version = tx.versions.add(a_new_version())
    tx.events.append(a_draft(EventType.VERSION_REGISTERED, version=version.number, reason="passed its gates"))
    evidence = tx.evidence.put(dossier_of(tx, version, NOON))
    tx.approvals.open(a_request(evidence=evidence, expires_at=NOON + timedelta(days=3), **changes))


@pytest.fixture
def airflow(services: Any, monkeypatch: pytest.MonkeyPatch) -> FakeAirflow:
    screen = FakeAirflow(services, "ravi")
    monkeypatch.setattr(door, "airflow", lambda: screen)
    monkeypatch.setattr(decisions, "LOOK_SECONDS", 0.0)
    return screen


def evidence_of(store: FakeDatabase) -> str:
    with store.begin() as tx:
        return tx.approvals.get("request-1").evidence


def state_of_request(store: FakeDatabase) -> RequestState:
    with store.begin() as tx:
        return tx.approvals.get("request-1").state


@pytest.mark.parametrize("name", [MODEL, f"{MODEL}@1"])
def test_approve(steward: Steward, asked: FakeDatabase, airflow: FakeAirflow, name: str) -> None:
    ended = steward("approve", name, "--reason", " better on every slice ")
    assert ended.code == 0
    assert ended.out == "flight_delays@1: approved by ravi: better on every slice\n"
    assert airflow.responses == [("Approve", {"reason": "better on every slice", "evidence": evidence_of(asked)})]
    assert state_of_request(asked) is RequestState.APPROVED


def test_reject(steward: Steward, asked: FakeDatabase, airflow: FakeAirflow) -> None:
    ended = steward("reject", MODEL, "--reason", "worse at night", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["counted"] is True
    assert airflow.responses == [("Reject", {"reason": "worse at night", "evidence": evidence_of(asked)})]
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
        assert [event.type for event in tx.events.read()] == [EventType.VERSION_REGISTERED]


def test_without_a_run_that_waits_the_answer_goes_to_the_ledger(
    steward: Steward, asked: FakeDatabase, airflow: FakeAirflow
) -> None:
    airflow.asks = False
    ended = steward("approve", MODEL, "--reason", "better on every slice")
    assert (ended.code, ended.out) == (0, "flight_delays@1: approved by ravi: better on every slice\n")
    assert airflow.responses == []
    assert state_of_request(asked) is RequestState.APPROVED


def test_the_ledger_may_be_answered_though_a_run_waits(
    steward: Steward, asked: FakeDatabase, airflow: FakeAirflow
) -> None:
    ended = steward("reject", MODEL, "--reason", "worse at night", "--api", "--json")
    assert json.loads(ended.out)["message"] == "rejected by ravi: worse at night"
    assert airflow.responses == []
    assert state_of_request(asked) is RequestState.REJECTED
    with asked.begin() as tx:
        (answer,) = tx.approvals.answers("request-1")
    assert (answer.by, answer.via) == ("ravi", "cli")


@pytest.mark.parametrize("asks", [True, False])
def test_the_judgement_is_the_same_through_both_ways(
    steward: Steward, asked: FakeDatabase, airflow: FakeAirflow, asks: bool
) -> None:
    airflow.user, airflow.asks = "dana", asks
    ended = steward("approve", MODEL, "--reason", "it is mine", "--json")
    said = json.loads(ended.out)
    assert (ended.code, said["counted"], said["message"]) == (3, False, "dana owns the model and may not approve it")
    assert state_of_request(asked) is RequestState.OPEN


def test_whom_airflow_refuses_is_told_so(steward: Steward, asked: FakeDatabase, airflow: FakeAirflow) -> None:
    airflow.asks, airflow.refusal = False, PolicyError("Airflow refused (403): Forbidden")
    ended = steward("approve", MODEL, "--reason", "yes")
    assert (ended.code, ended.out, ended.err) == (3, "", "Airflow refused (403): Forbidden\n")
    assert state_of_request(asked) is RequestState.OPEN


@pytest.mark.parametrize("asks", [True, False])
def test_an_answer_may_insist_on_what_was_read(
    steward: Steward, asked: FakeDatabase, airflow: FakeAirflow, asks: bool
) -> None:
    airflow.asks = asks
    ended = steward("approve", MODEL, "--reason", "yes", "--evidence", "0000")
    assert (ended.code, "on other evidence by now" in ended.err) == (3, True)
    assert (airflow.responses, airflow.decided) == ([], [])
    with asked.begin() as tx:
        evidence = tx.approvals.get("request-1").evidence
    assert steward("approve", MODEL, "--reason", "yes", "--evidence", evidence[:12]).code == 0


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
        ask(tx, id="request-2", version=2, door=DOOR)
    ended = steward("approve", MODEL, "--reason", "yes")
    assert ended.code == 4
    assert "flight_delays@1, flight_delays@2" in ended.err
    assert airflow.responses == []


def test_a_request_made_elsewhere_is_answered_in_the_ledger(
    steward: Steward, store: FakeDatabase, airflow: FakeAirflow
) -> None:
    with store.begin() as tx:
        ask(tx, door=None)
    assert steward("approve", MODEL, "--reason", "yes").code == 0
    assert [decision for _, decision, _ in airflow.decided] == ["answer"]
    assert state_of_request(store) is RequestState.APPROVED
