"""Whole values for tests that care about one of their fields."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from steward.approval import Answer, ApprovalRequest
from steward.gates import OVERALL, Outcome
from steward.ledger import EventDraft, EventType
from steward.monitoring.tallies import (
    AnswerTally,
    ColumnTally,
    DayTally,
    GroupTally,
    Moments,
    OperationTally,
    OutcomeTally,
    Tally,
)
from steward.monitoring.windows import Cause, Incident, IncidentState, JudgedWindow
from steward.registry import NewVersion, State
from steward.rollout import Rollout, RolloutState, Route
from steward.types import Window, digest_of

MODEL = "flight_delays"
NOON = datetime(2013, 6, 1, 12, tzinfo=UTC)
WEEK = Window.ending(datetime(2013, 6, 1, tzinfo=UTC), timedelta(days=7))


def a_draft(kind: EventType = EventType.RUN_CLOSED, **changes: Any) -> EventDraft:
    return replace(EventDraft(kind, MODEL, "person:anna", "because"), **changes)


def a_new_version(**changes: Any) -> NewVersion:
    version = NewVersion(
        model=MODEL,
        state=State.CHALLENGER,
        author="anna",
        spec_digest=digest_of("spec"),
        run_id="run-1",
        artefact_uri="runs:/run-1/model",
        artefact_digest=digest_of("artefact"),
        training_window=WEEK,
        evidence={"training": digest_of("training"), "evaluation": digest_of("evaluation")},
        profile=digest_of("profile"),
        params={"depth": 3, "rate": 0.1},
    )
    return replace(version, **changes)


def a_request(**changes: Any) -> ApprovalRequest:
    request = ApprovalRequest(
        id="request-1",
        model=MODEL,
        version=1,
        evidence=digest_of("evaluation"),
        author="anna",
        requester="anna",
        owner="olga",
        policy={"quorum": 1, "roles": ["approver"]},
        requested_at=NOON,
        expires_at=NOON + timedelta(days=3),
        door={"dag": f"{MODEL}__train"},
    )
    return replace(request, **changes)


def an_answer(**changes: Any) -> Answer:
    answer = Answer("request-1", "bert", True, "it is better on every slice", digest_of("evaluation"), NOON, "cli")
    return replace(answer, **changes)


def a_rollout(**changes: Any) -> Rollout:
    rollout = Rollout("rollout-1", MODEL, 2, 1, RolloutState.RUNNING, 0, 0, NOON, NOON, NOON)
    return replace(rollout, **changes)


def a_route(**changes: Any) -> Route:
    return replace(Route(MODEL, 1, 2, 5, 1, NOON), **changes)


def a_judged_window(**changes: Any) -> JudgedWindow:
    judged = JudgedWindow(MODEL, 1, WEEK, Outcome.FAILED, (Cause.DRIFT,), digest_of("window"), NOON)
    return replace(judged, **changes)


def a_day_tally(**changes: Any) -> DayTally:
    tally = Tally(
        digest_of("profile"),
        columns={"hour": ColumnTally(rows=3, missing=1, counts=(1, 1), moments=Moments(2, 0.5, 0.5, 0.0, 1.0))},
        answers=AnswerTally(3, 0, (2, 1), {300: 2, 999: 1}, Moments(3, 0.6, 0.1, 0.3, 0.999)),
        outcomes={OVERALL: OutcomeTally(3, Moments(2, 0.5, 0.5, 0.0, 1.0), negatives={300: 1}, positives={999: 1})},
        groups={"sex": {"f": GroupTally(2, 1), "m": GroupTally(1, 1)}},
        operation=OperationTally(3, {"boom": 1}, {"": 3}, {"": 1}, {-20: 3}, {"2013-05-31T05": 3}, WEEK.end),
    )
    return replace(DayTally(MODEL, 1, WEEK.end.date() - timedelta(days=1), tally, NOON), **changes)


def an_incident(**changes: Any) -> Incident:
    incident = Incident(
        id="incident-1",
        model=MODEL,
        version=1,
        cause=Cause.DRIFT.value,
        severity="medium",
        state=IncidentState.OPEN,
        first_bad=WEEK,
        opened_at=NOON,
        updated_at=NOON,
        windows=1,
        evidence=digest_of("window"),
        detail={"checks": ["psi distance"]},
        judged_to=WEEK.end,
        links=({"kind": "evidence", "ref": digest_of("window"), "at": NOON.isoformat()},),
    )
    return replace(incident, **changes)
