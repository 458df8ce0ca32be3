"""A small ledger, written out: three models, two teams, three tiers, a hundred days before AT.

It is a replay: the calendar (`days` before AT) covers months, the wall (`wall` seconds after WALL) minutes. What each
line is for stands beside it; what follows from them is reckoned by hand in test_hand_computed.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from steward.ledger import ALL_MODELS, AuditEvent, EventDraft, EventType
from steward.testing import FakeDatabase, FrozenClock
from steward.types import JsonObject, format_instant, to_json

AT = datetime(2026, 10, 1, tzinfo=UTC)
WALL = datetime(2027, 1, 1, tzinfo=UTC)

CREDIT: JsonObject = {"owner": {"team": "risk"}, "risk_tier": "high"}
CHURN: JsonObject = {"owner": {"team": "growth"}, "risk_tier": "medium"}
CHURN_MOVED: JsonObject = {"owner": {"team": "risk"}, "risk_tier": "medium"}
OFFERS: JsonObject = {"owner": {"team": "growth"}, "risk_tier": "low"}

Line = tuple[float, float, str, str, int | None, JsonObject]


def commit(seconds: float) -> str:
    return format_instant(WALL + timedelta(seconds=seconds))


def span(start: float, end: float) -> JsonObject:
    """A window, by days before AT."""
    return {"start": format_instant(day(start)), "end": format_instant(day(end))}


def day(before: float) -> datetime:
    return AT - timedelta(days=before)


def incident(name: str, cause: str, first: JsonObject, windows: int = 1) -> JsonObject:
    return {"incident": name, "cause": cause, "severity": "high", "first_bad": first, "windows": windows}


# fmt: off
LINES: list[Line] = [
    # days, wall, event, model, version, body
    # credit@1: the first release; a shadow step (0 %) is no deployment. Approved at 100 s, all users at 160 s.
    (82,   5, "model.trained", "credit", None, {"run": "c1", "evidence": "ct1", "committed_at": commit(-3600)}),
    (82,  10, "version.registered", "credit", 1, {"run": "c1", "training": "ct1", "spec": CREDIT}),
    (80, 100, "approval.answered", "credit", 1, {"request": "cr1", "approved": True, "state": "approved"}),
    (80, 110, "rollout.started", "credit", 1, {"run": "c1", "rollout": "co1", "approval": "cr1"}),
    (80, 115, "rollout.advanced", "credit", 1, {"rollout": "co1", "percent": 0}),
    (80, 120, "rollout.advanced", "credit", 1, {"rollout": "co1", "percent": 100}),
    (80, 160, "version.promoted", "credit", 1, {"run": "c1", "rollout": "co1", "replaced": None, "approval": "cr1"}),

    # offers@1: nobody is asked in the low tier; its first release fails, and there is nothing to go back to.
    (62, 170, "version.registered", "offers", 1, {"run": "o1", "training": "ot1", "spec": OFFERS}),
    (62, 175, "rollout.started", "offers", 1, {"run": "o1", "rollout": "oo1", "approval": None}),
    (62, 180, "rollout.advanced", "offers", 1, {"rollout": "oo1", "percent": 100}),
    (62, 185, "rollout.analysed", "offers", 1, {"rollout": "oo1", "outcome": "FAILED"}),
    (62, 190, "rollout.rolled_back", "offers", 1, {"rollout": "oo1", "to": None, "seconds": 0.3}),
    # offers@2: direct, all users at once.
    (60, 195, "version.registered", "offers", 2, {"run": "o2", "training": "ot2", "spec": OFFERS}),
    (60, 198, "rollout.started", "offers", 2, {"run": "o2", "rollout": "oo2", "approval": None}),
    (60, 200, "version.promoted", "offers", 2, {"run": "o2", "rollout": "oo2", "replaced": None, "approval": None}),

    # churn@1: glass was broken for it, and a review is due, which is no trouble of the model.
    (50, 280, "model.trained", "churn", None, {"run": "h1", "evidence": "ht1", "committed_at": commit(-100)}),
    (50, 285, "version.registered", "churn", 1, {"run": "h1", "training": "ht1", "spec": CHURN}),
    (50, 290, "glass.broken", "churn", 1, {"request": "hr1", "review_by": "2026-09-01T00:00:00Z"}),
    (50, 290, "incident.opened", "churn", 1, incident("review", "review_due", span(50, 40))),
    (50, 294, "rollout.started", "churn", 1, {"run": "h1", "rollout": "ho1", "approval": "hr1"}),
    (50, 296, "rollout.advanced", "churn", 1, {"rollout": "ho1", "percent": 100}),
    (50, 300, "version.promoted", "churn", 1, {"run": "h1", "rollout": "ho1", "replaced": None, "approval": "hr1"}),

    # credit@1 loses performance: bad since day 41, opened on day 40, over when credit@3 takes its place on day 18.
    (40, 310, "window.judged", "credit", 1, {"window": span(48, 41), "outcome": "FAILED", "utilisation": 0.5,
        "causes": ["drift", "performance"], "outcomes": {"drift": "FAILED", "performance": "FAILED"}}),
    (40, 311, "incident.opened", "credit", 1, incident("i1", "performance", span(48, 41))),
    # credit@2, of the same code: approved by the second of two people, taken off in its first step.
    (39, 312, "retraining.admitted", "credit", None, {"run": "c2", "champion": 1, "trigger": "request"}),
    (39, 315, "model.trained", "credit", None, {"run": "c2", "evidence": "ct2", "committed_at": commit(-3600)}),
    (39, 320, "version.registered", "credit", 2, {"run": "c2", "training": "ct2", "spec": CREDIT}),
    (25, 330, "window.judged", "offers", 2, {"window": span(33, 26), "outcome": "PASSED", "causes": []}),
    (24, 340, "retraining.admitted", "offers", None, {"run": "o3", "champion": 2, "trigger": "schedule"}),
    (24, 350, "version.rejected", "offers", 3, {"run": "o3", "training": "ot3", "spec": OFFERS}),
    (24, 355, "run.closed", "offers", 3, {"run": "o3"}),
    (21, 400, "approval.answered", "credit", 2, {"request": "cr2", "approved": True, "state": "open"}),
    (21, 420, "approval.answered", "credit", 2, {"request": "cr2", "approved": True, "state": "approved"}),
    (20, 425, "rollout.started", "credit", 2, {"run": "c2", "rollout": "co2", "approval": "cr2"}),
    (20, 430, "rollout.advanced", "credit", 2, {"rollout": "co2", "percent": 5}),
    (20, 440, "rollout.analysed", "credit", 2, {"rollout": "co2", "outcome": "FAILED"}),
    (20, 442.5, "rollout.rolled_back", "credit", 2, {"rollout": "co2", "to": 1, "seconds": 0.2}),
    (20, 445, "run.closed", "credit", 2, {"run": "c2"}),
    # credit@3, of new code, through every step.
    (19, 460, "retraining.admitted", "credit", None, {"run": "c3", "champion": 1, "trigger": "manual"}),
    (19, 470, "model.trained", "credit", None, {"run": "c3", "evidence": "ct3", "committed_at": commit(450)}),
    (19, 480, "version.registered", "credit", 3, {"run": "c3", "training": "ct3", "spec": CREDIT}),
    (19, 500, "approval.answered", "credit", 3, {"request": "cr3", "approved": True, "state": "approved"}),
    (18, 505, "rollout.started", "credit", 3, {"run": "c3", "rollout": "co3", "approval": "cr3"}),
    (18, 510, "rollout.advanced", "credit", 3, {"rollout": "co3", "percent": 5}),
    (18, 520, "rollout.advanced", "credit", 3, {"rollout": "co3", "percent": 50}),
    (18, 530, "version.promoted", "credit", 3, {"run": "c3", "rollout": "co3", "replaced": 1, "approval": "cr3"}),
    (18, 530, "incident.resolved", "credit", 1, incident("i1", "performance", span(48, 41), 4)),
    # A rehearsal is neither a rollback nor a deployment.
    (15, 540, "route.renewed", "credit", 3, {"epoch": 9}),
    (15, 541, "rollback.rehearsed", "credit", 1, {"outcome": "PASSED", "to": 1, "seconds": 0.4}),

    # An audit with one finding, which is gone five days later.
    (10, 550, "incident.opened", "churn", 1, incident("rule", "no_monitor", span(11, 10))),
    (10, 551, "inventory.audited", ALL_MODELS, None, {"models": 3, "findings": 1}),
    # The same window of credit@3, judged twice: it counts as it came out last.
    (10, 555, "window.judged", "credit", 3, {"window": span(17, 10), "outcome": "PASSED", "utilisation": 0.25,
        "causes": [], "outcomes": {"drift": "PASSED"}}),
    (9,  560, "window.judged", "credit", 3, {"window": span(17, 10), "outcome": "FAILED", "utilisation": 0.75,
        "causes": ["drift"], "outcomes": {"drift": "FAILED"}}),
    (9,  561, "incident.opened", "credit", 3, incident("i4", "drift", span(17, 10))),

    # churn moves to another team with its next version: same code, 10 % of users on day 8, all of them on day 6.
    (9,  580, "model.trained", "churn", None, {"run": "h2", "evidence": "ht2", "committed_at": commit(-100)}),
    (9,  590, "version.registered", "churn", 2, {"run": "h2", "training": "ht2", "spec": CHURN_MOVED}),
    (9,  600, "approval.answered", "churn", 2, {"request": "hr2", "approved": True, "state": "approved"}),
    (8,  605, "rollout.started", "churn", 2, {"run": "h2", "rollout": "ho2", "approval": "hr2"}),
    (8,  610, "rollout.advanced", "churn", 2, {"rollout": "ho2", "percent": 10}),
    (6,  660, "version.promoted", "churn", 2, {"run": "h2", "rollout": "ho2", "replaced": 1, "approval": "hr2"}),
    (6,  670, "retraining.admitted", "offers", None, {"run": "o4", "champion": 2, "trigger": "schedule"}),
    (5,  671, "run.closed", "offers", None, {"run": "o4", "outcome": "abandoned"}),
    (5,  672, "incident.resolved", "churn", 1, incident("rule", "no_monitor", span(11, 10))),
    (3,  675, "window.judged", "credit", 3, {"window": span(10, 3), "outcome": "INCONCLUSIVE", "utilisation": 0.5,
        "causes": [], "outcomes": {"monitor": "INCONCLUSIVE"}}),
    (3,  680, "retraining.admitted", "churn", None, {"run": "h3", "champion": 2, "trigger": "windows"}),
    (2,  690, "inventory.audited", ALL_MODELS, None, {"models": 3, "findings": 0}),
    # Two incidents found from outside (no window): one mends itself in 45 s, the other ends with the way back.
    (2,  700, "incident.opened", "churn", 2, incident("i2", "serving", span(3, 2), windows=0)),
    (2,  745, "incident.resolved", "churn", 2, incident("i2", "serving", span(3, 2), windows=0)),
    (1,  750, "incident.opened", "churn", 2, incident("i3", "operation", span(1, 0.5), windows=0)),
    (1,  760, "rollout.rolled_back", "churn", 2, {"rollout": None, "to": 1, "seconds": 0.1}),
    (1,  760, "incident.resolved", "churn", 2, incident("i3", "operation", span(1, 0.5), windows=0)),
    # A rollout that is under way, and an audit that could not ask the servers.
    (1,  770, "version.registered", "offers", 4, {"run": "o5", "training": "ot5", "spec": OFFERS}),
    (1,  775, "rollout.started", "offers", 4, {"run": "o5", "rollout": "oo5", "approval": None}),
    (1,  780, "rollout.advanced", "offers", 4, {"rollout": "oo5", "percent": 20}),
    (1,  790, "incident.opened", ALL_MODELS, None, incident("dark", "estate_unknown", span(2, 1))),
    (1,  791, "inventory.audited", ALL_MODELS, None, {"models": 3, "findings": 1}),
    # To come: none of it is known at AT.
    (-1, 800, "rollout.rolled_back", "credit", 3, {"rollout": None, "to": 1, "seconds": 0.1}),
    (-2, 810, "version.promoted", "offers", 4, {"run": "o5", "rollout": "oo5", "replaced": 2, "approval": None}),
]
# fmt: on


def event_of(seq: int, line: Line) -> AuditEvent:
    days, wall, kind, model, version, body = line
    told: dict[str, Any] = to_json(body)
    evidence = told.pop("evidence", None)
    recorded_at = WALL + timedelta(seconds=wall)
    return AuditEvent(
        seq, day(days), recorded_at, EventType(kind), model, "system:test", kind, version, evidence, told, "", ""
    )


EVENTS = [event_of(seq, line) for seq, line in enumerate(LINES, start=1)]


def planted() -> FakeDatabase:
    """The ledger in a database whose calendar stands at AT."""
    calendar, wall = FrozenClock(AT), FrozenClock(WALL)
    database = FakeDatabase(calendar, wall=wall)
    for event in EVENTS:
        calendar.set(event.at)
        wall.set(event.recorded_at)
        draft = EventDraft(
            event.type, event.model, event.actor, event.reason, event.version, event.evidence, event.body
        )
        with database.begin() as tx:
            tx.events.append(draft)
    calendar.set(AT)
    return database
