"""References are resolved in the run; an answer that is not there is an error, never a blank."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.errors import NotFoundError
from steward.gates import Outcome
from steward.plan import idle, proceeds, resolve
from steward.plan.arguments import NOT_COMPLETED, answer_of, door_of, field_of_run, reasons_of
from steward.types import JsonObject


class FakeRun:
    def __init__(self, answers: dict[str, JsonObject] | None = None, **fields: Any) -> None:
        self.answers, self.fields = answers or {}, fields

    def answer(self, step: str) -> JsonObject | None:
        return self.answers.get(step)

    def field(self, name: str) -> Any:
        return self.fields[name]

    def door(self, step: str) -> JsonObject:
        return {"task_id": step}


def test_references_become_what_they_stand_for() -> None:
    run = FakeRun({"train": {"training": "abc", "n": None}}, as_of="2013-04-01")
    assert resolve(answer_of("train", "training"), run) == "abc"
    assert resolve(answer_of("train", "n"), run) is None
    assert resolve(field_of_run("as_of"), run) == "2013-04-01"
    assert resolve(door_of("await_approval"), run) == {"task_id": "await_approval"}


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.integers())))
def test_literals_stay(value: Any) -> None:
    assert resolve(value, FakeRun()) == value


@pytest.mark.parametrize("answers", [{}, {"train": {"other": 1}}])
def test_a_missing_answer_names_the_step_and_what_to_do(answers: dict[str, JsonObject]) -> None:
    with pytest.raises(NotFoundError, match=r"'train' left no 'training'") as caught:
        resolve(answer_of("train", "training"), FakeRun(answers))
    assert "clear 'train'" in str(caught.value)


def test_reasons_are_those_of_the_gates_that_said_no() -> None:
    run = FakeRun(
        {
            "start": {"outcome": "PASSED", "reasons": ["not this one"]},
            "analyse_5": {"outcome": "FAILED", "reasons": ["errors above 1 %", "slow"]},
        }
    )
    assert resolve(reasons_of(["start", "analyse_5", "analyse_25"]), run) == "errors above 1 %; slow"
    assert resolve(reasons_of(["start"]), run) == NOT_COMPLETED


@pytest.mark.parametrize(
    ("answer", "decides", "goes_on"),
    [
        ({"outcome": "PASSED"}, None, True),
        ({"outcome": "FAILED"}, None, False),
        ({"outcome": "INCONCLUSIVE"}, None, False),
        ({}, None, False),
        ({"outcome": "INCONCLUSIVE", "proceed": True}, None, True),
        ({"outcome": "PASSED", "proceed": False}, None, False),
        ({"outcome": "PASSED", "proceed": None}, None, False),
        ({"outcome": Outcome.PASSED}, None, True),
        ({"outcome": "FAILED", "version": 3}, "version", True),
        ({"outcome": "PASSED"}, "version", False),
    ],
)
def test_only_a_yes_goes_on(answer: JsonObject, decides: str | None, goes_on: bool) -> None:
    assert proceeds(answer, decides) is goes_on


def test_a_step_is_idle_when_all_that_it_could_have_done_is_empty() -> None:
    assert idle({"incidents": [], "resolved": []}, ("incidents", "resolved"))
    assert not idle({"incidents": [], "resolved": ["i"]}, ("incidents", "resolved"))
    assert not idle({"rolled_back": False}, ())
