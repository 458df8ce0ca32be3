"""What `steward policy` shows."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from steward.gates import Evidence
from steward.testing.builders import MODEL, a_new_version, a_request

CASE = "{name: mo may, date: 2026-11-02, answers: [{by: mo}], expect: approved}"


def test_check_counts_the_cases_that_hold(steward: Any) -> None:
    ended = steward("policy", "check")
    assert ended.code == 0
    assert "30 of 30 cases come out as written" in ended.out
    tried = json.loads(steward("policy", "check", "--json").out)
    assert all(each["passed"] for each in tried)


def test_check_names_the_case_that_does_not(steward: Any, tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(f"cases:\n  - {CASE}\n  - {CASE.replace('mo may', 'vera may').replace('by: mo', 'by: vera')}\n")
    ended = steward("policy", "check", "--cases", path)
    assert ended.code == 1
    assert "vera may: expected approved, found open (vera has none of the roles approver)" in ended.out
    assert "1 of 2 cases come out as written" in ended.out


def test_faulty_cases_are_wrong_usage(steward: Any, tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text("cases: []\n")
    assert steward("policy", "check", "--cases", path).code == 2


@pytest.fixture
def challenger(store: Any) -> Any:
    """Version 1, trained by ravi, its files changed last by mo."""
    with store.begin() as tx:
        training = tx.evidence.put(Evidence("training", MODEL, {"author": "airflow:ravi", "editor": "mo@example.com"}))
        tx.versions.add(a_new_version(author="airflow:ravi", evidence={"training": training}))
    return store


def test_who_says_why_not(steward: Any, challenger: Any) -> None:
    answer = json.loads(steward("policy", "who", MODEL, "--json").out)
    assert answer["version"] == 1
    people = {each["person"]: each for each in answer["people"]}
    assert people["ravi"]["approve"]["why_not"].startswith("ravi trained the version")
    assert people["mo"]["approve"]["why_not"] == "mo changed the model's files last and may not approve it"
    assert people["vera"]["approve"]["why_not"] == "vera has none of the roles approver"
    assert people["vera"]["waive"] == {"may": True, "why_not": None}
    assert people["approver"]["approve"]["may"]
    assert "none of the roles incident_commander" in people["mo"]["break_glass"]["why_not"]
    assert people["mo"]["review"]["may"]


def test_who_speaks_of_the_request_that_waits(steward: Any, challenger: Any) -> None:
    with challenger.begin() as tx:
        tx.approvals.open(a_request(requester="approver", expires_at=a_request().requested_at + timedelta(days=3)))
    ended = steward("policy", "who", MODEL)
    assert ended.code == 0
    assert f"{MODEL}@1" in ended.out
    assert "approver asked for the approval and may not approve it" in ended.out


def test_who_of_an_unknown_model_is_not_found(steward: Any, store: Any) -> None:
    assert steward("policy", "who", "nothing").code == 5


def test_who_before_anything_was_trained(steward: Any, store: Any) -> None:
    assert "no version waits" in steward("policy", "who", MODEL).out
