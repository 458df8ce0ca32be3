"""The page of one model, gathered from the record with one read per table however long the model has lived."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from steward.actions.approvals.approving import asked_about
from steward.actions.state import Services, Transaction
from steward.actions.telling.explaining import Rules, explain
from steward.actions.telling.standing import standing
from steward.approval import ApprovalRequest, RequestState
from steward.errors import NotFoundError, StewardError
from steward.gates import Evidence
from steward.ledger import SERVING_EVENTS, AuditEvent, EventType
from steward.registry import ModelVersion, State
from steward.reporting.model_page.decisions import judged_versions
from steward.reporting.model_page.facts import KnownVersion, ModelFacts, SeenWindow
from steward.reporting.model_page.releases import LOOKS
from steward.reporting.model_page.timeline import TOLD
from steward.reporting.model_page.view import model_view
from steward.types import JsonObject, VersionRef

if TYPE_CHECKING:
    from datetime import datetime

    from steward.monitoring.windows import Incident
    from steward.spec import ModelSpec

WINDOWS_READ = 90  # a quarter of nights: their evidence is the dearest part of the page
EVENTS_READ, NIGHTS_READ, STEPS_READ, REPORTS_READ = 400, 300, 300, 30
MOST_ASKED = 5
ROLLOUT_EVENTS = (
    EventType.ROLLOUT_STARTED,
    EventType.ROLLOUT_ADVANCED,
    *LOOKS,
    EventType.ROLLOUT_ROLLED_BACK,
    EventType.VERSION_PROMOTED,
)


def tell_model(services: Services, model: str) -> JsonObject:
    """What people see of a model. Raises NotFoundError for one that neither a folder nor the ledger knows."""
    return model_view(gather(services, model))


def gather(services: Services, model: str) -> ModelFacts:
    """Read in one transaction."""
    now, (spec, faults) = services.clock.now(), _spec(services, model)
    with services.database.begin() as tx:
        events = _events(tx, model)
        versions, told = tx.versions.all(model), events["events"]
        if spec is None and not told and not versions:
            services.specs.module_path(model)  # raises for a name nobody knows, with the nearest one
        return ModelFacts(
            model=model,
            at=now,
            generated_at=services.wall(),
            spec=spec.model_dump(mode="json") if spec else _recorded(told),
            faults=faults,
            explained=explain(tx, model, Rules(spec, now, services.policy, services.stages, faults)),
            standing=standing(tx, model, now, spec.retirement.review_after if spec else None),
            versions=[_known(each) for each in versions],
            windows=_windows(tx, model),
            incidents=[_incident(each) for each in tx.incidents.all(model)],
            told_since=told[0].at if len(told) == EVENTS_READ else None,
            **events,
            **_decided_on(services, tx, spec, versions, now),
            looks=_looks(tx, events["rollouts"]),
        )


def _events(tx: Transaction, model: str) -> dict[str, Any]:
    def newest(types: Sequence[EventType], limit: int | None) -> list[AuditEvent]:
        return tx.events.read(model=model, types=types, limit=limit)

    return {
        "events": newest(TOLD, EVENTS_READ),
        "nights": newest([EventType.WINDOW_JUDGED], NIGHTS_READ),
        "served": newest(SERVING_EVENTS, None),
        "rollouts": newest(ROLLOUT_EVENTS, STEPS_READ),
        "reports": newest([EventType.REPORT_MADE], REPORTS_READ),
    }


def _decided_on(
    services: Services, tx: Transaction, spec: ModelSpec | None, versions: Sequence[ModelVersion], now: datetime
) -> dict[str, Any]:
    """What waits, what is being released, and the evaluations of the versions that this and the champion are."""
    if not versions:
        return {}
    model, champion = versions[0].model, next((v.number for v in versions if v.state is State.CHAMPION), None)
    asked = tx.approvals.find(model, None, RequestState.OPEN)[-MOST_ASKED:]
    going = tx.rollouts.running(model)
    decided_on = [*([going.version] if going else []), *(each.version for each in asked)]
    return {
        "waiting": [_asked(services, tx, spec, each, now) for each in asked],
        "running": {"id": going.id, "percent": going.percent} if going else None,
        "evaluations": _evaluations(tx, versions, judged_versions([v.number for v in versions], champion, decided_on)),
    }


def _spec(services: Services, model: str) -> tuple[ModelSpec | None, list[str]]:
    """Of the folder; or why it cannot be read. Neither where there is no folder."""
    try:
        return services.specs.get(model), []
    except NotFoundError:
        return None, []
    except StewardError as error:
        return None, str(error).splitlines()


def _recorded(events: Iterable[AuditEvent]) -> JsonObject | None:
    """The spec that the newest version was registered under."""
    found = [event.body["spec"] for event in events if "spec" in event.body]
    return dict(found[-1]) if found else None


def _known(version: ModelVersion) -> KnownVersion:
    return KnownVersion(
        version.number,
        version.state.value,
        version.author,
        version.created_at,
        version.training_window,
        version.run_id,
        version.evidence.get("evaluation"),
    )


def _looks(tx: Transaction, steps: Sequence[AuditEvent]) -> dict[str, Evidence]:
    """Of the last two rollouts: one that runs, and one that ended."""
    begun = [e.body.get("rollout") for e in steps if e.type is EventType.ROLLOUT_STARTED][-2:]
    return tx.evidence.get_all(
        {e.evidence for e in steps if e.type in LOOKS and e.evidence and e.body.get("rollout") in begun}
    )


def _windows(tx: Transaction, model: str) -> list[SeenWindow]:
    judged = tx.windows.recent(model, WINDOWS_READ)
    bodies = tx.evidence.get_all({each.evidence for each in judged})
    return [
        SeenWindow(
            each.window,
            each.version,
            each.outcome.value,
            each.evidence,
            each.judged_at,
            bodies[each.evidence].body if each.evidence in bodies else None,
        )
        for each in judged
    ]


def _incident(incident: Incident) -> JsonObject:
    kept = ("id", "version", "cause", "severity", "state", "opened_at", "updated_at", "resolved_at", "windows")
    also = ("acknowledged_at", "acknowledged_by", "report", "evidence", "passed")
    return {
        **{key: getattr(incident, key) for key in (*kept, *also)},
        "first_bad": incident.first_bad.to_json(),
        "links": [dict(link) for link in incident.links],
    }


def _evaluations(tx: Transaction, versions: Sequence[ModelVersion], shown: Sequence[int]) -> dict[int, Evidence]:
    by_number = {each.number: each.evidence.get("evaluation") for each in versions}
    wanted = {number: digest for number in shown if (digest := by_number.get(number))}
    found = tx.evidence.get_all(set(wanted.values()))
    return {number: found[digest] for number, digest in wanted.items() if digest in found}


def _asked(
    services: Services, tx: Transaction, spec: ModelSpec | None, request: ApprovalRequest, now: datetime
) -> JsonObject:
    """What people decide on. Without a spec only what the request itself says: nobody can say yes to it either."""
    answers = [each for each in tx.approvals.answers(request.id) if each.evidence == request.evidence]
    found: dict[str, Any] = {
        "request": request.id,
        "version": request.version,
        "evidence": request.evidence,
        "requested_at": request.requested_at,
        "expires_at": request.expires_at,
        "expired": request.expires_at <= now,
        "author": request.author,
        "editor": request.editor,
        "policy": {"quorum": request.policy.get("quorum"), "roles": list(request.policy.get("roles") or [])},
        "answers": [{"by": a.by, "approved": a.approved, "reason": a.reason, "at": a.at} for a in answers],
        "about": None,
    }
    with suppress(StewardError):  # a policy or a catalogue that cannot be read: its own command says so
        if spec is not None:
            candidate = tx.versions.get(VersionRef(request.model, request.version))
            about, training = asked_about(services, tx, spec, candidate, request)
            found["about"] = {**about, **training}
    return found
