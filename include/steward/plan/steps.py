"""The plan of a model as plain data: what runs, after what, with which arguments, and what a refusal skips.

`to_json` of a plan is what the golden files hold; nothing in here knows how a scheduler runs it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from steward.gates import Outcome
from steward.types import JsonObject, to_json


class StepKind(StrEnum):
    ACTION = "action"
    GATE = "gate"  # its answer decides whether the steps in `skips` run
    APPROVAL = "approval"  # a gate that waits for people
    SENSOR = "sensor"  # a gate that asks again until the answer is final
    CHECK = "check"  # fails the run unless its answer's outcome is PASSED
    RETRAINING = "retraining"  # emits the retraining asset when the answer requests it


class TriggerRule(StrEnum):
    ALL_SUCCESS = "all_success"
    ALL_DONE = "all_done"
    NONE_FAILED = "none_failed"


@dataclass(frozen=True)
class Step:
    """One action with its arguments (`steward.plan.arguments`) and its place in the graph.

    `model` is a model id, a reference to a field of the run's form, or None for a portfolio action.
    `decides` names the key of a gate's answer that says whether to go on; None: `proceed`, else the outcome.
    `idle_without`: the step shows as skipped when all these keys of its answer are empty: nothing was to do.
    `timeout` bounds one try. Sensors and approvals look every `poll` and give up after `wait`.
    """

    name: str
    action: str
    doc: str
    model: str | JsonObject | None = None
    arguments: JsonObject = field(default_factory=dict)
    after: tuple[str, ...] = ()
    group: str | None = None
    kind: StepKind = StepKind.ACTION
    trigger: TriggerRule = TriggerRule.ALL_SUCCESS
    retries: int = 2
    retry_delay: timedelta = timedelta(seconds=10)
    timeout: timedelta = timedelta(minutes=10)
    skips: tuple[str, ...] = ()
    decides: str | None = None
    idle_without: tuple[str, ...] = ()
    poll: timedelta | None = None
    wait: timedelta | None = None
    asset: str | None = None

    @property
    def id(self) -> str:
        return f"{self.group}.{self.name}" if self.group else self.name

    def to_json(self) -> JsonObject:
        fields = {"id": self.id, **self.__dict__}
        return {key: to_json(value) for key, value in fields.items() if value not in (None, (), {})}


@dataclass(frozen=True)
class Schedule:
    """When a run starts by itself: on a clock (cron, UTC), on an asset event, on either, or never."""

    cron: str | None = None
    asset: str | None = None

    def to_json(self) -> JsonObject:
        return {"cron": self.cron, "asset": self.asset}


@dataclass(frozen=True)
class DagPlan:
    """One graph of steps. `params` maps each field of the manual form to its JSON schema with its default.

    `at_once` runs may be under way together; more wait their turn.
    """

    id: str
    title: str
    doc: str
    schedule: Schedule
    params: JsonObject
    tags: tuple[str, ...]
    owner: str
    owner_link: str | None
    steps: tuple[Step, ...]
    at_once: int = 1

    def to_json(self) -> JsonObject:
        return {key: to_json(value) for key, value in self.__dict__.items()}


@dataclass(frozen=True)
class Plan:
    """What one spec compiles to; `spec_digest` says which one. Only a batch target has `score`."""

    model: str
    spec_digest: str
    train: DagPlan
    monitor: DagPlan
    score: DagPlan | None = None

    @property
    def dags(self) -> tuple[DagPlan, ...]:
        return (self.train, self.monitor) if self.score is None else (self.train, self.monitor, self.score)

    def to_json(self) -> JsonObject:
        return {
            "model": self.model,
            "spec_digest": self.spec_digest,
            "dags": [dag.to_json() for dag in self.dags],
        }


def proceeds(result: JsonObject, decides: str | None = None) -> bool:
    """Whether a gate's answer lets the run go on. Absence is never consent."""
    if decides is not None:
        return bool(result.get(decides))
    if "proceed" in result:
        return result["proceed"] is True
    return result.get("outcome") == Outcome.PASSED


def idle(result: JsonObject, idle_without: tuple[str, ...]) -> bool:
    """Whether a step found nothing to do: every named key of its answer is empty."""
    return bool(idle_without) and not any(result.get(key) for key in idle_without)
