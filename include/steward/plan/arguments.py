"""Arguments of a step: literals, or references that are resolved when the step runs.

{"from": "train", "key": "training"}      what an earlier step answered
{"run": "as_of"}                          a field of the run's form, or what stands for it in an automatic run
{"door": "await_approval"}                where the scheduler shows the step that asks people
{"reasons": ["rollout.start", …]}         why these gates said no, as one sentence
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from steward.errors import NotFoundError
from steward.gates import Outcome
from steward.types import JsonObject

NOT_COMPLETED = "the run ended before the rollout completed"


def answer_of(step: str, key: str) -> JsonObject:
    return {"from": step, "key": key}


def field_of_run(name: str) -> JsonObject:
    return {"run": name}


def door_of(step: str) -> JsonObject:
    return {"door": step}


def reasons_of(steps: Sequence[str]) -> JsonObject:
    return {"reasons": list(steps)}


class RunView(Protocol):
    """What a reference may ask of the run it is resolved in."""

    def answer(self, step: str) -> JsonObject | None:
        """What the step answered in this run; None when it did not run."""
        ...

    def field(self, name: str) -> Any: ...

    def door(self, step: str) -> JsonObject | None:
        """None where no screen shows the run."""
        ...


def resolve(value: Any, run: RunView) -> Any:
    """The literal a reference stands for. Raises NotFoundError when the step it names left no such answer."""
    match value:
        case {"from": step, "key": key}:
            return _answer(run, step, key)
        case {"run": name}:
            return run.field(name)
        case {"door": step}:
            return run.door(step)
        case {"reasons": steps}:
            return _reasons(run, steps)
        case _:
            return value


def _answer(run: RunView, step: str, key: str) -> Any:
    answer = run.answer(step)
    if answer is None or key not in answer:
        raise NotFoundError(
            f"step {step!r} left no {key!r} in this run",
            hint=f"clear {step!r} so that it runs again; a task marked successful by hand leaves no answer",
        )
    return answer[key]


def _reasons(run: RunView, steps: Sequence[str]) -> str:
    answers = (run.answer(step) for step in steps)
    refusals = [a for a in answers if a is not None and a.get("outcome", Outcome.PASSED) != Outcome.PASSED]
    return "; ".join(reason for refusal in refusals for reason in refusal.get("reasons", ())) or NOT_COMPLETED
