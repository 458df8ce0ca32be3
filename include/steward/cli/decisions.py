"""approve, reject: what a named person decides.

An answer to a request goes through Airflow, as the user whose token or password is at hand: who it was is
Airflow's word, and the action behind its screen judges the answer. Where no run waits under Required Actions, it goes
through Steward's own door there, to the same action. Nothing here writes it into the ledger.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli import door
from steward.cli.arguments import ModelOrVersion, reason_of
from steward.cli.output import Json, Reason, print_json
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.adapters.airflow_rest import AirflowClient
    from steward.approval import ApprovalRequest

REFUSED = 3
LOOK_SECONDS = 1.0
APPROVE, REJECT = "Approve", "Reject"

Wait = Annotated[float, typer.Option(help="Seconds to wait until the ledger has the answer; 0 leaves at once.")]

Seen = Annotated[
    str | None,
    typer.Option("--evidence", metavar="DIGEST", help="Answer only if the request is still on this evidence."),
]
ByApi = Annotated[
    bool, typer.Option("--api", help="Do not use Required Actions, even if a run waits there: answer the ledger.")
]


def add_to(app: typer.Typer) -> None:
    app.command()(approve)
    app.command()(reject)


def approve(
    version: ModelOrVersion,
    reason: Reason,
    evidence: Seen = None,
    by_api: ByApi = False,
    wait: Wait = 60.0,
    as_json: Json = False,
) -> None:
    """Say yes to a release that waits for approval. Exit code 3 when your answer does not count.

    Example: steward approve flight_delays@3 --reason "better on every slice"
    """
    _answer(version, APPROVE, reason, evidence, by_api, wait, as_json)


def reject(
    version: ModelOrVersion,
    reason: Reason,
    evidence: Seen = None,
    by_api: ByApi = False,
    wait: Wait = 60.0,
    as_json: Json = False,
) -> None:
    """Say no to a release that waits for approval.

    Example: steward reject flight_delays --reason "worse at night"
    """
    _answer(version, REJECT, reason, evidence, by_api, wait, as_json)


def _answer(
    version: str, option: str, reason: str, evidence: str | None, by_api: bool, wait: float, as_json: bool
) -> None:
    reason = reason_of(reason)
    request = open_request(version)
    _require_seen(request, evidence)
    seen, client = _last_seq(request), door.airflow()
    if by_api or not _is_asked(client, request):
        said = _through_our_door(request, option == APPROVE, reason, seen)
    else:
        _through_required_actions(client, request, option, reason)
        said = _judged(request, seen, wait)
    if as_json:
        print_json({"model": request.model, "version": request.version, "request": request.id, **said})
    else:
        typer.echo(f"{request.model}@{request.version}: {said['message']}")
    if said["counted"] is False:
        raise typer.Exit(REFUSED)


def _through_required_actions(client: AirflowClient, request: ApprovalRequest, option: str, reason: str) -> None:
    """The evidence is that of the ledger, not of the page: Airflow renews its page only now and then."""
    place, form = request.door or {}, {"reason": reason, "evidence": request.evidence}
    client.respond(place["dag_id"], place["run_id"], place["task_id"], option, form)


def _through_our_door(request: ApprovalRequest, approved: bool, reason: str, seen: int) -> JsonObject:
    """Raises PolicyError when Airflow refused the user; what the policy refused is in the ledger."""
    from steward.errors import PolicyError

    fields = {"request": request.id, "evidence": request.evidence, "approved": approved, "reason": reason}
    try:
        answer = door.decide(request.model, "answer", **fields)
    except PolicyError:
        said = _judged(request, seen, wait=0)
        if said["counted"] is not False:
            raise
        return said
    return {"counted": True, "message": answer["message"]}


def open_request(version: str) -> ApprovalRequest:
    """The one request that waits. Raises NotFoundError, or ConflictError when several versions wait."""
    from steward import wiring
    from steward.approval import RequestState
    from steward.errors import ConflictError, NotFoundError
    from steward.types import VersionRef

    ref = VersionRef.parse(version) if "@" in version else None
    model = ref.model if ref else version
    with wiring.database().begin() as tx:
        found = tx.approvals.find(model, ref.number if ref else None, RequestState.OPEN)
    if not found:
        wiring.specs().module_path(model)
        raise NotFoundError(f"no request for {version} waits for an answer", hint=f"see `steward status {model}`")
    if len(found) > 1:
        names = ", ".join(f"{model}@{each.version}" for each in found)
        raise ConflictError(f"several versions wait: {names}", hint="name the one you mean")
    return found[0]


def _require_seen(request: ApprovalRequest, evidence: str | None) -> None:
    """Raises PolicyError when the request is on other evidence by now than the person says they read."""
    from steward.errors import PolicyError

    if evidence is not None and not request.evidence.startswith(evidence):
        what = f"the request is on other evidence by now: {request.evidence}"
        raise PolicyError(what, where=f"{request.model}@{request.version}", hint="read it again, then answer")


def _is_asked(client: AirflowClient, request: ApprovalRequest) -> bool:
    """Whether a run is parked for this answer: a moment after the request is made, and until the run has ended."""
    place = request.door
    if place is None:
        return False
    waiting = client.waiting(place["dag_id"], place["run_id"])
    return any(each["task_instance"]["task_id"] == place["task_id"] for each in waiting)


def _last_seq(request: ApprovalRequest) -> int:
    from steward import wiring

    with wiring.database().begin() as tx:
        last = tx.events.read(model=request.model, limit=1)
    return last[-1].seq if last else 0


def _judged(request: ApprovalRequest, seen: int, wait: float) -> JsonObject:
    """What the ledger says of the answer; `counted` None when it has not said anything in time."""
    from steward import wiring
    from steward.ledger import EventType

    kinds = [EventType.APPROVAL_ANSWERED, EventType.APPROVAL_REFUSED]
    ends = time.monotonic() + wait
    while True:
        with wiring.database().begin() as tx:
            events = tx.events.read(model=request.model, types=kinds, after_seq=seen)
        for event in events:
            if event.body.get("request") == request.id:
                return {"counted": event.type is EventType.APPROVAL_ANSWERED, "message": event.reason}
        if time.monotonic() >= ends:
            message = f"Airflow has the answer, the ledger not yet; see `steward status {request.model}`"
            return {"counted": None, "message": message}
        time.sleep(LOOK_SECONDS)
