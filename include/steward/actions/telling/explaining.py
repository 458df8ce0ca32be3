"""Why a model is as it is: the last decision on retraining, what is wrong, what is in the way, each with its next step.

Told from events, evidence and open work, every line with the event it rests on. Changes nothing. The command line and
the pages beside a model print the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from steward.actions.approvals.overriding import REVIEW_DUE, overdue_review
from steward.actions.governance.stages import readiness_of
from steward.actions.state import Transaction
from steward.approval import RequestState
from steward.errors import IntegrityError, NotFoundError, StewardError
from steward.gates import Finding, Verdict
from steward.ledger import AuditEvent, EventType, serving_periods, tombstone_of
from steward.ledger.governance import TOMBSTONE_EVENTS
from steward.monitoring.windows import Cause, Incident
from steward.reporting.health import ALTERED, LOST, UNWATCHED, Health, Signs, Trouble, not_since, state_of
from steward.retraining import Trigger
from steward.types import JsonObject, Stage

if TYPE_CHECKING:
    from steward.approval.policy import Policy
    from steward.inventory.stages import StageCatalogue
    from steward.registry import ModelVersion
    from steward.spec import ModelSpec

DECISIONS = (
    EventType.RETRAINING_REQUESTED,
    EventType.RETRAINING_DECLINED,
    EventType.RETRAINING_ADMITTED,
    EventType.RETRAINING_ALLOWED,
)
FOLLOW_UPS = (
    EventType.RETRAINING_ADMITTED,
    EventType.SNAPSHOT_TAKEN,
    EventType.MODEL_TRAINED,
    EventType.MODEL_EVALUATED,
    EventType.VERSION_REGISTERED,
    EventType.VERSION_REJECTED,
    EventType.APPROVAL_REQUESTED,
    EventType.ROLLOUT_STARTED,
    EventType.ROLLOUT_ROLLED_BACK,
    EventType.VERSION_PROMOTED,
    EventType.RUN_CLOSED,
)
NEW_CHAMPION = (EventType.VERSION_PROMOTED, EventType.ROLLOUT_ROLLED_BACK, EventType.ENDPOINT_CLOSED)
INCIDENT_EVENTS = (EventType.INCIDENT_OPENED, EventType.INCIDENT_UPDATED, EventType.INCIDENT_ACKNOWLEDGED)
FINDINGS_SHOWN = 5
_TOLD = {
    EventType.RETRAINING_REQUESTED: "requested",
    EventType.RETRAINING_DECLINED: "declined",
    EventType.RETRAINING_ADMITTED: "admitted",
    EventType.RETRAINING_ALLOWED: "allowed",
}

NEXT: dict[str, str] = {
    Cause.DATA: "mend the source of the data; nothing is trained on it, and windows that pass end the incident",
    Cause.DRIFT: "look at the report; without a loss it is watched, and starts nothing",
    Cause.PERFORMANCE: "the controller decides after every window: see the decision on retraining",
    Cause.FAIRNESS: "take it to the owner: the groups and limits are in the window's evidence",
    Cause.OPERATION: "look at the servers and their sources; steward rollback {model} --reason … brings back the "
    "champion before",
    Cause.MONITOR: "see why {model}__monitor did not run, or what it lacked: rows, outcomes, a sound clock",
    "run": "see its log in Airflow ({model}__train); clear what failed there, or begin another: "
    "steward retrain {model} --reason …",
    "serving": "look at the log of that server; what it names answers meanwhile, and it ends when the champion is back",
    REVIEW_DUE: "somebody else reviews it: steward review {model} --reason …",
}
OTHERWISE = "see the event: steward history {model}"


@dataclass(frozen=True)
class Rules:
    """`spec` is None where it cannot be read: then what only it knows is left out, and `faults` say why; none where no
    folder declares the model. `now` is business time."""

    spec: ModelSpec | None
    now: datetime
    policy: Callable[[], Policy]
    stages: Callable[[], StageCatalogue]
    faults: Sequence[str] = ()

    @property
    def gone(self) -> bool:
        return self.spec is None and not self.faults


def explain(tx: Transaction, model: str, rules: Rules) -> JsonObject:
    """What it is, why, and what comes next. `window` is the champion's latest; `unread` says that the spec could not
    be asked."""
    champion, red = tx.versions.champion(model), list(_red(tx, model))
    window = _latest_window(tx, champion, rules) if champion else None
    ended = list(_ended(tx, model))
    standing = Health.RETIRED if ended else Health.BROKEN if rules.faults else None
    signs = _signs(champion is not None, red, window, UNWATCHED if rules.gone else None)
    return {
        "model": model,
        "at": rules.now,
        "champion": champion.number if champion else None,
        "state": state_of(signs, standing),
        "window": window,
        "retraining": _last_decision(tx, model),
        "red": red,
        "blocks": [*ended, *_in_the_way(tx, model, rules)],
        "unread": rules.spec is None,
        "faults": list(rules.faults),
    }


def _signs(serves: bool, red: Iterable[JsonObject], window: JsonObject | None, gone: str | None) -> Signs:
    troubles = [Trouble(each["cause"], each["severity"], each["since"]) for each in red]
    if window is None:
        return Signs(serves, troubles, overdue=gone)
    return Signs(serves, troubles, window["outcomes"], window["overdue"] or gone or window["former"], window["unread"])


def _latest_window(tx: Transaction, champion: ModelVersion, rules: Rules) -> JsonObject | None:
    """`overdue` says since when another should have been judged, `former` that it is of an earlier reign, `unread` why
    its evidence does not bear it out."""
    from steward.monitoring.checks.watch import overdue

    judged = next(iter(tx.windows.recent(champion.model, 1, champion.number)), None)
    if judged is None:
        return None
    reign = next(reversed(serving_periods(tx.events.read(model=champion.model, types=NEW_CHAMPION))), None)
    since = max(judged.judged_at, reign.since) if reign else judged.judged_at
    came_back = reign is not None and reign.event.type is EventType.ROLLOUT_ROLLED_BACK
    return {
        "window": judged.window.to_json(),
        "judged_at": judged.judged_at,
        "evidence": judged.evidence,
        "outcome": judged.outcome,
        "outcomes": judged.told,
        "overdue": overdue(rules.spec, since, rules.now) if rules.spec else None,
        "former": not_since(champion.number, since) if came_back and judged.judged_at < since else None,
        "unread": _unread(tx, judged.evidence),
    }


def _unread(tx: Transaction, evidence: str) -> str | None:
    try:
        tx.evidence.get(evidence)
    except NotFoundError:
        return LOST
    except IntegrityError:
        return ALTERED
    return None


# --- retraining ----------------------------------------------------------------------------------


def _last_decision(tx: Transaction, model: str) -> JsonObject | None:
    """A run let in on a request is a follow-up of the request: that is where triggers and safeguards were looked at."""
    found = tx.events.read(model=model, types=DECISIONS, limit=20)
    own = [event for event in found if not _follows_request(event)]
    if not own:
        return None
    event = own[-1]
    detail = event.body.get("detail") or {}
    safeguards = detail.get("safeguards", [])
    return {
        **_cited(event),
        "decision": _TOLD[event.type],
        "trigger": event.body.get("trigger") or detail.get("trigger"),
        "version": event.version or event.body.get("champion"),
        "evidence": event.evidence,
        "triggers": detail.get("triggers", []),
        "safeguards": safeguards,
        "next": _advice(event, safeguards),
        "since": [_cited(each) for each in _since(tx, event)],
    }


def _follows_request(event: AuditEvent) -> bool:
    return event.type is EventType.RETRAINING_ADMITTED and event.body.get("trigger") == Trigger.REQUEST


def _advice(event: AuditEvent, safeguards: Iterable[JsonObject]) -> list[str]:
    if event.type is not EventType.RETRAINING_DECLINED or event.body.get("trigger") is None:
        return []
    refusing = [each for each in safeguards if each["binding"] and not each["passed"]]
    return list(dict.fromkeys(each["advice"] for each in refusing if each.get("advice")))


def _since(tx: Transaction, event: AuditEvent) -> list[AuditEvent]:
    """What a yes led to."""
    if event.type not in (EventType.RETRAINING_REQUESTED, EventType.RETRAINING_ADMITTED):
        return []
    return tx.events.read(model=event.model, types=FOLLOW_UPS, after_seq=event.seq, limit=20)


# --- what is wrong -------------------------------------------------------------------------------


def _red(tx: Transaction, model: str) -> Iterator[JsonObject]:
    told = tx.events.read(model=model, types=INCIDENT_EVENTS)
    for incident in tx.incidents.unresolved(model):
        events = [event for event in told if event.body.get("incident") == incident.id]
        yield {
            "incident": incident.id,
            "cause": incident.cause,
            "severity": incident.severity,
            "state": incident.state,
            "version": incident.version or None,
            "since": incident.first_bad.end,
            "windows": incident.windows,
            "evidence": incident.evidence,
            "events": [_cited(event) for event in (*events[:1], *events[1:][-1:])],
            "findings": [finding.to_json() for finding in _failed(tx, incident)][:FINDINGS_SHOWN],
            "next": _next(incident),
        }


def _next(incident: Incident) -> str:
    """An audit's incident says it itself."""
    said = (incident.detail or {}).get("what_to_do")
    return str(said) if said else NEXT.get(incident.cause, OTHERWISE).format(model=incident.model)


