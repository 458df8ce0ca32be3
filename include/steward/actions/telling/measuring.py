"""The figures of the whole estate, read from the record. Asked again, only what is new is read again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from steward.actions.state import Services, Transaction
from steward.approval import RequestState
from steward.errors import StewardError
from steward.gates import Outcome, Verdict
from steward.ledger import EventType
from steward.monitoring.checks.watch import overdue
from steward.monitoring.windows import JudgedWindow
from steward.reporting.figures import CheckFigures, Figures, check_figures
from steward.spec import ModelSpec

PENDING_AT_MOST = 10_000


@dataclass
class Memory:
    """What an exporter keeps between scrapes: counts up to an event, and the checks of windows it has read."""

    last_seq: int = 0
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)
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
        promoted = tx.events.read(types=[EventType.VERSION_PROMOTED])
    since = {event.model: event.at for event in promoted}
    judged_at = {judged.model: judged.judged_at for judged in newest}
    for model in served:
        if spec := _sound_spec(services, model):
            last = max(filter(None, (since.get(model), judged_at.get(model))), default=None)
            figures.set("steward_monitor_overdue", overdue(spec, last, services.clock.now()) is not None, model)
    return figures


def _sound_spec(services: Services, model: str) -> ModelSpec | None:
    """A broken spec is another's trouble: its DAG says so."""
    try:
        return services.specs.get(model)
    except StewardError:
        return None


def _count_events(tx: Transaction, memory: Memory, figures: Figures) -> None:
    for event in tx.events.read(after_seq=memory.last_seq):
        memory.counted[event.model, event.type.value] += 1
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
