"""Compares what the tables say with what the record says: evidence by its digest, state by the events.

The chain proves that the events are those that were written. Nothing here changes anything, and no action is needed
to repair what is found: somebody wrote past the actions, and a person must find out who.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from steward.actions.state import Transaction
from steward.approval import ApprovalRequest, RequestState
from steward.errors import IntegrityError, NotFoundError
from steward.ledger import (
    AuditEvent,
    Break,
    Checkpoint,
    Extent,
    RecordedState,
    approval_is_recorded,
    replay,
    verify_evidence,
)
from steward.ledger.replay import APPROVAL_EVENTS, STATE_EVENTS, GivenYesOrNo, RecordedIncident, RecordedRoute
from steward.registry import ModelVersion
from steward.rollout import Route
from steward.types import JsonObject

MOST_READINGS = 5
_PARTS_OF_A_ROUTE = ("champion", "canary", "share", "shadow", "standby", "epoch")


@dataclass(frozen=True)
class Difference:
    """A table says `found` where the events say `recorded`; `seq` is the event that settled it, if one did."""

    model: str
    what: str
    recorded: Any
    found: Any
    seq: int | None = None

    def __str__(self) -> str:
        settled = f" (event {self.seq})" if self.seq else ""
        return f"{self.what} is {_shown(self.found)}, the events say {_shown(self.recorded)}{settled}"

    def refuse(self) -> None:
        """Raises IntegrityError, always."""
        raise IntegrityError(
            str(self),
            where=self.model,
            hint="it was written past Steward: stop releases, see who can write to the database, and restore the row",
        )

    def to_json(self) -> JsonObject:
        return {**vars(self), "says": str(self)}


def require_whole(tx: Transaction) -> None:
    """Raises IntegrityError for the first piece of evidence or row that differs, and for a guard that is gone."""
    if altered := altered_evidence(tx):
        altered.refuse()
    for differs in differences(tx):
        differs.refuse()
    for weakness in tx.events.weaknesses():
        if weakness.removed:
            raise IntegrityError(weakness.what, where="ledger", hint=weakness.remedy)


def altered_evidence(tx: Transaction) -> Break | None:
    """The first event that names evidence which is gone or whose content is not what it names."""
    # The events first: evidence that is put meanwhile is then one too many, and not one too few.
    named = [(link.seq, link.evidence) for link in tx.events.links() if link.evidence]
    return verify_evidence(named, ((digest, found.digest) for digest, found in tx.evidence.contents()))


def differences(tx: Transaction) -> list[Difference]:
    """Everything that the tables of state say (versions, requests, answers, rollouts, routes, incidents) and the events
    do not.

    Others may go on working: what differs only because something happened between two reads is not told.
    """
    before, found = _head(tx), list(_compared(tx))
    for _ in range(MOST_READINGS):
        now = _head(tx)
        if not found or now == before:
            break
        again = list(_compared(tx))
        before, found = now, [each for each in again if each in found]
    return found


def _head(tx: Transaction) -> int:
    """Every change of state appends an event: while this stands still, so does everything."""
    return max((event.seq for event in tx.events.read(limit=1)), default=0)


def _compared(tx: Transaction) -> Iterator[Difference]:
    recorded = replay(tx.events.read(types=STATE_EVENTS))
    routed = [route.model for route in tx.routes.all()]
    for model in (*routed, *(incident.model for incident in tx.incidents.unresolved_everywhere())):
        recorded.setdefault(model, RecordedState(model))
    for model in sorted(recorded):
        yield from _of_versions(tx, recorded[model])
        yield from _of_route(tx, recorded[model])
        yield from _of_rollout(tx, recorded[model])
        yield from _of_requests(tx, recorded[model])
        yield from _of_incidents(tx, recorded[model])


def exported(tx: Transaction, extent: Extent, checkpoints: Sequence[Checkpoint] = ()) -> dict[str, bytes]:
    """The files of an export by name. Raises NotFoundError; IntegrityError when evidence was altered."""

    def find(digest: str) -> JsonObject | None:
        try:
            found = tx.evidence.get(digest)
        except NotFoundError:
            return None  # many a digest is of something else: an artefact, a spec
        return {"kind": found.kind, "model": found.model, "body": found.body}

    return tx.events.export(extent, find, checkpoints)


def require_genuine(tx: Transaction, events: list[AuditEvent]) -> list[AuditEvent]:
    """The events, once each is shown to be signed with the ledger's key. Raises IntegrityError."""
    for event in events:
        if not tx.events.is_genuine(event):
            raise IntegrityError(
                f"event {event.seq} was not signed with this ledger's key",
                where=f"{event.type} of {event.model}",
                hint="somebody wrote it into the database by hand: run `steward audit verify`",
            )
    return events


