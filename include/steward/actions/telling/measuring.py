"""The figures of the whole estate, read from the record. Asked again, only what is new is read again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from steward.actions.state import Services, Transaction
from steward.actions.windows.turns import NEW_CHAMPION, turn_of, watches
from steward.approval import RequestState
from steward.gates import Outcome, Verdict
from steward.monitoring.windows import JudgedWindow
from steward.reporting.figures import CheckFigures, Figures, check_figures
from steward.reporting.measures.definitions import Unit
from steward.reporting.measures.reading import Reader
from steward.reporting.measures.view import DAYS, every_measure

PENDING_AT_MOST = 10_000


@dataclass
class Memory:
    """What an exporter keeps between scrapes: what the events up to one say, and the checks of windows it has read."""

    last_seq: int = 0
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)
    serving_since: dict[str, datetime] = field(default_factory=dict)
    reader: Reader = field(default_factory=Reader)
    checks: dict[str, tuple[int, list[CheckFigures]]] = field(default_factory=dict)


def measure_estate(services: Services, memory: Memory) -> Figures:
    """Raises UnavailableError when the record cannot be read. A retired model is told of by its counters alone."""
    figures = Figures()
    with services.database.begin() as tx:
        _count_events(tx, memory, figures)
        routes = tx.routes.all()
        served = {route.model: route.champion for route in routes if route.champion is not None}
        for model, number in served.items():
            figures.set("steward_champion_version", number, model)
        for route in routes:
            going = route.canary is not None or route.shadow is not None
            figures.set("steward_rollouts_running", going, route.model)
        newest = [judged for judged in tx.windows.latest_everywhere() if served.get(judged.model) == judged.version]
        _tell_windows(tx, memory, figures, newest)
        _tell_incidents(tx, figures)
        _tell_waiting(services, tx, figures)
        watched = list(watches(tx, memory.serving_since))
    for watch in watched:
        turn = turn_of(services, watch)
        if turn.known:
            figures.set("steward_monitor_overdue", turn.missed is not None, watch.model)
    _tell_measures(memory, figures, services.clock.now())
    return figures


def _count_events(tx: Transaction, memory: Memory, figures: Figures) -> None:
    for event in tx.events.read(after_seq=memory.last_seq):
        memory.counted[event.model, event.type.value] += 1
        memory.reader.take(event)
        if event.type in NEW_CHAMPION:
            memory.serving_since[event.model] = event.at
        memory.last_seq = event.seq
    figures.set("steward_ledger_sequence", memory.last_seq)
    for (model, kind), count in memory.counted.items():
        figures.set("steward_events_total", count, model, kind)


def _tell_windows(tx: Transaction, memory: Memory, figures: Figures, newest: list[JudgedWindow]) -> None:
    wanted = {judged.evidence for judged in newest}
    for digest, evidence in tx.evidence.get_all(wanted - set(memory.checks)).items():
        verdict = Verdict.from_json(evidence.body["verdict"])
        rows = max((f.rows or 0 for f in verdict.findings), default=0)
        memory.checks[digest] = rows, list(check_figures(verdict.findings))
    memory.checks = {digest: found for digest, found in memory.checks.items() if digest in wanted}
    for judged in newest:
        arm = judged.model, judged.version
        for cause, said in judged.outcomes.items():
            for outcome in Outcome:
                figures.set("steward_window_outcome", said is outcome, *arm, cause.value, outcome.value)
        figures.set("steward_window_end_timestamp_seconds", judged.window.end.timestamp(), *arm)
        figures.set("steward_window_judged_timestamp_seconds", judged.judged_at.timestamp(), *arm)
        rows, checks = memory.checks.get(judged.evidence, (0, []))
        figures.set("steward_window_rows", rows, *arm)
        for check in checks:
            _tell_check(figures, arm, check)


def _tell_check(figures: Figures, arm: tuple[str, int], check: CheckFigures) -> None:
    if check.value is not None:
        figures.set("steward_check_value", check.value, *arm, check.check)
    if check.limit is not None:
        figures.set("steward_check_limit", check.limit, *arm, check.check)
    for outcome, count in check.outcomes.items():
        figures.set("steward_check_findings", count, *arm, check.check, outcome.value)


def _tell_incidents(tx: Transaction, figures: Figures) -> None:
    counted: Counter[tuple[str, str, str, str]] = Counter()
    oldest: dict[str, datetime] = {}
    for incident in tx.incidents.unresolved_everywhere():
        counted[incident.model, incident.cause, incident.severity, incident.state.value] += 1
        oldest[incident.model] = min(incident.opened_at, oldest.get(incident.model, incident.opened_at))
    for labels, count in counted.items():
        figures.set("steward_incidents", count, *labels)
    for model, opened_at in oldest.items():
        figures.set("steward_incident_oldest_timestamp_seconds", opened_at.timestamp(), model)


def _tell_waiting(services: Services, tx: Transaction, figures: Figures) -> None:
    figures.set("steward_notices_waiting", len(tx.outbox.pending(PENDING_AT_MOST)))
    now = services.clock.now()
    waiting = Counter(r.model for r in tx.approvals.find(None, state=RequestState.OPEN) if r.expires_at > now)
    for model, count in waiting.items():
        figures.set("steward_approvals_waiting", count, model)


_MEASURED_AS = {
    Unit.SHARE: "steward_measure_ratio",
    Unit.SECONDS: "steward_measure_seconds",
    Unit.EACH: "steward_measure_average",
}


def _tell_measures(memory: Memory, figures: Figures, now: datetime) -> None:
    """Of the whole portfolio. Where there is not enough data there is no figure, only a sample of 0."""
    for days in DAYS:
        for measure, found in every_measure(memory.reader.record, now, days).items():
            figures.set("steward_measure_sample", found.sample, measure.id, days)
            if found.value is not None:
                figures.set(_MEASURED_AS[measure.unit], found.value, measure.id, days)
