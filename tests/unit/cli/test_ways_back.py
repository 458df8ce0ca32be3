"""rollback and rehearse: what they print, and when they end with 1."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.cli.conftest import Steward

from steward import actions, wiring
from steward.actions.releases import going_back
from steward.errors import PolicyError, UnavailableError
from steward.testing import FakeDatabase
from steward.testing.builders import MODEL
from steward.types import JsonObject

DONE = {"from": 2, "to": 1, "epoch": 3, "seconds": 0.25}
SERVER = {"server": "http://one", "followed": 0.05, "digest": "abcdef0123456789", "fault": ""}
PROOF: JsonObject = {"outcome": "PASSED", "reasons": [], "servers": [SERVER], "seconds": 0.1, "evidence": "e"}


class Scripted:
    """The actions as these commands call them."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, JsonObject]] = []
        self.proof: JsonObject | Exception = PROOF
        self.rehearsal: JsonObject = {}

    def roll_back(self, _: object, spec: Any, **given: Any) -> JsonObject:
        self.calls.append(("roll_back", {"model": spec.model, **given}))
        return DONE

    def prove_rollback(self, _: object, spec: Any, **given: Any) -> JsonObject:
        self.calls.append(("prove_rollback", {"model": spec.model, **given}))
        if isinstance(self.proof, Exception):
            raise self.proof
        return self.proof

    def rehearse_rollback(self, _: object, spec: Any, **given: Any) -> JsonObject:
        self.calls.append(("rehearse_rollback", {"model": spec.model, **given}))
        return self.rehearsal


@pytest.fixture
def script(store: FakeDatabase, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    script = Scripted()
    monkeypatch.setattr(wiring, "services", lambda: SimpleNamespace(database=store))
    monkeypatch.setattr(going_back, "roll_back", script.roll_back)
    monkeypatch.setattr(going_back, "prove_rollback", script.prove_rollback)
    monkeypatch.setattr(actions, "rehearse_rollback", script.rehearse_rollback)
    return script


@pytest.mark.parametrize("broken", [False, True])
def test_rollback_needs_no_sound_spec(steward: Steward, models: Path, script: Scripted, broken: bool) -> None:
    if broken:
        (models / MODEL / "model.yaml").write_text("rubbish")
    ended = steward("rollback", MODEL, "--reason", " it is slow ")
    assert ended.code == 0
    first, second, last = ended.out.splitlines()
    assert first == "traffic went from flight_delays@2 to flight_delays@1 in 0.25 s"
    assert second == "  http://one  follows after 0.05 s, answers by version 1, artefact abcdef012345"
    assert last.startswith("proved in ")
    (back, given), (proof, proved) = script.calls
    assert (back, given["model"], given["reason"], given["to"]) == ("roll_back", MODEL, "it is slow", None)
    assert given["actor"].startswith("cli:")
    assert (proof, proved["to"], proved["epoch"]) == ("prove_rollback", 1, 3)


def test_rollback_to_a_version(steward: Steward, script: Scripted) -> None:
    assert steward("rollback", MODEL, "--to", 1, "--reason", "it is slow", "--json").code == 0
    assert script.calls[0][1]["to"] == 1
    assert steward("rollback", MODEL, "--to", 0, "--reason", "it is slow").code == 2


def test_json_holds_the_proof(steward: Steward, script: Scripted) -> None:
    said = json.loads(steward("rollback", MODEL, "--reason", "it is slow", "--json").out)
    assert (said["to"], said["proof"], said["seconds_to_proof"] >= 0) == (1, PROOF, True)


@pytest.mark.parametrize(
    ("proof", "told"),
    [
        ({**PROOF, "outcome": "FAILED", "reasons": ["http://one: version 2 answered, not 1"]}, "version 2 answered"),
        (UnavailableError("the database is away"), "the proof was not made: the database is away"),
    ],
)
def test_a_rollback_that_is_not_proved_is_told_loudly(
    steward: Steward, script: Scripted, proof: Any, told: str
) -> None:
    script.proof = proof
    ended = steward("rollback", MODEL, "--reason", "it is slow")
    assert ended.code == 1
    assert "traffic went from flight_delays@2 to flight_delays@1" in ended.out
    assert "NOT PROVED: the rollback stands" in ended.err
    assert told in ended.err


def test_each_server_is_told_of(steward: Steward, script: Scripted) -> None:
    late = {"server": "http://two", "followed": None, "digest": None, "fault": ""}
    odd = {"server": "http://three", "followed": 0.1, "digest": None, "fault": "it refused the rows (400): no"}
    script.proof = {**PROOF, "outcome": "FAILED", "servers": [late, odd]}
    out = steward("rollback", MODEL, "--reason", "it is slow").out
    assert "  http://two  does not say that it follows\n" in out
    assert "  http://three  it refused the rows (400): no\n" in out


def test_a_refusal_is_3(steward: Steward, script: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> JsonObject:
        raise PolicyError("there is no recorded champion to go back to")

    monkeypatch.setattr(going_back, "roll_back", refuse)
    assert steward("rollback", MODEL, "--reason", "it is slow").code == 3
    assert steward("rollback", MODEL, "--reason", "  ").code == 2
    assert script.calls == []


def test_rehearse(steward: Steward, script: Scripted) -> None:
    finding = {"what": "change", "outcome": "PASSED", "said": "the ledger allows the change"}
    script.rehearsal = {
        "outcome": "PASSED",
        "to": 1,
        "reasons": [],
        "findings": [finding],
        "seconds": 0.12,
        "parts": {"change": 0.02, "propagation": 0.1},
    }
    ended = steward("rehearse", MODEL)
    assert ended.out.splitlines() == [
        "PASSED        the ledger allows the change",
        "the way back to flight_delays@1 is open: 0.12 s (change 0.02 s, propagation 0.10 s)",
    ]
    assert json.loads(steward("rehearse", MODEL, "--json").out) == script.rehearsal


@pytest.mark.parametrize("outcome", ["FAILED", "INCONCLUSIVE"])
def test_a_rehearsal_that_did_not_pass_is_1(steward: Steward, script: Scripted, outcome: str) -> None:
    finding = {"what": "recorded", "outcome": outcome, "said": "there is no champion to go back to"}
    script.rehearsal = {"outcome": outcome, "to": None, "findings": [finding], "seconds": 0.0, "parts": {}}
    ended = steward("rehearse", MODEL)
    assert ended.code == 1
    assert "there is no champion to go back to" in ended.out
    assert ended.err == f"{outcome}: the way back is not proved open\n"
