"""Versions, the gates they met, and what waits for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from steward.gates import OVERALL, Evidence, Outcome
from steward.ledger import EventType, serving_periods
from steward.reporting.card import NORMAL_95
from steward.reporting.model_page.facts import ModelFacts
from steward.types import JsonObject

MOST_VERSIONS, MOST_FINDINGS = 20, 40
METRIC = "metric."
_ORDER = (Outcome.FAILED.value, Outcome.INCONCLUSIVE.value, Outcome.PASSED.value)


def versions_of(facts: ModelFacts) -> list[JsonObject]:
    """Newest first, each with when it served. The champion is among them, however many were refused since."""
    periods = serving_periods(facts.served)
    known_ones = sorted(facts.versions, key=lambda each: -each.number)
    return [
        {
            "version": known.number,
            "state": known.state,
            "author": known.author,
            "created_at": known.created_at,
            "trained_on": known.trained_on.to_json(),
            "run_id": known.run_id,
            "served": [{"since": p.since, "until": p.until} for p in periods if p.version == known.number],
            "evidence": known.evaluation,
        }
        for place, known in enumerate(known_ones)
        if place < MOST_VERSIONS or known.number == facts.champion
    ]


def judged_versions(versions: Sequence[int], champion: int | None, asked: Sequence[int]) -> list[int]:
    """Whose gates are shown: those that people are asked about or that are being released, the champion, and where
    there is neither the newest."""
    shown = [*asked, *([champion] if champion is not None else [])]
    return list(dict.fromkeys(shown)) or [*versions[-1:]]


def gates_of(facts: ModelFacts) -> list[JsonObject]:
    """In the order of `judged_versions`; a version without evidence of its evaluation is left out."""
    state = {known.number: known.state for known in facts.versions}
    return [
        {"version": number, "state": state.get(number), **findings_of(evidence)}
        for number, evidence in facts.evaluations.items()
    ]


def findings_of(evaluation: Evidence) -> JsonObject:
    """What failed first, and all of it. `more`: findings that passed and are left out."""
    body = evaluation.body
    found = sorted(body["verdict"]["findings"], key=lambda f: (_ORDER.index(f["outcome"]), f["slice"] != OVERALL))
    shown = [f for place, f in enumerate(found) if place < MOST_FINDINGS or f["outcome"] != Outcome.PASSED]
    return {
        "outcome": evaluation.verdict.outcome,
        "evidence": evaluation.digest,
        "rows": body.get("labelled") or body.get("rows"),
        "champion": body.get("champion"),
        "findings": [{**finding, **_interval(body, finding)} for finding in shown],
        "more": len(found) - len(shown),
    }


def _interval(body: JsonObject, finding: JsonObject) -> JsonObject:
    """95 %, where the finding is of a metric whose error is known."""
    name = finding["gate"].removeprefix(METRIC)
    measured: dict[str, Any] = _measured(body, finding["slice"]).get(name) or {}
    value, error = measured.get("value"), measured.get("error")
    if not finding["gate"].startswith(METRIC) or value is None or error is None or value != finding["value"]:
        return {"lower": None, "upper": None}
    return {"lower": value - NORMAL_95 * error, "upper": value + NORMAL_95 * error}


def _measured(body: JsonObject, part: str) -> JsonObject:
    if part == OVERALL:
        return dict(body.get("metrics") or {})
    return next((dict(each["metrics"]) for each in body.get("slices", []) if each["slice"] == part), {})


def waiting_for(facts: ModelFacts) -> list[JsonObject]:
    """Every open request with what people need to decide; the gates are those of its version."""
    return [{**request, "gates": _gates(facts, request["version"])} for request in facts.waiting]


def _gates(facts: ModelFacts, number: int) -> JsonObject | None:
    found = facts.evaluations.get(number)
    return findings_of(found) if found else None


def way_back(facts: ModelFacts) -> int | None:
    """Where a rollback goes that names no version: to the one that the champion replaced, if that may serve again."""
    promoted = [e for e in facts.served if e.type is EventType.VERSION_PROMOTED and e.version == facts.champion]
    before = promoted[-1].body.get("replaced") if promoted else None
    return next((each.number for each in facts.versions if (each.number, each.state) == (before, "superseded")), None)


def ways_back(facts: ModelFacts) -> Iterator[int]:
    """Champions before this one that may come back, the latest first. Which of them are still within their rollback
    window the door says."""
    state = {known.number: known.state for known in facts.versions}
    periods = [p.version for p in reversed(serving_periods(facts.served)) if p.version is not None]
    yield from (number for number in dict.fromkeys(periods) if state.get(number) == "superseded")
