"""What a decision on retraining rests on, read from events, evidence, judged windows and counted days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from steward.actions.state import Services, Transaction
from steward.approval import RequestState
from steward.gates import OVERALL, Finding, Outcome, Verdict
from steward.gates.metrics import METRICS
from steward.ledger import AuditEvent, EventType
from steward.monitoring.importance import importances
from steward.monitoring.windows import Cause, JudgedWindow
from steward.registry import ModelVersion
from steward.retraining import Candidate, Labels, Loss, Measured, RetrainingHistory, Situation, Trigger
from steward.retraining.record import CANDIDATE_EVENTS, OPEN_FOR, RECENT_EVENTS, Record, history_of, horizon
from steward.spec import ModelSpec
from steward.types import JsonObject, VersionRef, Window

WINDOWS_BACK = 60  # as far as a reading of the record looks for windows that were lost
TRAININGS_BACK = 5  # the dearest of them is what the next may cost
CANDIDATES_BACK = 200  # events about candidates: more than any breaker counts
CANDIDATES_READ = 3  # more than any reading of the record compares
SERVED_BACK = 5  # champions before this one whose rows may have got outcomes since its training


def situation_of(
    services: Services,
    spec: ModelSpec,
    tx: Transaction,
    run: str | None = None,
    *,
    asked: Trigger | None = None,
    said: str = "",
    requests: Iterable[int] = (),
    of: int | None = None,
) -> Situation:
    """`requests`, about version `of`, are those the run is about to answer.

    Rows of days, candidates and evidence are read only where they can matter: most nights nothing is lost."""
    now, champion = services.clock.now(), tx.versions.champion(spec.model)
    windows = tx.windows.recent(spec.model, WINDOWS_BACK, champion.number) if champion else []
    situation = Situation(
        model=spec.model,
        policy=spec.retraining,
        now=now,
        champion=champion.number if champion else None,
        windows=windows,
        history=_history(services, spec, tx, now, run, requests),
        asked=asked,
        said=said,
        request=of,
    )
    if champion is None:
        return situation
    if windows:
        situation = _with_latest(spec, tx, situation, champion, windows[-1])
    if _labels_matter(spec, situation):
        situation = replace(situation, labels=_labels(spec, tx, champion, now))
    return _with_candidates(spec, tx, situation, champion) if situation.lost else situation


def counts_as_open(spec: ModelSpec) -> timedelta:
    """So long a request that no run has answered, or a run that has not ended, stands in the way of another."""
    return OPEN_FOR + spec.training.time_limit


def _history(
    services: Services, spec: ModelSpec, tx: Transaction, now: datetime, run: str | None, requests: Iterable[int]
) -> RetrainingHistory:
    open_for, events = counts_as_open(spec), tx.events
    since = now - horizon(spec.retraining, open_for)
    admitted = events.read(model=spec.model, types=[EventType.RETRAINING_ADMITTED], limit=CANDIDATES_BACK)
    record = Record(
        events.read(model=spec.model, types=RECENT_EVENTS, since=since),
        events.read(model=spec.model, types=[EventType.RETRAINING_DECLINED], since=now - open_for),
        events.read(model=spec.model, types=[EventType.MODEL_TRAINED], limit=TRAININGS_BACK),
        events.read(model=spec.model, types=CANDIDATE_EVENTS, limit=CANDIDATES_BACK),
        frozenset(e.body["run"] for e in admitted if e.body["trigger"] == Trigger.MANUAL),
    )
    return history_of(
        spec.retraining,
        record,
        now,
        open_for=open_for,
        rollout=_rollout(tx, spec.model),
        waiting=_waiting(tx, spec.model, now),
        answering=requests,
        run=run,
    )


def _rollout(tx: Transaction, model: str) -> str | None:
    going = tx.rollouts.running(model)
    return f"version {going.version} is being rolled out" if going else None


def _waiting(tx: Transaction, model: str, now: datetime) -> str | None:
    found = [each for each in tx.approvals.find(model, state=RequestState.OPEN) if each.expires_at > now]
    return f"version {found[0].version} waits for approval" if found else None


def _with_latest(
    spec: ModelSpec, tx: Transaction, situation: Situation, champion: ModelVersion, latest: JudgedWindow
) -> Situation:
    findings = Verdict.from_json(tx.evidence.get(latest.evidence).body["verdict"]).findings
    profile = tx.evidence.get(champion.profile).body if champion.profile and situation.lost else {}
    judged = tx.events.read(model=spec.model, types=[EventType.WINDOW_JUDGED], limit=10)
    return replace(
        situation,
        findings=findings,
        losses=tuple(_losses(spec, findings, profile)),
        importance=importances(profile),
        window_seq=next((e.seq for e in reversed(judged) if e.evidence == latest.evidence), None),
    )


def _losses(spec: ModelSpec, findings: Iterable[Finding], profile: JsonObject) -> Iterator[Loss]:
    """A rule on a fall (`max_drop`, `max_rise`) says how far, one on a value says the value: the profile gives both."""
    performance = profile.get("performance") or {}
    for finding in findings:
        name = finding.gate.removeprefix(f"{Cause.PERFORMANCE}.")
        if name == finding.gate or name not in METRICS:
            continue
        if finding.outcome is not Outcome.FAILED or finding.slice != OVERALL or finding.value is None:
            continue
        rule, sign = spec.monitoring.performance.get(name), METRICS[name].better.sign
        before = (performance.get(name) or {}).get("value")
        if rule is not None and finding.limit in (rule.max_drop, rule.max_rise):
            drop = finding.value
            yield Loss(name, sign, None if before is None else before - sign * drop, drop, finding.reason)
        else:
            value = finding.value
            yield Loss(name, sign, value, None if before is None else sign * (before - value), finding.reason)


def _labels_matter(spec: ModelSpec, situation: Situation) -> bool:
    wanted = spec.retraining.new_labels is not None or spec.retraining.min_new_labels > 0
    return wanted or bool(situation.lost)


def _labels(spec: ModelSpec, tx: Transaction, champion: ModelVersion, now: datetime) -> Labels:
    """Outcomes of rows that champions answered. None at all means that nobody counts them here, not that none came."""
    learned, rows = _last_training(spec, tx, champion.training_window)
    promoted = tx.events.read(model=spec.model, types=[EventType.VERSION_PROMOTED], limit=SERVED_BACK)
    served = {champion.number, *(event.version for event in promoted if event.version is not None)}
    since = min(champion.training_window.end, learned.end)
    days = [
        (counted.day, counted.tally.overall.rows)
        for number in sorted(served)
        for counted in tx.tallies.days(spec.model, number, since.date(), now.date())
    ]
    if not sum(count for _, count in days):
        return Labels(rows=rows)
    after = (champion.training_window.end.date(), learned.end.date())
    champions, trainings = (sum(count for day, count in days if day >= first) for first in after)
    return Labels(champions, trainings, rows)


def _last_training(spec: ModelSpec, tx: Transaction, otherwise: Window) -> tuple[Window, int | None]:
    """The window that was trained on last, and how many of its rows were learned from."""
    trained = tx.events.read(model=spec.model, types=[EventType.MODEL_TRAINED], limit=1)
    if not trained or trained[0].evidence is None:
        return otherwise, None
    record = tx.evidence.get(trained[0].evidence).body["record"]
    return Window.from_json(record["snapshot"]["window"]), int(record["rows"])


def _with_candidates(spec: ModelSpec, tx: Transaction, situation: Situation, champion: ModelVersion) -> Situation:
    """The last of those judged beside the champion since it was promoted."""
    kinds = (EventType.VERSION_REGISTERED, EventType.VERSION_REJECTED, EventType.VERSION_PROMOTED)
    events = tx.events.read(model=spec.model, types=kinds, limit=CANDIDATES_BACK)
    promoted = max((e.seq for e in events if e.type is EventType.VERSION_PROMOTED), default=0)
    since = [e for e in events if e.seq > promoted and "evaluation" in e.body][-CANDIDATES_READ:]
    found = (_candidate(spec, tx, event, champion) for event in since)
    own = tx.evidence.get(champion.evidence["evaluation"]).body if "evaluation" in champion.evidence else None
    return replace(
        situation,
        candidates=tuple(each for each in found if each is not None),
        evaluation=_measured(own, own) if own else None,
    )


def _candidate(spec: ModelSpec, tx: Transaction, event: AuditEvent, champion: ModelVersion) -> Candidate | None:
    body = tx.evidence.get(event.body["evaluation"]).body
    if event.version is None or body.get("champion") != champion.number or not body.get("beside"):
        return None
    window = tx.versions.get(VersionRef(spec.model, event.version)).training_window
    fit_until = window.end - spec.evaluation.holdout.length
    return Candidate(
        event.seq, event.version, window, fit_until, _measured(body, body), _measured(body["beside"], body)
    )


def _measured(found: JsonObject, evaluation: JsonObject) -> Measured:
    known = {
        name: (float(each["value"]), float(each["error"]))
        for name, each in found["metrics"].items()
        if each.get("value") is not None and each.get("error") is not None
    }
    return Measured(known, evaluation.get("label_mean"))
