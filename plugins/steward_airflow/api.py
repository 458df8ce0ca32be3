"""Decisions of named persons below `/steward/api`: answer, file, waive, review; and what waits for them.

Who decides is Airflow's word: no body can name anybody. Airflow's permission on the model's training DAG opens the
door; whether the decision counts is judged by the action behind it, against the policy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import bearer_scheme, get_user, requires_access_dag
from fastapi import APIRouter, Depends, Header, HTTPException, Path, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials

from steward import wiring
from steward.errors import NotFoundError, PolicyError
from steward.ledger import person_of, tombstone_of
from steward.ledger.governance import TOMBSTONE_EVENTS
from steward.types import ID_PATTERN, JsonObject, to_json
from steward_airflow import bodies

LARGEST_BODY = 1_000_000  # bytes; a document is 200 kB of text at most
NO_STORE = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}

Model = Annotated[str, Path(pattern=ID_PATTERN)]
User = Annotated[BaseUser, Depends(get_user)]


@dataclass(frozen=True)
class Decision:
    """`steward.actions.<action>` takes what `fields` holds. `method` and `entity` are what Airflow must permit."""

    action: str
    fields: type[bodies.Body]
    method: ResourceMethod = "POST"
    entity: DagAccessEntity = DagAccessEntity.RUN
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
        method="PUT",
        entity=DagAccessEntity.HITL_DETAIL,
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


def permitted(method: ResourceMethod, entity: DagAccessEntity | None = None) -> Callable[..., None]:
    """Raises 403 unless the user may do this to the model's training DAG."""

    def check(request: Request, model: Model, user: User) -> None:
        requires_access_dag(method, entity, param_dag_id=f"{model}__train")(request, user)

    return check


def meant_by_the_user(
    request: Request, token: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)]
) -> None:
    """A browser sends its log-in cookie whoever makes it ask: without a token, only our own pages may post."""
    if token is not None:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    ours = site == "same-origin" if site else urlsplit(origin or "").netloc == request.headers.get("host")
    if not ours:
        raise HTTPException(403, "send the log-in as `Authorization: Bearer`: this page may not use its cookie")


def named(user: User) -> str:
    """The person's name, as the policy knows people. Raises PolicyError for one the ledger would read as another's."""
    name = user.get_name()
    if not name or person_of(f"person:{name}") != name:
        raise PolicyError(f"the ledger cannot name the Airflow user {name!r}", hint="use a name without a colon")
    return name


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


router = APIRouter(prefix="/api/models/{model}")


def answered(body: object) -> JSONResponse:
    return JSONResponse(to_json(body), headers=NO_STORE)


def route_of(decision: Decision) -> Callable[..., JSONResponse]:
    def decide(
        model: Model,
        by: Annotated[str, Depends(named)],
        body: Annotated[bytes, Depends(sent)],
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


for _name, _decision in DECISIONS.items():
    router.add_api_route(
        f"/{_name}",
        route_of(_decision),
        methods=["POST"],
        dependencies=[Depends(meant_by_the_user), Depends(permitted(_decision.method, _decision.entity))],
    )


@router.get("/approvals", dependencies=[Depends(permitted("GET"))])
def waiting(model: Model, by: Annotated[str, Depends(named)]) -> JSONResponse:
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
