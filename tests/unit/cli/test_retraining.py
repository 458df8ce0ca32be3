"""retrain: a training begun by hand as the user, and the permission to go on."""

from __future__ import annotations

import json

import pytest
from tests.unit.cli.conftest import Steward

from steward.cli import door
from steward.errors import PolicyError
from steward.testing.builders import MODEL
from steward.types import JsonObject


class Airflow:
    def __init__(self) -> None:
        self.asked: list[tuple[str, JsonObject]] = []

    def trigger(self, dag: str, conf: JsonObject) -> str:
        self.asked.append((dag, conf))
        return "manual__1"


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    client = Airflow()
    monkeypatch.setattr(door, "airflow", lambda: client)
    return client


def test_a_training_is_begun_as_the_user_with_a_reason(steward: Steward, airflow: Airflow) -> None:
    ended = steward("retrain", MODEL, "--reason", "new airport", "--as-of", "2013-04-01")
    assert airflow.asked == [(f"{MODEL}__train", {"reason": "new airport", "as_of": "2013-04-01"})]
    assert ended.out == (
        f"{MODEL}__train was asked to begin (run manual__1); `steward why {MODEL}` tells whether it was let in\n"
    )
    told = json.loads(steward("retrain", "start", MODEL, "--reason", "again", "--json").out)
    assert told == {"model": MODEL, "dag": f"{MODEL}__train", "run": "manual__1"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((MODEL,), 2),
        ((MODEL, "--reason", "  "), 2),
        (("flights", "--reason", "because"), 5),
        (("allow",), 2),
    ],
)
def test_without_a_reason_or_a_model_airflow_is_not_asked(
    steward: Steward, airflow: Airflow, arguments: tuple[str, ...], code: int
) -> None:
    assert steward("retrain", *arguments).code == code
    assert not airflow.asked


def test_retraining_is_let_go_on_through_the_door(steward: Steward, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, JsonObject]] = []

    def decide(model: str, decision: str, **fields: object) -> JsonObject:
        asked.append((model, decision, dict(fields)))
        return {"model": model, "refused": [2, 3], "reason": "looked"}

    monkeypatch.setattr(door, "decide", decide)
    ended = steward("retrain", "allow", MODEL, "--reason", "looked")
    assert ended.out == f"{MODEL}: retraining goes on after @2, @3\n"
    assert asked == [(MODEL, "retraining/allow", {"reason": "looked"})]
    assert json.loads(steward("retrain", "allow", MODEL, "--reason", "looked", "--json").out)["refused"] == [2, 3]


def test_a_user_who_may_not_is_told_so(steward: Steward, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> JsonObject:
        raise PolicyError("vera may not run this DAG")

    monkeypatch.setattr(door, "decide", refuse)
    ended = steward("retrain", "allow", MODEL, "--reason", "looked")
    assert ended.code == 3
    assert "vera may not" in ended.err
