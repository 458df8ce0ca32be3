"""A small record by hand: one version of a toy, and what happened to it, each fact changeable by a test."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.specs import a_spec

from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.ledger import AuditEvent, EventType
from steward.reporting.facts import Facts, Proof
from steward.types import JsonObject, Window

DAY = timedelta(days=1)
START = datetime(2026, 6, 1, tzinfo=UTC)
NOW = START + 10 * DAY

SPEC: JsonObject = a_spec(
    frameworks=["sr-26-2"], consumers=[{"name": "desk", "contact": "desk@example.com"}]
).model_dump(mode="json")

SNAPSHOT = Evidence(
    "snapshot",
    "toy",
    {
        "snapshot": {
            "model": "toy",
            "table": "snapshots/toy",
            "version": 4,
            "rows": 500,
            "digest": "d" * 64,
            "window": Window(START - 90 * DAY, START).to_json(),
        }
    },
)
VALIDATION = Evidence(
    "validation", "toy", {"verdict": Verdict.of([Finding("contract", Outcome.PASSED, "all there")]).to_json()}
)
RECORD = {"params": {"C": 1}, "seed": 3, "code_commit": "abc", "cpu_seconds": 1.5, "rows": 400, "environment": {}}
TRAINING = Evidence(
    "training",
    "toy",
    {
        "snapshot": SNAPSHOT.digest,
        "record": {**RECORD, "environment_digest": "e" * 64},
        "logged": {"run_id": "r1", "uri": "file:toy", "digest": "a" * 64},
        "author": "airflow:dana",
    },
)
PROFILE = Evidence("profile", "toy", {"rows": 400})


def an_evaluation(*findings: Finding, **changes: Any) -> Evidence:
    """Passed on the whole unless findings say otherwise."""
    good = Finding("metric.roc_auc", Outcome.PASSED, "fine", 0.8, 0.6, rows=100)
    body = {
        "rows": 100,
        "labelled": 100,
        "label_mean": 0.4,
        "threshold": 0.5,
        "metrics": {"roc_auc": {"value": 0.8, "error": 0.02, "rows": 100}},
        "slices": [
            {"slice": "carrier = AA", "rows": 60, "metrics": {"roc_auc": {"value": 0.7, "error": 0.05, "rows": 60}}}
        ],
        "fairness": {"groupings": [a_grouping()], "warnings": [], "favourable": 1, "min_rows": 30},
        "calibration": [{"from": 0.0, "to": 1.0, "rows": 100, "predicted": 0.4, "seen": 0.5}],
        "importance": {"metric": "roc_auc", "rows": 100, "features": {"distance": 0.1, "carrier": 0.02}},
        "champion": None,
        "training": TRAINING.digest,
        "profile": PROFILE.digest,
        "verdict": Verdict.of(findings or [good]).to_json(),
    }
    return Evidence("evaluation", "toy", {**body, **changes})


def a_grouping(*, problem: str | None = None) -> JsonObject:
    def share(count: int, rows: int) -> JsonObject:
        return {"value": count / rows, "lower": 0.3, "upper": 0.7, "count": count, "rows": rows}

    ratio = {"value": 0.8, "lower": 0.7, "upper": 0.9, "p": 0.01, "lowest": "a", "highest": "b", "problem": None}
    return {
        "by": "race",
        "groups": [{"group": g, "rows": 50, "selected": share(n, 50)} for g, n in (("a", 20), ("b", 25))],
        "small": [],
        "measures": {"demographic_parity_ratio": ratio},
        "problem": problem,
    }


_count = iter(range(1, 10**9))


def event(kind: str, /, at: datetime = START, version: int | None = 1, **about: Any) -> AuditEvent:
    """`reason`, `actor` and `evidence` by name; the rest is its body."""
    fields = {key: about.pop(key) for key in ("reason", "actor", "evidence") if key in about}
    known = {"reason": kind, "actor": "airflow:dana", "evidence": None, **fields}
    seq = next(_count)
    return AuditEvent(
        seq, at, at, EventType(kind), "toy", version=version, body=about, previous_hash="0", hash=str(seq), **known
    )


def registered(evaluation: Evidence, at: datetime = START, version: int = 1, **more: Any) -> AuditEvent:
    digests = {"validation": VALIDATION.digest, "training": TRAINING.digest, "evaluation": evaluation.digest}
    return event(
        "version.registered",
        at,
        version,
        spec=SPEC,
        outcome="PASSED",
        **{**digests, **more},
        evidence=evaluation.digest,
    )


def approved(at: datetime = START + DAY, by: str = "ravi", **more: Any) -> AuditEvent:
    body = {"request": "q1", "approved": True, "via": "test", "state": "approved", **more}
    found = event("approval.answered", at, actor=f"person:{by}", evidence="f" * 64, **body)
    return replace(found, body={**found.body, "reason": "looked at it"})


def judged(outcome: str = "PASSED", end: datetime = NOW - DAY, version: int = 1) -> AuditEvent:
    window = Window(end - 7 * DAY, end).to_json()
    return event("window.judged", end, version, window=window, outcome=outcome, evidence="b" * 64, reason="every check")


def facts(*more: AuditEvent, evaluation: Evidence | None = None, tier: str = "medium", **changes: Any) -> Facts:
    found = evaluation or an_evaluation()
    made_from = {
        "snapshot": SNAPSHOT,
        "validation": VALIDATION,
        "training": TRAINING,
        "evaluation": found,
        "profile": PROFILE,
    }
    base = Facts(
        model="toy",
        version=1,
        at=NOW,
        generated_at=NOW,
        spec={**SPEC, "risk_tier": tier},
        events=[registered(found), *more],
        proof=Proof(7, "c" * 64, None, {"seq": 7, "hash": "c" * 64, "at": "2026-06-11T00:00:00Z", "mac": "9" * 64}),
        evidence=made_from,
    )
    return replace(base, **changes)
