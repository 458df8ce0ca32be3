"""People answer at the same moment, through several doors, while the evidence changes under them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life
from tests.unit.actions.test_approving import file_paper

from steward.actions.approvals import approving
from steward.adapters.postgres import PostgresDatabase
from steward.approval import RequestState
from steward.errors import ConflictError

pytestmark = pytest.mark.faults

ROUNDS = 6
TWO_NEEDED = MODEL_YAML.replace("risk_tier: medium", "risk_tier: medium\napproval: {approvers: 2}")


@pytest.fixture
def life_on_postgres(tmp_path: Path, database_url: str, ledger_key: bytes) -> Iterator[Callable[[str], Life]]:
    """A life whose record is a real database."""
    opened: list[PostgresDatabase] = []

    def build(yaml: str) -> Life:
        life = build_life(tmp_path, yaml)
        opened.append(PostgresDatabase(database_url, life.clock, ledger_key))
        life.services = replace(life.services, database=opened[-1])
        return life

    yield build
    for database in opened:
        database.close()


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each call returned, or the conflict it was told."""
    gate = threading.Barrier(len(calls))

    def one(call: Callable[[], Any]) -> Any:
        gate.wait(timeout=30)
        try:
            return call()
        except ConflictError as told:
            return told

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def request_of(life: Life, asked: Any) -> Any:
    with life.services.database.begin() as tx:
        return tx.approvals.get(asked["request"]), tx.approvals.answers(asked["request"])


def test_two_approvers_at_once_both_count_and_close_it_once(life_on_postgres: Any) -> None:
    life = life_on_postgres(TWO_NEEDED)
    for _ in range(ROUNDS):
        asked = life.ask(life.train())
        told = at_once(lambda a=asked: life.answer(a, "ravi"), lambda a=asked: life.answer(a, "mo"))
        assert sorted(each["state"] for each in told) == ["approved", "open"]
        assert all(each["counted"] for each in told)
    assert len(life.events("approval.answered")) == 2 * ROUNDS


def test_one_person_at_two_doors_answers_once(life_on_postgres: Any) -> None:
    life = life_on_postgres(TWO_NEEDED)
    for _ in range(ROUNDS):
        asked = life.ask(life.train())
        doors = (lambda via, a=asked: life.answer(a, "ravi", via=via),) * 2
        told = at_once(*(lambda d=door, v=via: d(v) for door, via in zip(doors, ("airflow", "api"), strict=True)))
        assert sum(isinstance(each, ConflictError) for each in told) == 1
        assert len(request_of(life, asked)[1]) == 1


def test_of_a_yes_and_a_no_at_once_one_decides_and_the_other_is_told(life_on_postgres: Any) -> None:
    life = life_on_postgres(MODEL_YAML)
    for _ in range(ROUNDS):
        asked = life.ask(life.train())
        told = at_once(lambda a=asked: life.answer(a, "ravi"), lambda a=asked: life.answer(a, "mo", approved=False))
        assert sorted(each["counted"] for each in told) == [False, True]
        request, (answer,) = request_of(life, asked)
        assert request.state is (RequestState.APPROVED if answer.approved else RequestState.REJECTED)


def test_a_document_filed_while_an_answer_is_judged_comes_before_or_after_it(
    life_on_postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never between: an answer to the old evidence must not close a request that stands on the new."""
    life = life_on_postgres(MODEL_YAML)
    asked, judged, filed = life.ask(life.train()), threading.Event(), threading.Event()
    refusal = approving._refusal

    def judge_slowly(*arguments: Any) -> str | None:
        found = refusal(*arguments)
        judged.set()
        filed.wait(timeout=1.0)
        return found

    def file_meanwhile() -> None:
        assert judged.wait(timeout=30)
        file_paper(life, "monitoring_plan")
        filed.set()

    monkeypatch.setattr(approving, "_refusal", judge_slowly)
    at_once(lambda: life.answer(asked, "ravi"), file_meanwhile)
    request, answers = request_of(life, asked)
    assert request.state is not RequestState.APPROVED or {answer.evidence for answer in answers} == {request.evidence}
    assert [event.body["answers"] for event in life.events("approval.voided")] == [["ravi"]]
