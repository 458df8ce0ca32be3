"""Facts of model pages, made by hand: a rich life, and the corners of one."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.reporting.conftest import SPEC, an_evaluation

from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.ledger import AuditEvent, EventType
from steward.reporting.model_page.facts import KnownVersion, ModelFacts, SeenWindow
from steward.types import JsonObject, Window

DAY = timedelta(days=1)
NOW = datetime(2026, 6, 30, 6, tzinfo=UTC)
LIMIT, DROP, BEFORE = 0.25, 0.03, 0.80


class Ledger:
    """Events in order, with numbers."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def add(self, kind: str, at: datetime, version: int | None = None, /, **about: Any) -> AuditEvent:
        known = {"reason": about.pop("reason", kind), "actor": about.pop("actor", "airflow:dana")}
        evidence, seq = about.pop("evidence", None), len(self.events) + 1
        event = AuditEvent(
            seq, at, at, EventType(kind), "toy", version=version, evidence=evidence, body=about,
            previous_hash="0", hash=str(seq), **known,
        )  # fmt: skip
        self.events.append(event)
        return event

    def sort(self) -> None:
        """What was told out of turn gets the number of its day."""
        in_order = sorted(self.events, key=lambda event: event.at)
        self.events = [replace(event, seq=place) for place, event in enumerate(in_order, 1)]

    def of(self, *kinds: str) -> list[AuditEvent]:
        return [event for event in self.events if event.type.value in kinds]


def explained(state: str = "green", champion: int | None = 2, **more: Any) -> JsonObject:
    base: JsonObject = {
        "model": "toy",
        "at": NOW,
        "champion": champion,
        "state": state,
        "window": None,
        "retraining": None,
        "red": [],
        "blocks": [],
        "unread": False,
        "faults": [],
    }
    return {**base, **more}


def standing(**more: Any) -> JsonObject:
    base: JsonObject = {
        "model": "toy", "champion": None, "runtime": None, "canary": None, "percent": 0, "shadow": None,
        "standby": None, "waiting": [], "incidents": [], "last_window": None, "last_event": None, "stage": None,
        "documents": [], "waivers": [], "review": {"last": None, "next": None, "overdue": False}, "retired": None,
    }  # fmt: skip
    return {**base, **more}


def nothing(**changes: Any) -> ModelFacts:
    """A model that was declared and never trained."""
    base = ModelFacts(
        model="toy", at=NOW, generated_at=NOW, spec=SPEC, faults=(), explained=explained("not serving", None),
        standing=standing(), events=(), nights=(), served=(), rollouts=(), reports=(), versions=(), windows=(),
        incidents=(), waiting=(),
    )  # fmt: skip
    return replace(base, **changes)


def a_version(number: int, state: str, at: datetime) -> KnownVersion:
    return KnownVersion(number, state, "dana", at, Window(at - 60 * DAY, at), f"run{number}" * 8, f"{number}" * 64)


# --- windows ------------------------------------------------------------------------------------------


def a_window(
    place: int, end: datetime, *, version: int = 2, features: int = 3, value: float | None = 0.79, broken: int = 0
) -> SeenWindow:
    """`broken` features are beyond their limit. Without a value outcomes are awaited."""
    findings = [_psi(number, place, broken) for number in range(features)]
    findings.append(Finding("drift.prediction_psi", Outcome.PASSED, "the prediction is steady", 0.02, LIMIT, rows=900))
    performance = {"roc_auc": {"value": value, "error": 0.008, "rows": 900}} if value is not None else {}
    if value is None:
        waits = "Area under the ROC curve waits for outcomes: 12 % of 900 have come"
        findings.append(Finding("performance.roc_auc", Outcome.INCONCLUSIVE, waits, 0.12, rows=108))
    else:
        worse = BEFORE - value
        outcome = Outcome.FAILED if worse > DROP else Outcome.PASSED
        findings.append(Finding("performance.roc_auc", outcome, f"AUC is {value:.3f}", worse, DROP, rows=900))
    verdict = Verdict.of(findings)
    body = {
        "version": version,
        "verdict": verdict.to_json(),
        "performance": {"labelled": 1.0, "metrics": performance},
        "summary": {"sentence": f"{broken} of {features} features moved."},
    }
    evidence = Evidence("window", "toy", {**body, "end": end.isoformat()})
    return SeenWindow(Window(end - 7 * DAY, end), version, verdict.outcome.value, evidence.digest, end, evidence.body)


def _psi(number: int, place: int, broken: int) -> Finding:
    name, gate = f"feature_{number}", f"drift.psi:feature_{number}"
    if number < broken:
        value = LIMIT * (1.2 + number * 0.3 + (place % 5) / 10)
        return Finding(gate, Outcome.FAILED, f"{name} moved: PSI {value:.3g}, limit {LIMIT}", value, LIMIT, rows=900)
    value = 0.02 + 0.12 * abs(math.sin(number * 1.7 + place / 6))
    if number % 17 == 5:
        reason = f"{name} cannot be told from chance"
        return Finding(gate, Outcome.INCONCLUSIVE, reason, value * 2.5, LIMIT, rows=40)
    return Finding(gate, Outcome.PASSED, f"{name} is steady", value, LIMIT, rows=900)


