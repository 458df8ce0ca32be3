"""The last retraining: why it was asked for, and what came of it, from the newest event of each kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steward.ledger import AuditEvent, EventType
from steward.reporting.last_retraining import Work, last_retraining

START = datetime(2026, 6, 1, tzinfo=UTC)
REQUESTED, DECLINED = EventType.RETRAINING_REQUESTED, EventType.RETRAINING_DECLINED
ADMITTED, CLOSED = EventType.RETRAINING_ADMITTED, EventType.RUN_CLOSED
PROMOTED, BACK = EventType.VERSION_PROMOTED, EventType.ROLLOUT_ROLLED_BACK


def told(*said: tuple[EventType, dict[str, Any]], work: Work | None = None) -> dict[str, Any] | None:
    """Event after event, an hour apart, numbered from 1."""
    events = [
        AuditEvent(
            seq, START + seq * timedelta(hours=1), START, kind, "toy", "a:b", body.pop("reason", f"reason {seq}"),
            body.pop("version", None), None, body, "", "",
        )
        for seq, (kind, body) in enumerate(said, 1)
    ]  # fmt: skip
    return last_retraining(events, work or Work())


def asked(**body: Any) -> tuple[EventType, dict[str, Any]]:
    return REQUESTED, {"version": 3, "trigger": "windows", "reason": "performance was lost", **body}


def let_in(**body: Any) -> tuple[EventType, dict[str, Any]]:
    return ADMITTED, {"champion": 3, "trigger": "request", "requests": [1], "reason": "let in", **body}


def declined(**body: Any) -> tuple[EventType, dict[str, Any]]:
    return DECLINED, {"version": 3, "trigger": "windows", "reason": "too soon", **body}


@pytest.mark.parametrize(
    ("said", "outcome", "why"),
    [
        ([asked()], "requested", "performance was lost"),
        ([asked(), let_in()], "under way", "performance was lost"),
        ([let_in(trigger="schedule", requests=[], reason="the clock")], "under way", "the clock"),
        ([asked(), let_in(), (CLOSED, {})], "ended without a release", "performance was lost"),
        ([asked(), let_in(), (PROMOTED, {"version": 4}), (CLOSED, {})], "promoted", "performance was lost"),
        (
            [asked(), let_in(), (PROMOTED, {"version": 4}), (BACK, {"version": 4, "to": 3})],
            "rolled back",
            "performance was lost",
        ),
        ([asked(), let_in(), (BACK, {"version": 3, "to": 2})], "under way", "performance was lost"),
        ([asked(), let_in(), (CLOSED, {}), (BACK, {"version": 3})], "ended without a release", "performance was lost"),
        ([asked(), let_in(), (BACK, {"version": 4, "to": 3})], "rolled back", "performance was lost"),
        ([asked(), let_in(), declined()], "under way", "performance was lost"),
        ([asked(), let_in(), (CLOSED, {}), declined()], "declined", "too soon"),
        ([declined()], "declined", "too soon"),
        ([declined(), asked()], "requested", "performance was lost"),
        ([declined(), let_in(trigger="manual", reason="by hand"), (CLOSED, {})], "ended without a release", "by hand"),
        ([(CLOSED, {}), (PROMOTED, {"version": 3}), asked()], "requested", "performance was lost"),
    ],
)
def test_what_came_of_it(said: list[tuple[EventType, dict[str, Any]]], outcome: str, why: str) -> None:
    found = told(*said)
    assert found is not None
    assert (found["outcome"], found["said"]) == (outcome, why)


@pytest.mark.parametrize(
    "said",
    [
        [],
        [let_in(champion=None, trigger="manual", requests=[]), (PROMOTED, {"version": 1}), (CLOSED, {})],
        [declined(trigger=None, reason="nothing asks for it")],
        [(PROMOTED, {"version": 2}), (BACK, {"to": 1}), (CLOSED, {})],
    ],
    ids=["nothing", "a first training", "a quiet night", "a release by hand"],
)
def test_what_is_no_retraining(said: list[tuple[EventType, dict[str, Any]]]) -> None:
    assert told(*said) is None


def test_a_quiet_night_does_not_hide_the_last_one() -> None:
    found = told(asked(), let_in(), (PROMOTED, {"version": 4}), declined(trigger=None))
    assert found is not None
    assert found["outcome"] == "promoted"


@pytest.mark.parametrize(
    ("work", "outcome"),
    [
        (Work([4]), "waits for approval"),
        (Work([], 4), "being rolled out"),
        (Work([5], 4), "being rolled out"),
    ],
)
def test_what_goes_on_now(work: Work, outcome: str) -> None:
    found = told(asked(), let_in(), work=work)
    assert found is not None
    assert found["outcome"] == outcome


def test_what_goes_on_is_not_the_work_of_a_request_without_a_run() -> None:
    found = told(asked(), work=Work([4]))
    assert found is not None
    assert found["outcome"] == "requested"
