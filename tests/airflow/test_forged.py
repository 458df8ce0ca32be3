"""What a task hands to the next proves nothing: forged answers and tasks marked as done deploy nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.test_operators import FakeTaskInstance, context_of
from tests.unit.actions.conftest import Life, build_life

pytestmark = pytest.mark.airflow


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """Version 1 serves, version 2 passed its gates and nobody approved it; the record behind Airflow's tasks."""
    from steward import wiring

    life = build_life(tmp_path)
    first = life.train()
    life.approve(first)
    life.release(first)
    life.train()
    monkeypatch.setattr(wiring, "services", lambda: life.services)
    monkeypatch.setattr(wiring, "specs", lambda: life.services.specs)
    return life


@pytest.fixture
def step(life: Life) -> Callable[..., Any]:
    """A task as Airflow runs it, with what earlier tasks are said to have answered."""
    from steward.plan.arguments import answer_of
    from steward_airflow.calls import call_action
    from steward_airflow.runs import AirflowRun

    def run(action: str, given: dict[str, tuple[str, str]], answers: dict[str, Any], **more: Any) -> Any:
        arguments = {name: answer_of(*reference) for name, reference in given.items()} | more
        return call_action(action, "toy", arguments, AirflowRun(context_of(FakeTaskInstance(**answers))))

    return run


def rollout_of(life: Life, version: int) -> str:
    (event,) = [each for each in life.events("rollout.started") if each.version == version]
    return str(event.body["rollout"])


def refused(life: Life, step: str) -> None:
    event = life.events("release.refused")[-1]
    assert event.body["step"].startswith(step)
    assert event.actor == "airflow:flight_delays__train"
    assert life.champion() == 1
    assert life.state(2) == "challenger"


APPROVED = {"outcome": "PASSED", "state": "approved", "by": ["vera"], "reasons": []}


def test_an_approval_that_airflow_only_believes_in_starts_nothing(life: Life, step: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    answers = {"register": {"version": 2, "proceed": True}, "await_approval": APPROVED}
    with pytest.raises(AirflowFailException, match="no valid approval"):
        step("start_rollout", {"version": ("register", "version")}, answers)
    refused(life, "start_rollout")


def test_the_approval_of_another_version_is_none(life: Life, step: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with life.services.database.begin() as tx:
        (old,) = tx.approvals.find("toy", 1)
    answers = {"register": {"version": 2}, "request_approval": {"request": old.id, "evidence": old.evidence}}
    with pytest.raises(AirflowFailException, match="toy@2 has no valid approval"):
        step("start_rollout", {"version": ("register", "version")}, answers)
    refused(life, "start_rollout")


@pytest.mark.parametrize("action", ["shift_traffic", "complete_rollout"])
@pytest.mark.parametrize("forged", ["unknown", "ended", "another model's"])
def test_a_forged_rollout_moves_no_traffic(life: Life, step: Any, action: str, forged: str) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    ids = {"unknown": "f" * 32, "ended": rollout_of(life, 1), "another model's": another_models(life)}
    more = {"percent": 20} if action == "shift_traffic" else {}
    with pytest.raises(AirflowFailException):
        step(action, {"rollout": ("start", "rollout")}, {"start": {"rollout": ids[forged]}}, **more)
    refused(life, action)
    assert not [event for event in life.events("rollout.advanced", "version.promoted") if event.version == 2]


def another_models(life: Life) -> str:
    """Version 2 of another model is being rolled out, and has passed its step."""
    from steward.gates import Outcome
    from steward.ledger import EventDraft, EventType
    from steward.testing.builders import a_rollout

    going = a_rollout(model="other", version=2, previous=1, percent=20, epoch=3)
    body = {"rollout": going.id, "epoch": 3, "outcome": Outcome.PASSED}
    with life.services.database.begin() as tx:
        tx.rollouts.start(going)
        tx.events.append(EventDraft(EventType.ROLLOUT_ANALYSED, "other", "airflow", "fine", 2, None, body))
    return going.id


@pytest.mark.parametrize("kind", ["validation", "training", "evaluation"])
def test_a_forged_digest_registers_nothing(life: Life, step: Any, kind: str) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with life.services.database.begin() as tx:
        evidence = {each.number: each.evidence for each in tx.versions.all("toy")}[2]
    mixed = {name: evidence[name] for name in ("validation", "training", "evaluation")} | {kind: "f" * 64}
    given = {name: (name, "digest") for name in mixed}
    with pytest.raises(AirflowFailException):
        step("register", given, {name: {"digest": digest} for name, digest in mixed.items()})
    refused(life, "register")
    assert life.events("version.registered")[-1].version == 2


def test_a_step_marked_as_done_leaves_no_answer_to_go_on_with(life: Life, step: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException):
        step("complete_rollout", {"rollout": ("start", "rollout")}, {})
    assert life.champion() == 1
