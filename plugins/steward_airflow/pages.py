"""Pages below `/steward/ui`, the JSON they are made of, and the same as files to take along.

A page is a fragment that `ui/steward.js` puts into Airflow's own page. Nobody sees, in a row, a count or a sentence, a
model whose training DAG they may not read.
"""

from datetime import datetime
from pathlib import Path as FilePath
from typing import Annotated, Literal

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse

from steward import wiring
from steward.actions.telling.portfolio import Memory, elsewhere, tell_portfolio
from steward.types import JsonObject, to_json
from steward_airflow.access import Model, User, permitted, readable_models, what_user_may

NO_STORE = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
# A fragment opened as a page of its own, and a report on a disk, run nothing and fetch nothing.
HEADERS = {
    **NO_STORE,
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
By = Literal["portfolio", "model", "team", "tier"]
Measure = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Of = Annotated[str | None, Query(max_length=256)]
Days = Annotated[list[Annotated[int, Query(ge=1, le=3660)]], Query(max_length=6)]
USUAL = [7, 30, 90]

router = APIRouter()
of_model = [Depends(permitted("GET"))]


def html(text: str) -> HTMLResponse:
    return HTMLResponse(text, headers=HEADERS)


def file(text: str, name: str, at: datetime) -> HTMLResponse:
    named = f'attachment; filename="{name}-{at:%Y-%m-%d}.html"'
    return HTMLResponse(text, headers={**HEADERS, "Content-Disposition": named})


def json(view: object) -> JSONResponse:
    return JSONResponse(to_json(view), headers=NO_STORE)


MEMORY = Memory()  # of evidence, which never changes: an API server reads it once


def seen_by(user: BaseUser) -> set[str]:
    """Of every model that a folder, the inventory file or an event speaks of."""
    specs, (external, _) = wiring.specs(), elsewhere(wiring.services())
    named = {*specs.ids(), *(FilePath(fault.file).parent.name for fault in specs.misnamed())}
    with wiring.database().begin() as tx:
        named |= tx.events.models()
    return readable_models(named | {model.id for model in external}, user)


def portfolio_for(user: BaseUser) -> JsonObject:
    return tell_portfolio(wiring.services(), wiring.places(), seen_by(user), MEMORY)


@router.get("/ui/models")
def show_portfolio(user: User) -> HTMLResponse:
    from steward.reporting.pages import portfolio_fragment

    return html(portfolio_fragment(portfolio_for(user), live=True))


@router.get("/ui/portfolio/report")
def save_portfolio(user: User) -> HTMLResponse:
    from steward.reporting.pages import portfolio_page

    view = portfolio_for(user)
    return file(portfolio_page(view), "models", wiring.clock().now())


@router.get("/api/portfolio")
def give_portfolio(user: User) -> JSONResponse:
    return json(portfolio_for(user))


def page_for(request: Request, model: str, user: BaseUser) -> JsonObject:
    from steward.actions.telling.model_page import tell_model

    given = wiring.settings()
    links = {"mlflow": given.mlflow_page, "server": given.first_server_url}
    return {**tell_model(wiring.services(), model), "may": what_user_may(request, model, user), "links": links}


@router.get("/ui/models/{model}", dependencies=of_model)
def show_model(request: Request, model: Model, user: User) -> HTMLResponse:
    from steward.reporting.pages import model_fragment

    return html(model_fragment(page_for(request, model, user), live=True))


@router.get("/ui/models/{model}/report", dependencies=of_model)
def save_model(request: Request, model: Model, user: User) -> HTMLResponse:
    from steward.reporting.pages import model_page

    return file(model_page(page_for(request, model, user)), model, wiring.clock().now())


@router.get("/api/models/{model}/page", dependencies=of_model)
def give_model(request: Request, model: Model, user: User) -> JSONResponse:
    return json(page_for(request, model, user))


def measures_for(user: BaseUser, days: list[int], by: By, of: str | None) -> JsonObject:
    from steward.actions.telling.measures import tell_measures

    return tell_measures(wiring.services(), days=days, by=(by,), only=seen_by(user), of=of)


@router.get("/ui/measures")
def show_measures(user: User, days: Days = USUAL, by: By = "portfolio", of: Of = None) -> HTMLResponse:
    from steward.reporting.pages import measures_fragment

    return html(measures_fragment(measures_for(user, days, by, of), live=True))


@router.get("/ui/measures/report")
def save_measures(user: User, days: Days = USUAL, by: By = "portfolio", of: Of = None) -> HTMLResponse:
    from steward.reporting.pages import measures_page

    return file(measures_page(measures_for(user, days, by, of)), "measures", wiring.clock().now())


@router.get("/api/measures")
def give_measures(user: User, days: Days = USUAL, by: By = "portfolio", of: Of = None) -> JSONResponse:
    return json(measures_for(user, days, by, of))


def events_for(user: BaseUser, measure: str, days: int, by: By, of: str | None) -> JsonObject:
    from steward.actions.telling.measures import tell_measure_events

    return tell_measure_events(wiring.services(), measure, days, by, of, seen_by(user))


@router.get("/ui/measures/{measure}/events")
def show_events(user: User, measure: Measure, days: int = 30, by: By = "portfolio", of: Of = None) -> HTMLResponse:
    from steward.reporting.pages import measure_events_fragment

    return html(measure_events_fragment(events_for(user, measure, days, by, of)))


@router.get("/api/measures/{measure}/events")
def give_events(user: User, measure: Measure, days: int = 30, by: By = "portfolio", of: Of = None) -> JSONResponse:
    return json(events_for(user, measure, days, by, of))
