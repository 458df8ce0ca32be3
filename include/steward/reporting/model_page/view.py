"""The page of one model as plain JSON: what a program gets, and what the page is drawn from."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from steward.ledger import serving_periods
from steward.reporting.model_page.decisions import gates_of, versions_of, waiting_for, way_back, ways_back
from steward.reporting.model_page.facts import ModelFacts
from steward.reporting.model_page.reasons import headline, reasons
from steward.reporting.model_page.releases import rollouts_of
from steward.reporting.model_page.timeline import timeline_of
from steward.reporting.model_page.windows import drift_by_feature, metrics_over_time
from steward.types import JsonObject

DECLARED = ("title", "purpose", "owner", "risk_tier", "task", "frameworks", "consumers", "upstream")
MOST_INCIDENTS, MOST_REPORTS = 30, 12
NOBODY = {"answer": False, "roll_back": False, "retrain": False, "attend": False}


def model_view(facts: ModelFacts) -> JsonObject:
    """`may` and `links` are filled by the door the page is asked through: nobody may do anything in a file."""
    spec = facts.spec or {}
    rollouts = rollouts_of(facts)
    return {
        "kind": "model_page",
        "model": facts.model,
        **{key: spec.get(key) for key in DECLARED},
        "batch": _is_batch(spec),
        "dags": _dags(facts, spec),
        "at": facts.at,
        "generated_at": facts.generated_at,
        "declared": not facts.explained["unread"],
        "faults": list(facts.faults),
        "health": _health(facts),
        "serving": _serving(facts),
        "waiting": waiting_for(facts),
        "rollout": next((each for each in rollouts if each["ended"] is None), None),
        "last_rollout": next((each for each in rollouts if each["ended"] is not None), None),
        "metrics": metrics_over_time(facts.windows),
        "drift": drift_by_feature(facts.windows),
        "windows": len(facts.windows),
        "gates": gates_of(facts),
        "versions": versions_of(facts),
        "marks": _marks(facts),
        "incidents": _incidents(facts),
        "timeline": timeline_of(facts.events, facts.nights),
        "told_since": facts.told_since,
        "governance": {key: facts.standing.get(key) for key in ("stage", "documents", "waivers", "review", "retired")},
        "reports": _reports(facts),
        "may": dict(NOBODY),
        "links": {"mlflow": None, "server": None},
    }


def _is_batch(spec: JsonObject) -> bool:
    return bool((spec.get("deployment") or {}).get("target") == "batch")


def _dags(facts: ModelFacts, spec: JsonObject) -> list[str]:
    """Only a spec that can be read has any."""
    if facts.explained["unread"]:
        return []
    return [f"{facts.model}__{step}" for step in ("train", *(("score",) if _is_batch(spec) else ()), "monitor")]


def _health(facts: ModelFacts) -> JsonObject:
    """The state that is told everywhere."""
    told = facts.explained
    return {
        "state": told["state"],
        "sentence": headline(told),
        "reasons": list(reasons(told)),
        "in_the_way": told["blocks"],
        "retraining": told["retraining"],
        "window": told["window"],
    }


def _serving(facts: ModelFacts) -> JsonObject:
    now = facts.standing
    period = next((p for p in reversed(serving_periods(facts.served)) if p.version == facts.champion), None)
    kept = ("champion", "runtime", "canary", "percent", "shadow", "standby", "last_window")
    return {
        **{key: now.get(key) for key in kept},
        "since": period.since if period else None,
        "before": way_back(facts),
        "back": [*ways_back(facts)],
    }


def _marks(facts: ModelFacts) -> list[JsonObject]:
    """Every change of champion."""
    return [
        {
            "at": period.since,
            "version": period.version,
            "until": period.until,
            "seq": period.event.seq,
            "back": period.event.type.value == "rollout.rolled_back",
        }
        for period in serving_periods(facts.served)
    ]


def _incidents(facts: ModelFacts) -> list[JsonObject]:
    """Those that are open first, then the newest."""
    newest = sorted(facts.incidents, key=lambda each: each["opened_at"], reverse=True)
    return sorted(newest, key=lambda each: each["state"] == "resolved")[:MOST_INCIDENTS]


def _reports(facts: ModelFacts) -> list[JsonObject]:
    """Newest first, each name once: `kind` is drift, card or compliance."""
    found: dict[str, JsonObject] = {}
    for event in reversed(facts.reports):
        for name in event.body.get("reports") or [event.body.get("report")]:
            if name:
                found.setdefault(name, {"name": name, "kind": _kind(name), "at": event.at, "version": event.version})
    return list(found.values())[:MOST_REPORTS]


def _kind(name: str) -> str:
    last = name.rpartition("/")[2]
    return next((kind for kind in ("card", "compliance") if last.startswith(kind)), "drift")


def span_of(view: JsonObject) -> tuple[datetime, datetime]:
    """What the picture of the model's life covers: a year at most, and not much more than there is to see."""
    known: list[Any] = [view["at"] - timedelta(days=1), *(m["at"] for m in view["marks"] if m["version"])]
    known += [each["created_at"] for each in view["versions"] if each["created_at"]]
    return max(min(known), view["at"] - timedelta(days=365)), view["at"]
