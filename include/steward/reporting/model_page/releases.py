"""The rollout that runs and the last that ended: which steps were taken, and what each has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from steward.gates import Outcome
from steward.gates.fairness import Share
from steward.ledger import AuditEvent, EventType
from steward.reporting.model_page.facts import ModelFacts
from steward.types import JsonObject

LOOKS = (EventType.ROLLOUT_WATCHED, EventType.ROLLOUT_ANALYSED)
_ENDS = {EventType.VERSION_PROMOTED: "promoted", EventType.ROLLOUT_ROLLED_BACK: "rolled back"}


def rollouts_of(facts: ModelFacts) -> list[JsonObject]:
    """Newest first: the one that runs, if any, and the last that ended."""
    by_id: dict[str, list[AuditEvent]] = {}
    for event in facts.rollouts:
        if name := event.body.get("rollout"):
            by_id.setdefault(name, []).append(event)
    begun = [events for events in by_id.values() if events[0].type is EventType.ROLLOUT_STARTED]
    told = [_rollout(facts, events) for events in reversed(begun)]
    running = [each for each in told if each["ended"] is None][:1]
    return running + [each for each in told if each["ended"] is not None][:1]


def _rollout(facts: ModelFacts, events: Sequence[AuditEvent]) -> JsonObject:
    started = events[0]
    ended = next((event for event in reversed(events) if event.type in _ENDS), None)
    deployment = started.body.get("deployment") or {}
    running = facts.running if facts.running and facts.running["id"] == started.body["rollout"] else None
    return {
        "id": started.body["rollout"],
        "version": started.version,
        "previous": started.body.get("previous"),
        "strategy": deployment.get("strategy"),
        "started_at": started.at,
        "percent": running["percent"] if running else None,
        "ended": _ending(ended) if ended else None,
        "undone": _undone(facts, ended) if ended else None,
        "steps": list(_steps(facts, events, started.body.get("steps") or [], ended)),
        "seq": started.seq,
    }


def _ending(event: AuditEvent) -> JsonObject:
    how, seconds = _ENDS[event.type], event.body.get("seconds")
    return {"how": how, "at": event.at, "by": event.actor, "reason": event.reason, "seconds": seconds, "seq": event.seq}


def _undone(facts: ModelFacts, promoted: AuditEvent) -> JsonObject | None:
    """The rollback that came after a release had ended well: it is of no rollout."""
    back = (e for e in facts.rollouts if e.type is EventType.ROLLOUT_ROLLED_BACK and e.version == promoted.version)
    return next((_ending(event) for event in back if event.seq > promoted.seq), None)


def _steps(
    facts: ModelFacts, events: Sequence[AuditEvent], planned: Sequence[int], ended: AuditEvent | None
) -> Iterator[JsonObject]:
    """Every planned step in order; the taken ones with what they have seen."""
    taken = [event for event in events if event.type is EventType.ROLLOUT_ADVANCED]
    steps = [event.body.get("step", event.body["percent"]) for event in taken]
    for place, percent in enumerate([*steps, *planned[len(steps) :]]):
        if place >= len(taken):
            state = "planned" if ended is None else "not taken"
            yield {"percent": percent, "state": state, "at": None, "looks": 0, "seen": None}
            continue
        looks = [e for e in events if e.type in LOOKS and e.body.get("epoch") == taken[place].body["epoch"]]
        last = place == len(taken) - 1
        yield {
            "percent": percent,
            "state": _state(looks, ended if last else None),
            "at": taken[place].at,
            "looks": len(looks),
            "seen": _seen(facts, looks[-1]) if looks else None,
        }


def _state(looks: Sequence[AuditEvent], ended: AuditEvent | None) -> str:
    judged = next((e for e in reversed(looks) if e.type is EventType.ROLLOUT_ANALYSED), None)
    if judged is not None:
        return {"PASSED": "passed", "FAILED": "failed"}.get(judged.body["outcome"], "not settled")
    if ended is not None and ended.type is EventType.ROLLOUT_ROLLED_BACK:
        return "called off"
    return "running" if ended is None else "passed"


def _seen(facts: ModelFacts, look: AuditEvent) -> JsonObject:
    """Of the last look at a step: its findings, and both arms where their evidence tells of them."""
    answer = look.body.get("answer") or {}
    kept = facts.looks.get(look.evidence or "")
    arms = (kept.body.get("arms") if kept else None) or {}
    return {
        "at": look.at,
        "outcome": look.body.get("outcome", Outcome.INCONCLUSIVE),
        "requests": answer.get("requests"),
        "reason": look.reason,
        "findings": answer.get("findings", []),
        "arms": {name: _arm(arm) for name, arm in arms.items() if arm},
        "seq": look.seq,
        "evidence": look.evidence,
    }


def _arm(arm: JsonObject) -> JsonObject:
    rows, hits = arm.get("outcome_rows"), arm.get("outcome_mean")
    shares = {"error_rate": Share(arm["errors"], arm["requests"]).to_json()}
    if hits is not None and rows and arm.get("outcome_is_share"):
        shares["outcome"] = Share(round(hits * rows), rows).to_json()
    elif hits is not None:
        shares["outcome"] = {"value": hits, "lower": None, "upper": None, "rows": rows}
    return {**arm, **shares}


def finding_of(step: JsonObject, gate: str) -> JsonObject | None:
    found: list[dict[str, Any]] = (step["seen"] or {}).get("findings", [])
    return next((finding for finding in found if finding["gate"] == gate), None)
