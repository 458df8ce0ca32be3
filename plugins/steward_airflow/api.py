"""Decisions of named persons below `/steward/api`: answer, file, waive, review; and what waits for them.

Who decides is Airflow's word: no body can name anybody. Airflow's permission on the model's training DAG opens the
door; whether the decision counts is judged by the action behind it, against the policy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from fastapi import APIRouter, Depends, Header, HTTPException, Request
from fastapi.responses import JSONResponse

from steward import wiring
from steward.errors import NotFoundError, PolicyError
from steward.ledger import tombstone_of
from steward.ledger.governance import TOMBSTONE_EVENTS
from steward.types import JsonObject, to_json
from steward_airflow import bodies
from steward_airflow.access import ANSWERS, STARTS_RUNS, Model, meant_by_the_user, named, permitted

LARGEST_BODY = 1_000_000  # bytes; a document is 200 kB of text at most
NO_STORE = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class Decision:
    """`steward.actions.<action>` takes what `fields` holds. Airflow must permit what it `needs`."""

    action: str
    fields: type[bodies.Body]
    needs: tuple[ResourceMethod, DagAccessEntity] = STARTS_RUNS
    check: Callable[[str, JsonObject], None] | None = None
    names_model: bool = True


def of_this_model(model: str, given: JsonObject) -> None:
    """The permission was asked for the model of the path: a request of another model is none of its business."""
    with wiring.database().begin() as tx:
        if tx.approvals.get(given["request"]).model != model:
            raise NotFoundError(f"{model} has no request {given['request']!r}", hint=f"see `steward status {model}`")


DECISIONS: dict[str, Decision] = {
    "answer": Decision(
        "answer_approval",
        bodies.Answer,
        needs=ANSWERS,
        check=of_this_model,
        names_model=False,
    ),
    "documents": Decision("file_document", bodies.Document),
    "waivers": Decision("grant_waiver", bodies.Waiver),
    "waivers/revoke": Decision("revoke_waiver", bodies.WaiverEnd),
    "break-glass": Decision("break_glass", bodies.BrokenGlass),
    "reviews": Decision("review_model", bodies.Review),
    "consumers/confirm": Decision("confirm_consumer", bodies.Confirmation),
    "retirement/call-off": Decision("call_off_retirement", bodies.CalledOff),
    "retraining/allow": Decision("allow_retraining", bodies.Permission),
}


async def sent(request: Request) -> bytes:
    """The body; raises 413 as soon as it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, f"the body is larger than {LARGEST_BODY} bytes")
    return bytes(body)


def require_known(model: str) -> None:
    """A model without a folder was retired, or never was. Raises PolicyError or NotFoundError."""
    if model in wiring.specs().ids():
        return
    with wiring.database().begin() as tx:
        stone = tombstone_of(tx.events.read(model=model, types=TOMBSTONE_EVENTS))
    if stone is not None:
        raise PolicyError(f"{model} was retired on {stone.at:%Y-%m-%d}: {stone.reason}")
    wiring.specs().module_path(model)


By = Annotated[str, Depends(named)]
Sent = Annotated[bytes, Depends(sent)]

router = APIRouter(prefix="/api/models/{model}")


def answered(body: object) -> JSONResponse:
    return JSONResponse(to_json(body), headers=NO_STORE)


def route_of(decision: Decision) -> Callable[..., JSONResponse]:
    def decide(
        model: Model,
        by: By,
        body: Sent,
        steward_door: Annotated[Literal["api", "cli"], Header()] = "api",
    ) -> JSONResponse:
        from steward import actions

        require_known(model)
        given = bodies.read(decision.fields, body)
        if decision.check:
            decision.check(model, given)
        place = {"model": model} if decision.names_model else {}
        action = getattr(actions, decision.action)
        answer = action(wiring.services(), by=by, via=steward_door, **place, **given)
        if answer.get("counted") is False:
            raise PolicyError(answer["message"], where=model)
        return answered(answer)

    return decide


def door(method: ResourceMethod, entity: DagAccessEntity) -> list[Any]:
    """Of a route that changes something."""
    return [Depends(meant_by_the_user), Depends(permitted(method, entity))]


for _name, _decision in DECISIONS.items():
    router.add_api_route(f"/{_name}", route_of(_decision), methods=["POST"], dependencies=door(*_decision.needs))


@router.post("/rollback", dependencies=door(*STARTS_RUNS))
def roll_back(model: Model, by: By, body: Sent) -> JSONResponse:
    """The way back needs no sound spec, only a model that was ever routed."""
    from steward.actions.releases.going_back import go_back

    given = bodies.read(bodies.WayBack, body)
    return answered(go_back(wiring.services(), wiring.spec_to_go_back(model), actor=f"person:{by}", **given))


@router.post("/incidents/acknowledge", dependencies=door(*STARTS_RUNS))
def acknowledge(model: Model, by: By, body: Sent) -> JSONResponse:
    from steward.actions.incidents.attending import acknowledge_incident

    given = bodies.read(bodies.TakenOn, body)
    incident_of(model, given["incident"])
    return answered(acknowledge_incident(wiring.services(), by=by, **given))


@router.post("/incidents/resolve", dependencies=door(*STARTS_RUNS))
def resolve(model: Model, by: By, body: Sent) -> JSONResponse:
    from steward.actions.incidents.attending import resolve_by_hand

    given = bodies.read(bodies.Over, body)
    incident_of(model, given["incident"])
    return answered(resolve_by_hand(wiring.services(), by=by, **given))


def incident_of(model: str, incident: str) -> None:
    """Raises NotFoundError for one of another model: the permission was asked for the model of the path."""
    from steward.actions.incidents.changing import incident_by_id

    with wiring.database().begin() as tx:
        if incident_by_id(tx, incident).model != model:
            raise NotFoundError(f"{model} has no incident {incident!r}", hint=f"see `steward incidents {model}`")


@router.get("/approvals", dependencies=[Depends(permitted("GET"))])
def waiting(model: Model, by: By) -> JSONResponse:
    """Open requests: the page people answer on, and the digest their answer must name."""
    from steward import actions
    from steward.approval import RequestState

    require_known(model)
    with wiring.database().begin() as tx:
        found = tx.approvals.find(model, None, RequestState.OPEN)
    shown = (actions.show_request(wiring.services(), request=each.id, actor=f"person:{by}") for each in found)
    return answered([{"version": each.version, **page} for each, page in zip(found, shown, strict=True)])


@router.get("/status", dependencies=[Depends(permitted("GET"))])
def status(model: Model) -> JSONResponse:
    from steward.actions.telling.standing import standing

    require_known(model)
    with wiring.database().begin() as tx:
        return answered(standing(tx, model, wiring.clock().now(), wiring.review_after(model)))