# --- a rich life ----------------------------------------------------------------------------------------


def rich(*, features: int = 12, nights: int = 60, running: bool = True, waiting: bool = False) -> ModelFacts:
    """Two champions, drift that cost performance, an incident, a retraining, a candidate in its canary."""
    ledger, start = Ledger(), NOW - (nights + 20) * DAY
    _beginnings(ledger, start)
    windows = [_night(ledger, place, NOW - (nights - 1 - place) * DAY, nights, features) for place in range(nights)]
    trouble = NOW - 6 * DAY
    opened = ledger.add(
        "incident.opened", trouble, 2, reason="performance: AUC is 0.752", incident="i1", cause="performance"
    )
    asked = ledger.add("retraining.requested", trouble, 2, reason="2 of 3 windows lost performance", actor="steward")
    ledger.add("version.registered", NOW - 5 * DAY, 3, reason="every gate passed", spec=SPEC)
    ledger.add("approval.requested", NOW - 5 * DAY, 3, reason="Release toy@3?", request="q3")
    ledger.add("approval.answered", NOW - 4 * DAY, 3, actor="person:ravi", approved=True, request="q3",
               reason="approved by ravi: better on every slice")  # fmt: skip
    looks = _canary(ledger) if running else {}
    red = {
        "incident": "i1", "cause": "performance", "severity": "high", "state": "open", "version": 2, "since": trouble,
        "windows": 6, "evidence": windows[-1].evidence, "events": [_cited(opened)],
        "findings": [{"reason": "Area under the ROC curve is 0.752 on 900 rows, 0.8 at evaluation: 0.048 worse"}],
        "next": "the controller decides after every window: see the decision on retraining",
    }  # fmt: skip
    ledger.sort()
    steps = ("rollout.started", "rollout.advanced", "rollout.watched", "rollout.analysed", "rollout.rolled_back",
             "version.promoted")  # fmt: skip
    window = {
        "window": windows[-1].window.to_json(), "judged_at": NOW, "evidence": windows[-1].evidence,
        "outcome": "FAILED", "outcomes": {"drift": "FAILED", "performance": "FAILED", "data": "PASSED"},
        "overdue": None,
        "unread": None,
        "former": None,
    }  # fmt: skip
    block = {"what": "rollout", "sentence": "version 3 is being rolled out, at 25 % of traffic",
             "next": "wait until it is judged, or end it: steward rollback toy --reason …", "events": []}  # fmt: skip
    decision = {**_cited(asked), "decision": "requested", "trigger": "lost", "version": 2, "evidence": None,
                "triggers": [{"fired": True, "name": "lost", "sentence": "2 of 3 windows lost performance"}],
                "safeguards": [{"passed": True, "binding": True, "name": "cooldown", "advice": None,
                                "sentence": "the last was 40 days ago"}], "next": [], "since": []}  # fmt: skip
    evaluation = an_evaluation(
        Finding("metric.roc_auc", Outcome.PASSED, "fine", 0.8, 0.7, rows=100),
        Finding("metric.roc_auc", Outcome.INCONCLUSIVE, "9 rows are too few", None, 0.7, "carrier = 'HA'", 9),
    )
    return ModelFacts(
        model="toy", at=NOW, generated_at=NOW, spec=SPEC, faults=(),
        explained=explained("red", 2, red=[red], window=window, blocks=[block] if running else [], retraining=decision),
        standing=standing(
            champion=2, canary=3 if running else None, percent=25 if running else 0,
            stage={"stage": "monitoring", "since": start, "version": 1},
            review={"last": None, "next": NOW - DAY, "overdue": True},
            documents=[{"kind": "validation_report", "title": "Validation", "version": 3, "digest": "d" * 64,
                        "by": "ravi", "at": NOW - 4 * DAY}],
            waivers=[{"gate": "fairness.*", "slice": None, "by": "ravi", "role": "risk", "reason": "small groups",
                      "expires_at": NOW + 30 * DAY}],
        ),
        events=[e for e in ledger.events if e.type is not EventType.WINDOW_JUDGED and not e.type.value.endswith(
            ("watched", "analysed", "made"))],
        nights=ledger.of("window.judged"), served=ledger.of("version.promoted"), rollouts=ledger.of(*steps),
        reports=[ledger.add("report.made", NOW, 2, report="toy/2026-06-29-v2.html")],
        versions=[a_version(1, "superseded", start), a_version(2, "champion", start + 9 * DAY),
                  a_version(3, "challenger", NOW - 5 * DAY)],
        windows=windows,
        incidents=[
            _incident("i1", "performance", "open", trouble, None),
            _incident("i0", "data", "resolved", start + 20 * DAY, start + 24 * DAY),
        ],
        waiting=[a_request()] if waiting else [],
        running={"id": "r3", "percent": 25} if running else None,
        evaluations={3: evaluation, 2: evaluation}, looks=looks,
    )  # fmt: skip


