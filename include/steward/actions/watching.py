"""Judging served windows, opening and closing incidents, reports for people."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from steward.actions.incidents import resolve_incident, save_incident
from steward.actions.operation import Operation, day_of, ended_since
from steward.actions.preparing import snapshot_of
from steward.actions.state import Services, Transaction
from steward.gates import Evidence, Outcome, Verdict
from steward.ledger import EventType
from steward.monitoring.windows import MONITORED, Cause, Incident, IncidentState, JudgedWindow
from steward.registry import ModelVersion
from steward.spec import ModelSpec
from steward.types import JsonObject, RiskTier, Window, parse_instant

if TYPE_CHECKING:
    import pandas as pd

REPORT_AGAIN_AFTER = timedelta(days=7)


def judge_window(services: Services, spec: ModelSpec, *, run: str, actor: str, as_of: str | None = None) -> JsonObject:
    """Judge what the champion served in the window that ends with the last full day before `as_of`.

    A model whose endpoint was closed for good has nothing to judge: its monitor ends quietly and writes nothing.
    """
    if ended := ended_since(services, spec.model):
        return {"outcome": Outcome.INCONCLUSIVE.value, "version": None, "causes": [], "reasons": [ended]}
    op = Operation.begin(services, "judge_window", spec.model, run, actor, as_of=as_of)
    if done := op.earlier():
        return done
    window = Window.ending(day_of(services, as_of), spec.monitoring.window.length)
    with services.database.begin() as tx:
        champion = tx.versions.champion(spec.model)
        profile = tx.evidence.get(champion.profile).body if champion and champion.profile else None
    verdict, causes = _judge(services, spec, champion, profile, window)
    number = champion.number if champion else None
    body = {"version": number, "window": window.to_json(), "verdict": verdict.to_json(), "causes": causes}
    evidence = Evidence("window", spec.model, body)

    def write(tx: Transaction) -> JsonObject:
        digest = tx.evidence.put(evidence)
        if number is not None:
            judged = JudgedWindow(spec.model, number, window, verdict.outcome, causes, digest, services.clock.now())
            tx.windows.record(judged)
        reasons = list(verdict.reasons)
        reason = "; ".join(reasons[:3]) or "every check held"
        tx.events.append(
            op.event(
                EventType.WINDOW_JUDGED,
                reason,
                version=number,
                evidence=digest,
                window=window.to_json(),
                outcome=verdict.outcome,
                causes=causes,
            )
        )
        return {
            "outcome": verdict.outcome.value,
            "causes": [cause.value for cause in causes],
            "evidence": digest,
            "version": number,
            "window": window.to_json(),
            "reasons": reasons[:20],
        }

    return op.commit(write)


def _judge(
    services: Services,
    spec: ModelSpec,
    champion: ModelVersion | None,
    profile: JsonObject | None,
    window: Window,
) -> tuple[Verdict, tuple[Cause, ...]]:
    from steward.monitoring.checks.judging import causes, judge

    if champion is None or profile is None:
        return Verdict(), ()
    served = _served_by(services, spec, champion, window)
    verdict = judge(spec, profile, served)
    return verdict, causes(verdict)


def _served_by(services: Services, spec: ModelSpec, version: ModelVersion, window: Window) -> pd.DataFrame:
    served = services.predictions.served(spec.model, window)
    return served[served["version"] == version.number]


def open_incident(services: Services, spec: ModelSpec, *, run: str, actor: str, evidence: str) -> JsonObject:
    """One unresolved incident per cause: opened, kept up to date, or resolved, by what the window showed."""
    op = Operation.begin(services, "open_incident", spec.model, run, actor, evidence=evidence)

    def write(tx: Transaction) -> JsonObject:
        body = tx.evidence.get(evidence).body
        verdict = Verdict.from_json(body["verdict"])
        unresolved = {incident.cause: incident for incident in _monitored(tx, spec.model)}
        failed = {Cause(cause) for cause in body["causes"]}
        touched = [
            _note(services, spec, tx, op, unresolved.get(cause), cause, body, evidence) for cause in sorted(failed)
        ]
        resolved = [
            _resolve(services, tx, op, incident, "a window passed")
            for cause, incident in unresolved.items()
            if Cause(cause) not in failed and verdict.outcome is not Outcome.INCONCLUSIVE
        ]
        wanted = any(_report_wanted(services, incident) for incident in touched)
        return {
            "incidents": [i.id for i in touched],
            "resolved": [i.id for i in resolved],
            "report_wanted": wanted,
        }

    return op.commit(write)


def _monitored(tx: Transaction, model: str) -> list[Incident]:
    """What windows may open and close; an audit's or a review's incidents are not theirs to end."""
    return [incident for incident in tx.incidents.unresolved(model) if incident.cause in MONITORED]


def _note(
    services: Services,
    spec: ModelSpec,
    tx: Transaction,
    op: Operation,
    known: Incident | None,
    cause: Cause,
    body: JsonObject,
    evidence: str,
) -> Incident:
    now = services.clock.now()
    if known and known.version == body["version"]:
        incident = replace(known, updated_at=now, windows=known.windows + 1, evidence=evidence)
        kind, said = EventType.INCIDENT_UPDATED, f"{cause} again: {incident.windows} windows now"
    else:
        if known:
            _resolve(services, tx, op, known, f"version {known.version} no longer serves")
        incident = Incident(
            id=uuid.uuid4().hex,
            model=spec.model,
            version=body["version"],
            cause=cause.value,
            severity=_severity(spec.risk_tier, cause),
            state=IncidentState.OPEN,
            first_bad=Window.from_json(body["window"]),
            opened_at=now,
            updated_at=now,
            windows=1,
            evidence=evidence,
        )
        kind, said = EventType.INCIDENT_OPENED, f"{cause}: {_first_reason(body, cause)}"
    return save_incident(tx, kind, incident, op.actor, said, op.run)


def _first_reason(body: JsonObject, cause: Cause) -> str:
    failed = Verdict.from_json(body["verdict"]).failed()
    return next(f.reason for f in failed if f.gate.startswith(f"{cause.value}."))


def _severity(tier: RiskTier, cause: Cause) -> str:
    """Drift alone is for watching; a loss or a broken input weighs as much as the model does."""
    if cause is Cause.DRIFT:
        return "low"
    return {RiskTier.LOW: "low", RiskTier.MEDIUM: "medium", RiskTier.HIGH: "high"}[tier]


def _resolve(services: Services, tx: Transaction, op: Operation, incident: Incident, why: str) -> Incident:
    return resolve_incident(tx, incident, op.actor, why, services.clock.now(), op.run)


def _report_wanted(services: Services, incident: Incident) -> bool:
    """A person looks when trouble begins, then weekly while it lasts."""
    made_at = (incident.detail or {}).get("report_at")
    return made_at is None or services.clock.now() - parse_instant(made_at) >= REPORT_AGAIN_AFTER


def write_report(services: Services, spec: ModelSpec, *, run: str, actor: str, evidence: str) -> JsonObject:
    """Evidently's HTML report of the window against the version's training rows; linked from its incidents."""
    op = Operation.begin(services, "write_report", spec.model, run, actor, evidence=evidence)
    if done := op.earlier():
        return done
    with services.database.begin() as tx:
        body = tx.evidence.get(evidence).body
        version = next(v for v in tx.versions.all(spec.model) if v.number == body["version"])
    window = Window.from_json(body["window"])
    name = f"{spec.model}/{window.end:%Y-%m-%d}-v{version.number}.html"
    _write_html(services, spec, version, window, services.reports_dir / name)

    def write(tx: Transaction) -> JsonObject:
        for incident in _monitored(tx, spec.model):
            detail = {**(incident.detail or {}), "report_at": services.clock.now().isoformat()}
            tx.incidents.save(replace(incident, report=name, detail=detail))
        tx.events.append(op.event(EventType.REPORT_MADE, name, version=version.number, evidence=evidence, report=name))
        return {"report": name}

    return op.commit(write)


def _write_html(services: Services, spec: ModelSpec, version: ModelVersion, window: Window, path: Path) -> None:
    from steward.monitoring.checks.judging import feature_frame

    reference = services.snapshots.read(snapshot_of(services, version.evidence["snapshot"]), list(spec.data.features))
    current = feature_frame(_served_by(services, spec, version, window), spec)
    columns = {name: feature.type.value for name, feature in spec.data.features.items()}
    title = f"{version.ref}: {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d} against its training window"
    services.reporter.write(reference, current, columns, path, title)
