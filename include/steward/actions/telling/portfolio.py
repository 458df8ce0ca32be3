"""Every model there is, how it does and what is done about it, with the answer on top. Changes nothing.

One read per table, and of evidence only the newest window of each champion: what it costs grows with the models, the
number of questions to the database does not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from steward.actions.governance.facts import Declared, Tables, by_model, facts_of_all
from steward.actions.state import Services, Transaction
from steward.approval import ApprovalRequest, RequestState
from steward.errors import IntegrityError, SpecError
from steward.inventory.build import record_of, reign_of
from steward.inventory.external import ExternalModel
from steward.inventory.record import RECORD_EVENTS, ModelFacts, Places, Standing
from steward.ledger import AuditEvent, EventType
from steward.monitoring.checks.watch import turn_missed
from steward.monitoring.windows import Incident, JudgedWindow
from steward.reporting.health import ALTERED, LOST, UNWATCHED, Signs, Trouble, not_since
from steward.reporting.last_retraining import RETRAINING_EVENTS, Work, last_retraining
from steward.reporting.newest_window import window_told
from steward.reporting.portfolio import Known, portfolio_view
from steward.rollout import Rollout
from steward.types import JsonObject

UNTOLD_ELSEWHERE = "the inventory file cannot be read, so no model that runs elsewhere is shown: see `steward check`"


@dataclass
class Memory:
    """What a process keeps between two askings: windows by the digest of their evidence, which never changes."""

    told: dict[str, JsonObject] = field(default_factory=dict)

    def keep(self, digests: Iterable[str]) -> None:
        """Those alone. Threads may share a memory: whoever is quicker, nothing false is kept."""
        known = self.told
        self.told = {digest: known[digest] for digest in digests if digest in known}


@dataclass(frozen=True)
class _Found:
    """What was read of all models, by model."""

    tables: Tables
    retraining: dict[str, list[AuditEvent]]
    waiting: dict[str, list[ApprovalRequest]]
    rollouts: dict[str, Rollout]
    windows: dict[str, JudgedWindow]
    told: dict[str, JsonObject]  # by digest of a window's evidence
    altered: Collection[str]  # digests


def tell_portfolio(
    services: Services, places: Places, only: Collection[str] | None = None, memory: Memory | None = None
) -> JsonObject:
    """`only` these models, None: all. A `memory` saves reading evidence again that was read before."""
    now, declared = services.clock.now(), Declared.read(services)
    with services.database.begin() as tx:
        tables = Tables.read(tx, RECORD_EVENTS)
        facts = [each for each in facts_of_all(declared, tx, tables) if only is None or each.model in only]
        found = _read(tx, tables, {each.model for each in facts}, memory or Memory())
    external, fault = elsewhere(services)
    facts += [
        ModelFacts(model.id, external=model, incidents=tables.incidents.get(model.id, []))
        for model in external
        if only is None or model.id in only
    ]
    known = (_known(each, found, places, now) for each in facts)
    return portfolio_view(known, now, services.wall(), [fault] if fault else [])


def elsewhere(services: Services) -> tuple[Sequence[ExternalModel], str | None]:
    """Models that run elsewhere. A fault in their file hides them, which is said, and no other model; what the fault
    quotes may be of a model that the reader may not see."""
    try:
        return services.external().external_models, None
    except SpecError:
        return (), UNTOLD_ELSEWHERE


# --- reading --------------------------------------------------------------------------------------


def _read(tx: Transaction, tables: Tables, models: Collection[str], memory: Memory) -> _Found:
    newest = tables.champion_windows()
    memory.keep(judged.evidence for judged in newest.values())
    windows = {model: judged for model, judged in newest.items() if model in models}
    told, altered = _told(tx, {judged.evidence for judged in windows.values()}, memory)
    return _Found(
        tables,
        by_model(tx.events.newest(RETRAINING_EVENTS)),
        by_model(tx.approvals.find(None, state=RequestState.OPEN)),
        {rollout.model: rollout for rollout in tx.rollouts.running_everywhere()},
        windows,
        told,
        altered,
    )


def _told(tx: Transaction, wanted: set[str], memory: Memory) -> tuple[dict[str, JsonObject], set[str]]:
    """What windows say, and which evidence was altered: that is never told, and stands in nobody else's way."""
    before = memory.told
    new, altered = wanted - set(before), set()
    try:
        found = tx.evidence.get_all(new)
    except IntegrityError:
        found = {}
        for digest in new:
            try:
                found |= tx.evidence.get_all([digest])
            except IntegrityError:
                altered.add(digest)
    told = before | {digest: window_told(evidence.body) for digest, evidence in found.items()}
    memory.told = told
    return told, altered


