"""Who may do what below `/steward`: Airflow's log-in, and Airflow's permissions on a model's training DAG."""

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Annotated
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import bearer_scheme, get_user, requires_access_dag
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Path, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials
from starlette.types import ASGIApp, Receive, Scope, Send

from steward.errors import PolicyError
from steward.ledger import person_of
from steward.types import ID_PATTERN

Model = Annotated[str, Path(pattern=ID_PATTERN)]
User = Annotated[BaseUser, Depends(get_user)]

ANSWERS: tuple[ResourceMethod, DagAccessEntity] = ("PUT", DagAccessEntity.HITL_DETAIL)
STARTS_RUNS: tuple[ResourceMethod, DagAccessEntity] = ("POST", DagAccessEntity.RUN)
MAY = {"answer": ANSWERS, "roll_back": STARTS_RUNS, "retrain": STARTS_RUNS, "attend": STARTS_RUNS}
"""What people do on a model's page, and what Airflow must permit for it."""


class LogIn:
    """Nothing behind it is reached without a log-in: no route, no unknown path, no method, nothing mounted later."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} below /steward")
        request = Request(scope)
        try:
            await get_user(request, None, await bearer_scheme(request))
        except HTTPException as refused:
            answer = JSONResponse({"detail": refused.detail}, refused.status_code, {"Cache-Control": "no-store"})
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def training_dag(model: str) -> str:
    """Permission on it is permission on the model; also where there is no such DAG any more, or none yet."""
    return f"{model}__train"


def permitted(method: ResourceMethod, entity: DagAccessEntity | None = None) -> Callable[..., None]:
    """Raises 403 unless the user may do this to the model's training DAG."""

    def check(request: Request, model: Model, user: User) -> None:
        requires_access_dag(method, entity, param_dag_id=training_dag(model))(request, user)

    return check


def what_user_may(request: Request, model: str, user: BaseUser) -> dict[str, bool]:
    """For the page: who may not press a button does not see it. The doors ask again."""

    def may(method: ResourceMethod, entity: DagAccessEntity) -> bool:
        try:
            requires_access_dag(method, entity, param_dag_id=training_dag(model))(request, user)
        except HTTPException:
            return False
        return True

    return {name: may(*needed) for name, needed in MAY.items()}


def readable_models(models: Collection[str], user: BaseUser) -> set[str]:
    """Those whose training DAG the user may read: one query, and one question per team of this Airflow."""
    teams = DagModel.get_dag_id_to_team_name_mapping([training_dag(model) for model in models])
    of_team: dict[str | None, set[str]] = defaultdict(set)
    for model in models:
        of_team[teams.get(training_dag(model))].add(training_dag(model))
    manager = get_auth_manager()
    seen: set[str] = set()
    for team, dags in of_team.items():
        seen |= manager.filter_authorized_dag_ids(dag_ids=dags, user=user, method="GET", team_name=team)
    return {model for model in models if training_dag(model) in seen}


def meant_by_the_user(
    request: Request, token: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)]
) -> None:
    """A browser sends its log-in cookie whoever makes it ask: without a token, only our own pages may post."""
    if token is not None:
        return
    site, host = request.headers.get("sec-fetch-site"), urlsplit(request.headers.get("origin", "")).netloc
    ours = site == "same-origin" if site else bool(host) and host == request.headers.get("host")
    if not ours:
        raise HTTPException(403, "send the log-in as `Authorization: Bearer`: this page may not use its cookie")


def named(user: User) -> str:
    """The person's name, as the policy knows people. Raises PolicyError for one the ledger would read as another's."""
    name = user.get_name()
    if not name or person_of(f"person:{name}") != name:
        raise PolicyError(f"the ledger cannot name the Airflow user {name!r}", hint="use a name without a colon")
    return name
