"""approve, reject, rollback: what a named person decides.

An answer to a request goes through Airflow, as the user whose token or password is at hand: who it was is
Airflow's word, and the action behind its screen judges the answer. Nothing here writes it into the ledger.
"""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli.output import Json, Reason, print_json
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.adapters.airflow_rest import AirflowClient
    from steward.approval import ApprovalRequest

REFUSED = 3
LOOK_SECONDS = 1.0
APPROVE, REJECT = "Approve", "Reject"

Version = Annotated[str, typer.Argument(metavar="MODEL[@N]", help="The model, or one version of it.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait until the ledger has the answer; 0 leaves at once.")]


def add_to(app: typer.Typer) -> None:
    app.command()(approve)
    app.command()(reject)
    app.command()(rollback)


def approve(version: Version, reason: Reason, wait: Wait = 60.0, as_json: Json = False) -> None:
    """Say yes to a release that waits for approval. Exit code 3 when your answer does not count."""
    _answer(version, APPROVE, reason, wait, as_json)


def reject(version: Version, reason: Reason, wait: Wait = 60.0, as_json: Json = False) -> None:
    """Say no to a release that waits for approval."""
    _answer(version, REJECT, reason, wait, as_json)


def rollback(model: str, reason: Reason, as_json: Json = False) -> None:
    """Send all traffic back to the champion recorded before. Works while Airflow is down."""
    from steward import actions, wiring

    said, who = _said(reason), f"cli:{getpass.getuser()}"
    answer = actions.roll_back(wiring.services(), wiring.spec_to_go_back(model), actor=who, reason=said)
    if as_json:
        print_json(answer)
    else:
        back = f"{model}@{answer['to']}" if answer["to"] else "nothing: there is no earlier champion"
        typer.echo(f"traffic went from {model}@{answer['from']} to {back} in {answer['seconds']:.2f} s")


def _answer(version: str, option: str, reason: str, wait: float, as_json: bool) -> None:
    reason = _said(reason)
    request = open_request(version)
    door, seen = _door(request), _last_seq(request)
    client = airflow()
    _require_waiting(client, door)
    client.respond(door["dag_id"], door["run_id"], door["task_id"], option, {"reason": reason})
    said = _judged(request, seen, wait)
    if as_json:
        print_json({"model": request.model, "version": request.version, "request": request.id, **said})
    else:
        typer.echo(f"{request.model}@{request.version}: {said['message']}")
    if said["counted"] is False:
        raise typer.Exit(REFUSED)


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


def airflow() -> AirflowClient:
    """Airflow as the user of the settings."""
    from steward import wiring
    from steward.adapters.airflow_rest import AirflowClient

    given = wiring.settings()
    return AirflowClient(
        given.airflow_url,
        token=given.airflow_token.get_secret_value() if given.airflow_token else None,
        user=given.airflow_user,
        password=given.airflow_password.get_secret_value() if given.airflow_password else None,
    )


def _said(reason: str) -> str:
    from steward.errors import RequestError

    if not reason.strip():
        raise RequestError("the reason is empty", hint="say why with --reason; it is kept in the ledger")
    return reason.strip()


def _door(request: ApprovalRequest) -> JsonObject:
    from steward.errors import NotFoundError

    if request.door is None:
        what = f"the request for {request.model}@{request.version} was not made through Airflow"
        raise NotFoundError(what, where=f"request {request.id}", hint="start the training run in Airflow")
    return request.door


def _require_waiting(client: AirflowClient, door: JsonObject) -> None:
    """Airflow parks the task a moment after the request is made; an earlier answer would be lost."""
    from steward.errors import UnavailableError

    waiting = client.waiting(door["dag_id"], door["run_id"])
    if not any(each["task_instance"]["task_id"] == door["task_id"] for each in waiting):
        where = f"{door['dag_id']} / {door['run_id']} / {door['task_id']}"
        hint = "try again in some seconds; if the run has ended, start a new one"
        raise UnavailableError("Airflow does not ask for this answer now", where=where, hint=hint)


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
