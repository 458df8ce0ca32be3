"""From facts to the inventory. Pure: nothing is read here, and time is handed in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from steward.inventory.external import ExternalModel
from steward.inventory.record import InventoryRecord, ModelFacts, Places, Standing
from steward.ledger import Period, live_waivers, serving_periods, stage_of, tombstone_of
from steward.ledger.governance import FiledDocument, documents_of, last_review, next_review
from steward.spec import ModelSpec
from steward.types import JsonObject, parse_instant, to_json

VALIDATION_REPORT = "validation_report"


def build_inventory(facts: Iterable[ModelFacts], now: datetime, places: Places) -> list[InventoryRecord]:
    """By model id."""
    return [record_of(each, now, places) for each in sorted(facts, key=lambda each: each.model)]


def record_of(facts: ModelFacts, now: datetime, places: Places) -> InventoryRecord:
    if facts.external is not None:
        return _of_external(facts.external)
    stage, stone, champion = stage_of(facts.events), tombstone_of(facts.events), facts.champion
    review = last_review(facts.events)
    documents = documents_of(facts.events, champion.number if champion else None)
    return InventoryRecord(
        model=facts.model,
        standing=standing_of(facts),
        **_declared(facts.spec or facts.last_spec),
        stage=stage.stage.value if stage else None,
        stage_at=stage.at if stage else None,
        stage_evidence=stage.artefacts if stage else {},
        versions=_counted(version.state for version in facts.versions),
        champion=champion.number if champion else None,
        champion_since=champion_since(facts),
        artefact=champion.artefact_digest if champion else None,
        training_data=facts.data,
        evidence=dict(champion.evidence) if champion else {},
        validation_report=_short(documents.get(VALIDATION_REPORT)),
        documents=tuple(filter(None, map(_short, documents.values()))),
        endpoint=places.of(facts.model, places.endpoint) if champion else None,
        dashboard=places.of(facts.model, places.dashboard),
        last_window=_last_window(facts),
        last_review_at=review.at if review else None,
        next_review_at=None if stone else review_due(facts),
        waivers=tuple(waiver.to_json() for waiver in live_waivers(facts.events, now)),
        incidents=tuple(
            to_json({"id": i.id, "version": i.version, "cause": i.cause, "severity": i.severity, "since": i.opened_at})
            for i in facts.incidents
        ),
        retired=stone.to_json() if stone else None,
        fault=facts.fault,
    )


def standing_of(facts: ModelFacts) -> Standing:
    if facts.external is not None:
        return Standing.ELSEWHERE
    if tombstone_of(facts.events):
        return Standing.RETIRED
    if facts.fault is not None:
        return Standing.BROKEN
    if facts.spec is not None:
        return Standing.DECLARED
    return Standing.RECORDED if facts.past else Standing.UNDECLARED


def champion_since(facts: ModelFacts) -> datetime | None:
    """When the champion began to answer, by promotion or by coming back. A canary that was taken off beside it changes
    nothing."""
    period = reign_of(facts)
    return period.since if period else None


def reign_of(facts: ModelFacts) -> Period | None:
    """The champion's present one."""
    last = next(reversed(serving_periods(facts.events)), None)
    return last if last and facts.champion and last.version == facts.champion.number else None


def review_due(facts: ModelFacts) -> datetime | None:
    """When somebody must look at a declared model next."""
    return next_review(facts.events, facts.spec.retirement.review_after if facts.spec else None)


def _declared(spec: ModelSpec | None) -> JsonObject:
    if spec is None:
        return {}
    return {
        "title": spec.title,
        "purpose": spec.purpose,
        "task": str(spec.task),
        "risk_tier": spec.risk_tier.value,
        "owner": spec.owner.model_dump(),
        "frameworks": spec.frameworks,
        "consumers": tuple(consumer.model_dump() for consumer in spec.consumers),
        "upstream": spec.upstream,
        "environment": spec.deployment.target,
    }


def _of_external(model: ExternalModel) -> InventoryRecord:
    filed = tuple(document.model_dump(mode="json") for document in model.documents)
    return InventoryRecord(
        model=model.id,
        standing=Standing.ELSEWHERE,
        title=model.title,
        purpose=model.purpose,
        risk_tier=model.risk_tier.value,
        owner=model.owner.model_dump() if model.owner else None,
        frameworks=model.frameworks,
        consumers=tuple(consumer.model_dump() for consumer in model.consumers),
        upstream=model.upstream,
        documents=filed,
        validation_report=next((each for each in filed if each["kind"] == VALIDATION_REPORT), None),
        environment=model.runs_on,
        endpoint=model.endpoint,
        vendor=model.vendor,
        last_review_at=parse_instant(model.last_review.isoformat()) if model.last_review else None,
        next_review_at=model.review_due,
    )


def _counted(states: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for state in states:
        counts[str(state)] = counts.get(str(state), 0) + 1
    return counts


def _short(document: FiledDocument | None) -> JsonObject | None:
    if document is None:
        return None
    told = document.to_json()
    return {key: told[key] for key in ("kind", "title", "digest", "by", "at")}


def _last_window(facts: ModelFacts) -> JsonObject | None:
    newest = max(facts.judged, key=lambda judged: (judged.window.end, judged.version), default=None)
    if newest is None:
        return None
    return to_json({"version": newest.version, "window": newest.window, "outcome": str(newest.outcome)})