# --- one model ------------------------------------------------------------------------------------

DAGS = {Standing.DECLARED: "train", Standing.BROKEN: "broken"}
"""The DAG on whose page a model is looked at; the others have none."""


def _known(facts: ModelFacts, found: _Found, places: Places, now: datetime) -> Known:
    model, record = facts.model, record_of(facts, now, places)
    judged, rollout = found.windows.get(model), found.rollouts.get(model)
    incidents = found.tables.incidents.get(model, [])
    waiting, work = found.waiting.get(model, []), found.retraining.get(model, [])
    going_on = Work([each.version for each in waiting], rollout.version if rollout else None)
    return Known(
        record=vars(record),
        signs=_signs(facts, judged, incidents, record.champion_since, now, unread=_unread(found, judged)),
        window=found.told.get(judged.evidence) if judged else None,
        window_end=judged.window.end if judged else None,
        retraining=last_retraining(_in_order(facts.events, work), going_on),
        incidents=[_told_incident(each) for each in incidents],
        rollout={"version": rollout.version, "percent": rollout.percent} if rollout else None,
        waiting=[{"version": each.version, "expires_at": each.expires_at} for each in waiting],
        back_at=_back_at(facts),
        dag=f"{model}__{DAGS[record.standing]}" if record.standing in DAGS else None,
    )


def _signs(
    facts: ModelFacts,
    judged: JudgedWindow | None,
    incidents: Sequence[Incident],
    since: datetime | None,
    now: datetime,
    *,
    unread: str | None,
) -> Signs:
    last = max(filter(None, [judged.judged_at if judged else None, since]), default=None)
    due = turn_missed(facts.spec, last, now) if facts.spec and facts.champion else None
    gone = UNWATCHED if facts.spec is None and facts.fault is None else None
    back = _back_at(facts)
    former = not_since(judged.version, back) if judged and back and judged.judged_at < back else None
    return Signs(
        facts.champion is not None,
        [Trouble(each.cause, each.severity, each.first_bad.end) for each in incidents],
        judged.told if judged else None,
        f"monitor overdue since {due:%Y-%m-%d %H:%M}" if due else gone or former,
        unread,
    )


def _unread(found: _Found, judged: JudgedWindow | None) -> str | None:
    if judged is None or judged.evidence in found.told:
        return None
    return ALTERED if judged.evidence in found.altered else LOST


def _in_order(*events: Sequence[AuditEvent]) -> Iterator[AuditEvent]:
    yield from sorted((event for some in events for event in some), key=lambda event: event.seq)


def _told_incident(incident: Incident) -> JsonObject:
    return {
        "id": incident.id,
        "cause": incident.cause,
        "severity": incident.severity,
        "since": incident.first_bad.end,
        "version": incident.version or None,
        "state": incident.state,
        "windows": incident.windows,
        "acknowledged_by": incident.acknowledged_by,
    }


def _back_at(facts: ModelFacts) -> datetime | None:
    """When the present champion came back by a rollback, if it did."""
    reign = reign_of(facts)
    return reign.since if reign and reign.event.type is EventType.ROLLOUT_ROLLED_BACK else None
