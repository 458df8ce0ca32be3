"""The model card: what a version is, what it was made from, how well it does, who answers for it, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from steward.gates import OVERALL, Outcome
from steward.ledger import AuditEvent, EventType, person_of, serving_periods, stages_of
from steward.reporting.facts import MADE_FROM, Facts, Link, registration, window_of
from steward.types import JsonObject, to_json

NORMAL_95 = 1.959963984540054
DECLARED = ("title", "purpose", "owner", "risk_tier", "task", "frameworks", "consumers", "upstream")


def model_card(facts: Facts) -> JsonObject:
    """Plain JSON; every figure stands beside the digest of the evidence it was read from."""
    return to_json(
        {
            "kind": "model_card",
            "model": facts.model,
            "version": facts.version,
            **{key: facts.spec.get(key) for key in DECLARED},
            "at": facts.at,
            "generated_at": facts.generated_at,
            "spec_digest": facts.spec_digest,
            "changed_since": facts.present_spec_digest not in (None, facts.spec_digest),
            "state": state_of(facts),
            "stages": [stage.to_json() for stage in stages_of(facts.events)],
            "data": _data(facts),
            "training": _training(facts),
            "evaluation": _evaluation(facts),
            "approvals": [_answer(event) for event in facts.answers()],
            "broken_glass": _said(facts.broken_glass()),
            "waivers": [waiver.to_json() for waiver in facts.waivers],
            "documents": [document.to_json() for document in facts.documents.values()],
            "monitoring": _monitoring(facts),
            "incidents": [_said(event) for event in facts.open_incidents()],
            "limitations": [{"what": what, "why": why} for what, why in limitations(facts)],
            "versions": versions_of(facts),
            "evidence": _sources(facts),
            "proof": facts.proof.to_json(),
        }
    )


def state_of(facts: Facts) -> str:
    """Of this version at that moment, in one word."""
    return next((row["state"] for row in versions_of(facts) if row["version"] == facts.version), "not trained")


def versions_of(facts: Facts) -> list[JsonObject]:
    """Every version the model had by then, newest first, with what became of it."""
    numbers = {e.version for e in facts.events if e.version and registration(facts.events, e.version)}
    return [_version(facts, number) for number in sorted(numbers, reverse=True)]


def _version(facts: Facts, number: int) -> JsonObject:
    event = registration(facts.events, number)
    assert event is not None
    served = [p for p in serving_periods(facts.events) if p.version == number]
    return {
        "version": number,
        "at": event.at,
        "state": _state(facts, number),
        "outcome": event.body.get("outcome"),
        "evaluation": event.body.get("evaluation"),
        "served": [{"since": p.since, "until": p.until} for p in served],
    }


def _state(facts: Facts, number: int) -> str:
    if any(e.type is EventType.MODEL_RETIRED for e in facts.events):
        return "retired"
    periods = serving_periods(facts.events)
    if periods and periods[-1].version == number:
        return "champion"
    served = [period.event.seq for period in periods if period.version == number]
    settled = [e for e in facts.events if e.version == number and e.type in _SETTLES]
    if settled and settled[-1].seq > max(served, default=0):
        return "rolled back" if settled[-1].type is EventType.ROLLOUT_ROLLED_BACK else "rejected"
    return "replaced" if served else "challenger"


_SETTLES = (EventType.VERSION_REJECTED, EventType.ROLLOUT_ROLLED_BACK)


def _data(facts: Facts) -> JsonObject:
    declared = facts.spec["data"]
    found, contract = facts.evidence.get("snapshot"), facts.evidence.get("validation")
    return {
        "source": declared["source"],
        "features": [{"name": name, **about} for name, about in declared["features"].items()],
        "protected": declared["protected"],
        "label": declared["label"]["column"],
        "snapshot": found.body["snapshot"] if found else None,
        "contract": contract.verdict.outcome if contract else None,
        "contract_reasons": list(contract.verdict.reasons) if contract else [],
        "evidence": {kind: facts.evidence[kind].digest for kind in MADE_FROM[:2] if kind in facts.evidence},
    }


def _training(facts: Facts) -> JsonObject | None:
    found = facts.evidence.get("training")
    if found is None:
        return None
    record, logged, link = found.body["record"], found.body["logged"], facts.link_to_evidence("training")
    kept = ("params", "seed", "code_commit", "cpu_seconds", "rows", "environment_digest")
    return {
        **{key: record.get(key) for key in kept},
        "packages": len(record.get("environment", {})),
        "author": person_of(found.body["author"]),
        "editor": found.body.get("editor"),
        "at": link.at if link else None,
        "run_id": logged["run_id"],
        "artefact": logged["digest"],
        "threshold": found.body.get("threshold"),
        "twin": found.body.get("twin"),
        "evidence": found.digest,
    }


def _evaluation(facts: Facts) -> JsonObject | None:
    found = facts.evidence.get("evaluation")
    if found is None:
        return None
    body, verdict = found.body, facts.verdict
    return {
        "rows": body.get("rows"),
        "labelled": body.get("labelled"),
        "label_mean": body.get("label_mean"),
        "outcome": verdict.outcome,
        "findings": [finding.to_json() for finding in verdict.findings],
        "threshold": body.get("threshold"),
        "champion": body.get("champion"),
        "metrics": _metrics(facts, body),
        "slices": [_slice(one) for one in body["slices"]],
        "fairness": body.get("fairness"),
        "calibration": body.get("calibration", []),
        "importance": body.get("importance"),
        "evidence": found.digest,
    }


def _metrics(facts: Facts, body: JsonObject) -> list[JsonObject]:
    """The one that importance is told in first, then the others with a gate. Evidence keeps no order of keys.

    `beside` is the champion's value on the same rows, where there was one.
    """
    main = (body.get("importance") or {}).get("metric")
    gated = {finding.gate.partition(".")[2] for finding in facts.verdict.findings}
    names = sorted(body["metrics"], key=lambda name: (name != main, name not in gated, name))
    beside = (body.get("beside") or {}).get("metrics", {})
    return [{**_metric(name, body["metrics"][name]), "beside": beside.get(name, {}).get("value")} for name in names]


def _metric(name: str, found: JsonObject) -> JsonObject:
    """With its 95 % interval, from the standard error on independent rows."""
    value, error = found.get("value"), found.get("error")
    told = {"metric": name, "problem": None, **found}
    if value is None or error is None:
        return {**told, "lower": None, "upper": None}
    return {**told, "lower": value - NORMAL_95 * error, "upper": value + NORMAL_95 * error}


def _slice(found: JsonObject) -> JsonObject:
    metrics = [_metric(name, one) for name, one in found["metrics"].items()]
    return {"slice": found["slice"], "rows": found["rows"], "metrics": metrics}


def _answer(event: AuditEvent) -> JsonObject:
    return {
        "by": person_of(event.actor),
        "approved": event.body["approved"],
        "reason": event.body["reason"],
        "via": event.body.get("via"),
        "at": event.at,
        "evidence": event.evidence,
        "seq": event.seq,
    }


def _said(event: AuditEvent | None) -> JsonObject | None:
    if event is None:
        return None
    return {"what": event.reason, "by": person_of(event.actor), "at": event.at, "seq": event.seq, **_cause(event)}


def _cause(event: AuditEvent) -> JsonObject:
    return {key: event.body[key] for key in ("cause", "severity", "incident") if key in event.body}


def _monitoring(facts: Facts) -> JsonObject | None:
    judged = facts.last_window()
    if judged is None:
        return None
    findings = facts.window.verdict.findings if facts.window else ()
    return {
        "window": window_of(judged).to_json(),
        "outcome": judged.body["outcome"],
        "reason": judged.reason,
        "failing": [f.to_json() for f in findings if f.outcome is not Outcome.PASSED],
        "at": judged.at,
        "evidence": judged.evidence,
        "seq": judged.seq,
    }


def limitations(facts: Facts) -> Iterator[tuple[str, str]]:
    """What is not known, not judged or not good: nothing here is a guess, nothing is left out."""
    for finding in facts.verdict.findings:
        if finding.outcome is not Outcome.PASSED:
            where = "" if finding.slice == OVERALL else f" on {finding.slice}"
            yield f"{finding.gate}{where}: {finding.outcome}", finding.reason
    yield from (("fairness", said) for said in (facts.evaluation.get("fairness") or {}).get("warnings", []))
    yield from _not_measured(facts)
    for waiver in facts.waivers:
        yield f"waived until {waiver.expires_at:%Y-%m-%d}", f"{waiver.gate} by {waiver.by}: {waiver.reason}"
    if facts.version is not None and facts.last_window() is None:
        yield "not monitored yet", f"no window of {facts.name} was judged"


def _not_measured(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.version is None:
        yield "not trained", "no version of the model is on record"
        return
    for kind in (kind for kind in MADE_FROM if kind not in facts.evidence):
        yield f"no {kind}", f"the record of {facts.name} holds none"
    if not facts.evaluation.get("slices"):
        yield "not judged by slice", "the spec names no slices: a weak spot would not show"
    if not facts.evaluation.get("fairness"):
        yield "fairness not measured", "the spec names no protected columns"


def _sources(facts: Facts) -> list[JsonObject]:
    """Every digest the card points to, once, with the event that recorded it."""
    made_from = (facts.link_to_evidence(kind) for kind in MADE_FROM)
    filed = (Link(f"document {d.kind}", d.at, d.by, d.digest) for d in facts.documents.values())
    told = [("approval", event) for event in facts.answers()]
    if judged := facts.last_window():
        told.append(("window", judged))
    seen = (Link(what, event.at, person_of(event.actor), event.evidence, event.seq) for what, event in told)
    other = (_evaluated(facts, row) for row in versions_of(facts))
    links: dict[str, Link] = {}
    for link in (*made_from, *filed, *seen, *other):
        if link and link.digest:
            links.setdefault(link.digest, link)
    return [link.to_json() for link in links.values()]


def _evaluated(facts: Facts, row: JsonObject) -> Link:
    event = registration(facts.events, row["version"])
    return Link(f"evaluation of @{row['version']}", row["at"], None, row["evaluation"], event.seq if event else None)


def cell(value: Any) -> str:
    """A figure as a table shows it: four significant digits, – for none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