def _failed(tx: Transaction, incident: Incident) -> Iterator[Finding]:
    """Of its latest window. An incident that no window opened has evidence of another kind, or none."""
    try:
        body = tx.evidence.get(incident.evidence).body
    except NotFoundError:
        return
    if "verdict" in body:
        failed = Verdict.from_json(body["verdict"]).failed()
        yield from (finding for finding in failed if finding.gate.startswith(f"{incident.cause}."))


# --- what is in the way --------------------------------------------------------------------------


def _ended(tx: Transaction, model: str) -> Iterator[JsonObject]:
    if stone := tombstone_of(tx.events.read(model=model, types=TOMBSTONE_EVENTS)):
        said = f"{model} was retired on {stone.at:%Y-%m-%d}: {stone.reason}"
        yield _block("retired", said, "give a successor a name of its own")


def _in_the_way(tx: Transaction, model: str, rules: Rules) -> Iterator[JsonObject]:
    yield from _rollout(tx, model)
    yield from _waiting(tx, model, rules)
    if overdue := overdue_review(tx, model, rules.now):
        yield _block("review", overdue, f"steward review {model} --reason …")
    yield from _frozen(rules)


def _rollout(tx: Transaction, model: str) -> Iterator[JsonObject]:
    if going := tx.rollouts.running(model):
        moves = tx.events.read(model=model, types=[EventType.ROLLOUT_STARTED, EventType.ROLLOUT_ADVANCED], limit=1)
        said = f"version {going.version} is being rolled out, at {going.percent} % of traffic"
        advice = f"wait until it is judged, or end it: steward rollback {model} --reason …"
        yield _block("rollout", said, advice, moves)