def _beginnings(ledger: Ledger, start: datetime) -> None:
    ledger.add("version.registered", start, 1, reason="every gate passed", spec=SPEC)
    ledger.add(
        "rollout.started", start + DAY, 1, rollout="r1", steps=[50, 100], previous=None, reason="smoke rows passed"
    )
    ledger.add("rollout.advanced", start + DAY, 1, rollout="r1", percent=50, step=50, epoch=1, reason="50 %")
    ledger.add("version.promoted", start + 2 * DAY, 1, rollout="r1", replaced=None, reason="replaces nothing")
    ledger.add("stage.entered", start + 2 * DAY, 1, stage="monitoring", reason="entered the stage monitoring")
    ledger.add("version.registered", start + 9 * DAY, 2, reason="every gate passed", spec=SPEC)
    ledger.add("version.promoted", start + 10 * DAY, 2, rollout="r2", replaced=1, reason="replaces toy@1")


def _night(ledger: Ledger, place: int, end: datetime, nights: int, features: int) -> SeenWindow:
    late = place >= nights - 6
    value: float | None = 0.795 - 0.004 * math.sin(place) - (0.05 if late else 0)
    if nights // 2 <= place < nights // 2 + 4:
        value = None
    seen = a_window(place, end, features=features, value=value, broken=2 if late else 0)
    causes = ["drift", "performance"] if late else []
    ledger.add("window.judged", end, 2, outcome=seen.outcome, causes=causes, evidence=seen.evidence,
               window=seen.window.to_json(), reason="every check held" if not late else "AUC is worse")  # fmt: skip
    return seen


def _canary(ledger: Ledger) -> dict[str, Evidence]:
    """5 % has passed, 25 % is being looked at, 50 and 100 are to come."""
    looks: dict[str, Evidence] = {}
    at, guardrail = NOW - DAY / 2, {"strategy": "canary"}
    ledger.add("rollout.started", at, 3, rollout="r3", steps=[5, 25, 50, 100], previous=2, deployment=guardrail)
    for place, (percent, kind, outcome) in enumerate([(5, "analysed", "PASSED"), (25, "watched", "INCONCLUSIVE")]):
        said = f"{percent} % of request keys go to toy@3"
        ledger.add("rollout.advanced", at, 3, rollout="r3", percent=percent, step=percent, epoch=place + 9, reason=said)
        arms = {
            "canary": _arm(400 * (place + 1), 3 * place + 1, 0.118), "champion": _arm(7600, 30, 0.097),
        }  # fmt: skip
        kept = Evidence("canary", "toy", {"rollout": "r3", "percent": percent, "arms": arms})
        looks[kept.digest] = kept
        findings = [
            Finding("canary.error_rate", Outcome.PASSED, "error rate is 0.003", 0.003, 0.01, rows=400).to_json(),
            Finding("canary.p99_latency", Outcome(outcome), "p99 latency is 0.118 s", 0.118, 0.25, rows=400).to_json(),
        ]
        answer = {"requests": 400 * (place + 1), "findings": findings}
        ledger.add(f"rollout.{kind}", at, 3, rollout="r3", epoch=place + 9, percent=percent, outcome=outcome,
                   answer=answer, evidence=kept.digest, reason="every guardrail held")  # fmt: skip
    return looks


def _arm(requests: int, errors: int, p99: float) -> JsonObject:
    outcome = {"outcome_rows": requests // 2, "outcome_mean": 0.21, "outcome_is_share": True}
    return {"requests": requests, "errors": errors, "p99": p99, "late": 0, "kinds": {}, **outcome}


def a_request(**changes: Any) -> JsonObject:
    about = {
        "stage": "validation since 2026-06-01", "documents": {"validation_report": "d" * 64}, "waivers": [],
        "missing": [], "freeze": None, "rows": 1200, "window": "2026-03-01/2026-06-01", "commit": "c" * 40,
        "author": "dana", "editor": "erik",
    }  # fmt: skip
    base: JsonObject = {
        "request": "q3", "version": 3, "evidence": "a" * 64, "requested_at": NOW - DAY, "expires_at": NOW + 2 * DAY,
        "expired": False, "author": "dana", "editor": "erik", "policy": {"quorum": 1, "roles": ["approver"]},
        "answers": [], "about": about,
    }  # fmt: skip
    return {**base, **changes}


def _incident(name: str, cause: str, state: str, opened: datetime, resolved: datetime | None) -> JsonObject:
    return {
        "id": name, "version": 2, "cause": cause, "severity": "high", "state": state, "opened_at": opened,
        "updated_at": resolved or NOW, "resolved_at": resolved, "windows": 6, "acknowledged_at": None,
        "acknowledged_by": None, "report": None, "evidence": "e" * 64, "passed": 0,
        "first_bad": Window(opened - 7 * DAY, opened).to_json(),
        "links": [{"kind": "report", "ref": "toy/2026-06-29-v2.html", "at": opened.isoformat()}],
    }  # fmt: skip


def _cited(event: AuditEvent) -> JsonObject:
    return {"seq": event.seq, "at": event.at, "event": event.type.value, "actor": event.actor, "reason": event.reason}