def require_recorded(tx: Transaction, request: ApprovalRequest) -> None:
    """Raises IntegrityError when the record holds no approval, whatever the table of requests says.

    The table can be written by whoever may write to the database; the answers in the record are signed.
    """
    events = [e for e in tx.events.read(model=request.model, types=APPROVAL_EVENTS) if e.body["request"] == request.id]
    if not approval_is_recorded(require_genuine(tx, events), request.id, request.evidence):
        raise IntegrityError(
            f"the table says that request {request.id} is approved, and the ledger holds no such approval",
            where=f"{request.model}@{request.version}",
            hint="somebody changed the table by hand: run `steward audit verify --state`",
        )


def _of_versions(tx: Transaction, recorded: RecordedState) -> Iterator[Difference]:
    present = {version.number: version for version in tx.versions.all(recorded.model)}
    for number in sorted({*present, *recorded.versions}):
        name, version = f"{recorded.model}@{number}", present.get(number)
        wanted, seq = recorded.versions.get(number), recorded.settled_by.get(f"version {number}")
        state = version.state.value if version else None
        if state != wanted:
            yield Difference(recorded.model, f"the state of {name}", wanted, state, seq)
        if version is not None and wanted is not None:
            yield from _of_content(tx, recorded, version)


def _of_content(tx: Transaction, recorded: RecordedState, version: ModelVersion) -> Iterator[Difference]:
    """What a version is bound to, against the training evidence its registration names."""
    digest = recorded.training.get(version.number)
    if digest is None:
        return
    try:
        body = tx.evidence.get(digest).body
    except (NotFoundError, IntegrityError) as error:
        yield Difference(recorded.model, f"the training evidence of {version.ref}", digest, error.what)
        return
    wanted = {
        "author": body["author"],
        "spec_digest": body["record"]["spec_digest"],
        "params": body["record"]["params"],
        "run_id": body["logged"]["run_id"],
        "artefact_uri": body["logged"]["uri"],
        "artefact_digest": body["logged"]["digest"],
    }
    for column, value in wanted.items():
        if getattr(version, column) != value:
            yield Difference(recorded.model, f"{column} of {version.ref}", value, getattr(version, column))


def _of_route(tx: Transaction, recorded: RecordedState) -> Iterator[Difference]:
    route, wanted = tx.routes.get(recorded.model), recorded.route
    found = _told_of(route, route.epoch) if route else None
    if route is None or wanted is None:
        if route is not None or wanted is not None:
            yield Difference(recorded.model, "the route", wanted and vars(wanted), found)
        return
    epoch = route.epoch if wanted.epoch is None else wanted.epoch
    for what, says, is_ in zip(_PARTS_OF_A_ROUTE, _told_of(wanted, epoch), found or (), strict=True):
        if says != is_:
            yield Difference(recorded.model, f"the {what} routed to", says, is_, recorded.settled_by.get("route"))


def _told_of(route: Route | RecordedRoute, epoch: int) -> tuple[int | None, ...]:
    share = route.percent if route.canary else 0
    return route.champion, route.canary, share, route.shadow, route.standby, epoch


def _of_rollout(tx: Transaction, recorded: RecordedState) -> Iterator[Difference]:
    running = tx.rollouts.running(recorded.model)
    found = running.id if running else None
    if found != recorded.running:
        seq = recorded.settled_by.get("rollout")
        yield Difference(recorded.model, "the running rollout", recorded.running, found, seq)


def _of_requests(tx: Transaction, recorded: RecordedState) -> Iterator[Difference]:
    for request in tx.approvals.find(recorded.model):
        name = f"request {request.id} for {recorded.model}@{request.version}"
        approved = request.state is RequestState.APPROVED
        if approved != (request.id in recorded.approved):
            said = "approved" if request.id in recorded.approved else "not approved"
            yield Difference(recorded.model, f"the {name}", said, request.state.value)
        elif request.state is RequestState.OPEN and request.id in recorded.closed:
            yield Difference(recorded.model, f"the {name}", "closed", request.state.value)
        given = {GivenYesOrNo(a.by, a.evidence, a.approved) for a in tx.approvals.answers(request.id)}
        told = recorded.answers.get(request.id, set())
        for answer in sorted(given ^ told, key=str):
            said = f"{'yes' if answer.approved else 'no'} of {answer.by}"
            where = ("in the events", "not in the table") if answer in told else ("not in the events", "in the table")
            yield Difference(recorded.model, f"the {said} to {name}", *where)


def _of_incidents(tx: Transaction, recorded: RecordedState) -> Iterator[Difference]:
    """An incident that was made to look over, or harmless, by hand; and one that is gone or was put there."""
    present = {i.id: RecordedIncident(i.state.value, i.severity) for i in tx.incidents.all(recorded.model)}
    for incident in sorted({*present, *recorded.incidents}):
        said, found = recorded.incidents.get(incident), present.get(incident)
        if said == found:
            continue
        name, seq = f"incident {incident}", recorded.settled_by.get(f"incident {incident}")
        yield Difference(recorded.model, name, said and ", ".join(said), found and ", ".join(found), seq)


def _shown(value: Any) -> str:
    return "missing" if value is None else str(value)