def _waiting(tx: Transaction, model: str, rules: Rules) -> Iterator[JsonObject]:
    asked = tx.events.read(model=model, types=[EventType.APPROVAL_REQUESTED])
    for request in tx.approvals.find(model, state=RequestState.OPEN):
        ref, events = f"{model}@{request.version}", [e for e in asked if e.body.get("request") == request.id]
        if request.expires_at <= rules.now:
            said = f"{ref} was not approved by {request.expires_at:%Y-%m-%d %H:%M}: that is a no, not recorded yet"
            advice = f"its run records it, or steward heal; to try again: steward retrain {model} --reason …"
            yield _block("approval", said, advice, events)
            continue
        said = f"{ref} waits for approval until {request.expires_at:%Y-%m-%d %H:%M}; no answer is a no"
        yield _block("approval", said, f"steward approve {ref} --reason …, or steward reject", events)
        for missing in _missing(tx, rules, request.version):
            yield _block("missing", f"{ref} lacks {missing}", f"then see what is left: steward stage {ref}")


def _missing(tx: Transaction, rules: Rules, version: int) -> list[str]:
    """Documents and the like. A policy or catalogue that cannot be read is for its own commands to say."""
    if rules.spec is None:
        return []
    try:
        standing = readiness_of(rules.stages(), rules.policy(), rules.spec, tx, Stage.DEPLOYMENT, version)
    except StewardError:
        return []
    return [str(each) for each in standing.missing if each.criterion.kind != "approval"]


def _frozen(rules: Rules) -> Iterator[JsonObject]:
    if rules.spec is None:
        return
    try:
        freeze = rules.policy().freeze_at(rules.spec.risk_tier, rules.now)
    except StewardError:
        return
    if freeze is not None:
        said = f"releases are {freeze}"
        yield _block("freeze", said, "wait; an approval stays good, and going back is always allowed")


def _block(what: str, said: str, advice: str, events: Iterable[AuditEvent] = ()) -> JsonObject:
    return {"what": what, "sentence": said, "next": advice, "events": [_cited(event) for event in events]}


def _cited(event: AuditEvent) -> JsonObject:
    return {"seq": event.seq, "at": event.at, "event": event.type, "actor": event.actor, "reason": event.reason}
