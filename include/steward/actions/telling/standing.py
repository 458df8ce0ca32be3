"""Where a model stands: what serves, what waits for people, what is wrong, how it is governed. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from steward.actions.state import Transaction
from steward.approval import RequestState
from steward.errors import NotFoundError
from steward.ledger import AuditEvent, EventType, live_waivers, stage_of, tombstone_of
from steward.ledger.governance import GOVERNANCE_EVENTS, FiledDocument, last_review, next_review
from steward.registry import ModelVersion
from steward.types import JsonObject


def standing(tx: Transaction, model: str, now: datetime, review_after: timedelta | None) -> JsonObject:
    """`now` by the calendar the models live in: waivers run out by it, and reviews become overdue.

    `review_after` is what the model's spec says; None where it cannot be read.
    """
    events = tx.events.read(model=model, types=GOVERNANCE_EVENTS)
    return {**_serving(tx, model), **governance(events, now, review_after)}


def _serving(tx: Transaction, model: str) -> JsonObject:
    champion, route = tx.versions.champion(model), tx.routes.get(model)
    judged, last = tx.windows.recent(model, 1), tx.events.read(model=model, limit=1)
    waiting = tx.approvals.find(model, None, RequestState.OPEN)
    return {
        "model": model,
        "champion": champion.number if champion else None,
        "runtime": _runtime(tx, champion) if champion else None,
        "canary": route.canary if route else None,
        "percent": route.percent if route and route.canary else 0,
        "shadow": route.shadow if route else None,
        "standby": route.standby if route else None,
        "waiting": [
            {"version": r.version, "request": r.id, "evidence": r.evidence, "expires_at": r.expires_at} for r in waiting
        ],
        "incidents": [{"id": i.id, "cause": i.cause, "since": i.opened_at} for i in tx.incidents.unresolved(model)],
        "last_window": {"end": judged[-1].window.end, "outcome": judged[-1].outcome} if judged else None,
        "last_event": {"type": last[-1].type, "at": last[-1].at, "reason": last[-1].reason} if last else None,
    }


def _runtime(tx: Transaction, champion: ModelVersion) -> str | None:
    """What a server answers with: its ONNX twin where one passed, else scikit-learn. None: its training is not kept."""
    try:
        twin = tx.evidence.get(champion.evidence["training"]).body.get("twin")
    except (KeyError, NotFoundError):
        return None
    return "onnx" if twin and twin["serves"] else "scikit-learn"


def governance(events: Sequence[AuditEvent], now: datetime, review_after: timedelta | None) -> JsonObject:
    """Stage, documents, waivers, review and tombstone of one model, from its events."""
    stage, stone, review = stage_of(events), tombstone_of(events), last_review(events)
    due = None if stone else next_review(events, review_after)
    return {
        "stage": {"stage": stage.stage, "since": stage.at, "version": stage.version} if stage else None,
        "documents": [document.to_json() for document in _newest(events)],
        "waivers": [waiver.to_json() for waiver in live_waivers(events, now)],
        "review": {
            "last": review.at if review else None,
            "next": due,
            "overdue": due is not None and now >= due,
        },
        "retired": stone.to_json() if stone else None,
    }


def _newest(events: Sequence[AuditEvent]) -> list[FiledDocument]:
    """Of every kind, for the model as a whole and for each version."""
    filed = (FiledDocument.of(event) for event in events if event.type is EventType.DOCUMENT_FILED)
    return list({(document.version, document.kind): document for document in filed}.values())
