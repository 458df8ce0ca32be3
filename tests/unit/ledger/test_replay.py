"""What the events alone say of state, and when an approval is on record."""

from __future__ import annotations

from typing import Any

import pytest

from steward.ledger import AuditEvent, EventType, RecordedState, approval_is_recorded, event_of, replay, seal
from steward.ledger.replay import STATE_EVENTS
from steward.testing.builders import MODEL, NOON, a_draft
from steward.testing.database import FAKE_KEY

ON, BEFORE = "a" * 64, "b" * 64


def told(*drafts: Any) -> list[AuditEvent]:
    links = [
        seal(draft, seq=seq, at=NOON, recorded_at=NOON, previous_hash="0" * 64, key=FAKE_KEY)
        for seq, draft in enumerate(drafts, start=1)
    ]
    return [event_of(link) for link in links]


def happened(kind: EventType, version: int | None = None, evidence: str | None = None, **body: Any) -> Any:
    return a_draft(kind, version=version, evidence=evidence, body=body)


def asked(quorum: int = 2) -> Any:
    return happened(EventType.APPROVAL_REQUESTED, 1, ON, request="r", policy={"quorum": quorum})


def yes(by: str, state: str = "open", evidence: str = ON, request: str = "r", approved: bool = True) -> Any:
    body = {"request": request, "approved": approved, "state": state}
    return a_draft(EventType.APPROVAL_ANSWERED, version=1, evidence=evidence, actor=f"person:{by}", body=body)


@pytest.mark.parametrize(
    ("answers", "recorded"),
    [
        ((yes("ravi"), yes("vera", "approved")), True),
        ((yes("ravi", "approved"),), False),
        ((yes("ravi"), yes("ravi", "approved")), False),
        ((yes("ravi"), yes("vera")), False),
        ((yes("ravi", evidence=BEFORE), yes("vera", "approved")), False),
        ((yes("ravi"), yes("vera", "approved", approved=False)), False),
        ((yes("ravi", request="other"), yes("vera", "approved", request="other")), False),
        ((happened(EventType.GLASS_BROKEN, 1, ON, request="r"),), True),
        ((happened(EventType.GLASS_BROKEN, 1, BEFORE, request="r"),), False),
        ((happened(EventType.GLASS_BROKEN, 1, ON, request="other"),), False),
        ((), False),
    ],
)
def test_an_approval_needs_as_many_people_as_were_asked_for_on_one_evidence(answers: Any, recorded: bool) -> None:
    assert approval_is_recorded(told(asked(), *answers), "r", ON) is recorded


def after(*drafts: Any) -> RecordedState:
    return replay(told(happened(EventType.VERSION_REGISTERED, 1, training=ON), *drafts))[MODEL]


PROMOTED = happened(EventType.VERSION_PROMOTED, 1, replaced=None, epoch=4, rollout="x")


def test_a_release_step_by_step() -> None:
    started = happened(EventType.ROLLOUT_STARTED, 1, rollout="x", previous=None)
    advanced = happened(EventType.ROLLOUT_ADVANCED, 1, rollout="x", percent=100, epoch=3)
    assert after(started).running == "x"
    canary = after(started, advanced).route
    assert canary is not None
    told = {"champion": None, "canary": 1, "percent": 100, "shadow": None, "standby": None}
    assert vars(canary) == {**told, "epoch": 3}
    done = after(started, advanced, PROMOTED)
    assert (done.versions, done.running) == ({1: "champion"}, None)
    assert done.settled_by == {"version 1": 4, "rollout": 2, "route": 4}


def test_a_second_champion_supersedes_the_first_and_a_rollback_brings_it_back() -> None:
    second = happened(EventType.VERSION_REGISTERED, 2), happened(EventType.VERSION_PROMOTED, 2, replaced=1, epoch=5)
    assert after(PROMOTED, *second).versions == {1: "superseded", 2: "champion"}
    back = happened(EventType.ROLLOUT_ROLLED_BACK, 2, to=1, epoch=6)
    found = after(PROMOTED, *second, back)
    assert (found.versions, found.route and found.route.champion) == ({1: "champion", 2: "rejected"}, 1)


def routed(champion: int | None, **beside: Any) -> dict[str, Any]:
    return {"champion": champion, "canary": None, "percent": 0, "shadow": None, "standby": None, **beside}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (happened(EventType.ROLLOUT_STARTED, 2, rollout="y", epoch=5, route=routed(1, standby=2)), (1, None, None, 2)),
        (happened(EventType.ROLLOUT_ADVANCED, 2, percent=0, epoch=5, route=routed(1, shadow=2)), (1, None, 2, None)),
        (happened(EventType.VERSION_PROMOTED, 2, replaced=1, epoch=5, route=routed(2, standby=1)), (2, None, None, 1)),
        (happened(EventType.STANDBY_RELEASED, 1, epoch=5, route=routed(1)), (1, None, None, None)),
        (happened(EventType.ROLLOUT_ROLLED_BACK, 2, to=1, epoch=5, route=routed(1)), (1, None, None, None)),
    ],
)
def test_who_stands_beside_the_champion_follows_from_the_events(change: Any, wanted: tuple[int | None, ...]) -> None:
    found = after(PROMOTED, happened(EventType.VERSION_REGISTERED, 2), change).route
    assert found is not None
    assert (found.champion, found.canary, found.shadow, found.standby, found.epoch) == (*wanted, 5)


def test_a_rollout_that_starts_without_moving_the_route_leaves_it() -> None:
    standing = after(PROMOTED, happened(EventType.ROLLOUT_STARTED, 2, rollout="y", steps=[0, 5])).route
    assert standing is not None
    assert (standing.champion, standing.epoch) == (1, 4)


@pytest.mark.parametrize("state", ["rejected", "expired"])
def test_a_request_that_ends_without_a_yes_rejects_its_version(state: str) -> None:
    found = after(happened(EventType.APPROVAL_CLOSED, 1, request="r", state=state))
    assert (found.versions, found.closed, found.approved) == ({1: "rejected"}, {"r"}, set())


def test_the_end_of_a_model() -> None:
    rejected = happened(EventType.VERSION_REGISTERED, 2), happened(EventType.VERSION_REJECTED, 2)
    closed = after(PROMOTED, *rejected, happened(EventType.ENDPOINT_CLOSED, 1, requests_closed=["r"]))
    assert closed.versions == {1: "retired", 2: "rejected"}
    assert closed.route is not None
    assert (closed.route.champion, closed.route.epoch, closed.closed) == (None, None, {"r"})
    waiting = happened(EventType.VERSION_REGISTERED, 3)
    buried = after(PROMOTED, *rejected, waiting, happened(EventType.MODEL_RETIRED))
    assert buried.versions == {1: "retired", 2: "rejected", 3: "retired"}


def test_models_are_kept_apart_and_other_events_change_nothing() -> None:
    other = a_draft(EventType.VERSION_REGISTERED, model="other", version=7, body={})
    idle = [a_draft(kind, body={}) for kind in EventType if kind not in STATE_EVENTS]
    found = replay(told(happened(EventType.VERSION_REGISTERED, 1), other, *idle))
    assert {model: state.versions for model, state in found.items()} == {
        MODEL: {1: "challenger"},
        "other": {7: "challenger"},
    }
