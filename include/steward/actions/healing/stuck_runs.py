"""Training runs that began, did not end, and do not move: found, and closed as abandoned, so that others may begin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from steward.actions.approvals.approving import expire_approval
from steward.actions.incidents.changing import NO_VERSION
from steward.actions.incidents.from_outside import RUN, Trouble, end_trouble, note_trouble, severity_by_tier, spec_of
from steward.actions.operation import Operation
from steward.actions.releases.rolling_back import settle_rollout
from steward.actions.state import Services, Transaction
from steward.approval import RequestState
from steward.errors import StewardError
from steward.ledger import AuditEvent, EventType
from steward.monitoring.windows import Incident
from steward.plan.training_run import time_allowed
from steward.rollout import RolloutState
from steward.spec import ModelSpec
from steward.types import JsonObject, format_instant

ABANDONED = "abandoned"
MOST_LOOKED_AT = 5000  # events that begin and end runs, the newest
SETTLES_WITHIN = timedelta(minutes=15)
"""A run that Airflow has ended may still be writing its last event."""

_BEGINS = (EventType.RETRAINING_ADMITTED, EventType.SNAPSHOT_TAKEN)
_DOORS = (EventType.APPROVAL_ANSWERED, EventType.APPROVAL_CLOSED, EventType.APPROVAL_VOIDED)


@dataclass(frozen=True)
class OpenRun:
    """`moved` is its last event, `began` its first; `waits` the open request that people may still answer."""

    model: str
    run: str
    began: AuditEvent
    moved: AuditEvent
    request: str | None
    waits_until: datetime | None

    def is_overdue(self, services: Services, allowed: timedelta) -> bool:
        """By the clock on the wall, which timeouts run by; a wait for people ends by the calendar."""
        if self.waits_until is not None and services.clock.now() <= self.waits_until + allowed:
            return False
        return services.wall() - self.moved.recorded_at > allowed


def heal_runs(services: Services, actor: str, *, dry_run: bool) -> Iterator[JsonObject]:
    """Close what is stuck; take back the rollout and the request it left; end the incident once another run closed."""
    with services.database.begin() as tx:
        told = tx.events.read(types=[*_BEGINS, EventType.RUN_CLOSED], limit=MOST_LOOKED_AT)
        open_ = [each for each in tx.incidents.unresolved_everywhere() if each.cause == RUN]
        runs = [found for began in _not_ended(told) if (found := _looked_at(tx, began))]
    for run in runs:
        try:
            yield from _heal(services, run, actor, dry_run)
        except StewardError as error:
            yield {"kind": RUN, "model": run.model, "fault": str(error)}
    for incident in open_:
        if (better := _closed_since(told, incident)) and (dry_run or _end(services, incident, actor, better)):
            yield {"kind": RUN, "model": incident.model, "said": _why_over(better), "incident": incident.id}


def _not_ended(told: Sequence[AuditEvent]) -> list[AuditEvent]:
    """The first event of every run after which none says that it ended."""
    began: dict[tuple[str, str], AuditEvent] = {}
    for event in told:
        run = event.body.get("run")
        if event.type is EventType.RUN_CLOSED:
            began.pop((event.model, str(run)), None)
        elif run is not None:
            began.setdefault((event.model, str(run)), event)
    return list(began.values())


def _looked_at(tx: Transaction, began: AuditEvent) -> OpenRun | None:
    """None for a run that ended: a step that was cleared afterwards is closed by its own last task."""
    run, later = began.body["run"], tx.events.read(model=began.model, after_seq=began.seq - 1)
    mine = [event for event in later if event.body.get("run") == run]
    if any(event.type is EventType.RUN_CLOSED for event in mine):
        return None
    asked = [str(e.body["request"]) for e in mine if e.type is EventType.APPROVAL_REQUESTED]
    request = asked[-1] if asked else None
    answered = [e for e in later if e.type in _DOORS and request is not None and e.body.get("request") == request]
    moved = max([*mine, *answered], key=lambda event: event.seq)
    waits = tx.approvals.get(request) if request else None
    until = waits.expires_at if waits and waits.state is RequestState.OPEN else None
    return OpenRun(began.model, run, began, moved, request if until else None, until)


def _heal(services: Services, run: OpenRun, actor: str, dry_run: bool) -> Iterator[JsonObject]:
    spec = spec_of(services, run.model)
    why = _why_stuck(services, spec, run)
    if why is None:
        return
    told: JsonObject = {"kind": RUN, "model": run.model, "run": run.run, "said": f"run {run.run} {why}"}
    if dry_run:
        yield told
    elif spec is None and _left_rollout(services, run):
        yield {**told, "fault": "its rollout runs on, and its spec cannot be read: roll it back by hand"}
    else:
        left = _taken_back(services, spec, run, actor, why)
        yield {**told, **left, **_closed(services, spec, run, actor, why)}


def _why_stuck(services: Services, spec: ModelSpec | None, run: OpenRun) -> str | None:
    quiet = f"did not move since {run.moved.type} at {format_instant(run.moved.recorded_at)}"
    if services.wall() - run.moved.recorded_at > SETTLES_WITHIN and services.runs.is_over(run.model, run.run):
        return f"is over, says Airflow, and was never closed; it {quiet}"
    if spec is None:
        return None  # how long it may take is not known; its DAG says that the spec is broken
    allowed = time_allowed(spec)
    hours = f"{allowed / timedelta(hours=1):.1f}"
    return f"{quiet}: all its steps together may take {hours} hours" if run.is_overdue(services, allowed) else None


def _taken_back(services: Services, spec: ModelSpec | None, run: OpenRun, actor: str, why: str) -> JsonObject:
    """First what it left, then its end: killed in between, the next look finds the run still open."""
    done: JsonObject = {}
    if run.request is not None:
        done["request"] = expire_approval(services, request=run.request, actor=actor)["state"]
    if spec is not None and _left_rollout(services, run):
        done["rollout"] = settle_rollout(services, spec, run=run.run, actor=actor, reason=f"its run {why}")
    return done


def _left_rollout(services: Services, run: OpenRun) -> bool:
    """Whether a rollout that it began still runs."""
    with services.database.begin() as tx:
        going = tx.rollouts.running(run.model)
        started = tx.events.read(model=run.model, types=[EventType.ROLLOUT_STARTED], after_seq=run.began.seq)
    mine = {event.body.get("rollout") for event in started if event.body.get("run") == run.run}
    return going is not None and going.state is RolloutState.RUNNING and going.id in mine


def _closed(services: Services, spec: ModelSpec | None, run: OpenRun, actor: str, why: str) -> JsonObject:
    op = Operation.begin(services, "close_stuck_run", run.model, run.run, actor)

    def write(tx: Transaction) -> JsonObject:
        if _went_on(tx, run, actor):
            return {"closed": False}
        said, moved = f"{ABANDONED}: it {why}", run.moved
        kind = EventType.RUN_CLOSED
        tx.events.append(op.event(kind, said, version=moved.version, outcome=ABANDONED, moved=moved.seq))
        detail = {"run": run.run}
        severity, since = severity_by_tier(spec), run.moved.at
        trouble = Trouble(run.model, NO_VERSION, RUN, severity, f"run {run.run} {why}", since, detail)
        incident = note_trouble(services, tx, trouble, actor)
        return {"closed": True, "incident": incident.id if incident else None}

    return op.commit(write)


def _went_on(tx: Transaction, run: OpenRun, actor: str) -> bool:
    """What was taken back just now is in its name, and is no sign of life."""
    later = tx.events.read(model=run.model, after_seq=run.moved.seq)
    return any(event.body.get("run") == run.run and event.actor != actor for event in later)


def _closed_since(told: Iterable[AuditEvent], incident: Incident) -> AuditEvent | None:
    """A later run of the model that came to its own end."""
    for event in told:
        closed = event.type is EventType.RUN_CLOSED and event.body.get("outcome") != ABANDONED
        if closed and event.model == incident.model and event.at >= incident.opened_at:
            return event
    return None


def _why_over(closed: AuditEvent) -> str:
    return f"run {closed.body.get('run')} came to its end"


def _end(services: Services, incident: Incident, actor: str, closed: AuditEvent) -> bool:
    return end_trouble(services, incident, actor, _why_over(closed))
