"""The web application below `/steward`: pages and reports for readers, and doors for people who decide.

Airflow does not authenticate a plugin's application. Here everything asks for the current Airflow user, twice: at the
only door of the whole application, and again in each route.
"""

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI

from steward.errors import StewardError
from steward_airflow import api, pages, reports, static
from steward_airflow.access import LogIn
from steward_airflow.problems import refused, unforeseen

app = FastAPI(
    dependencies=[Depends(get_user)],
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    exception_handlers={StewardError: refused, Exception: unforeseen},
)
app.add_middleware(LogIn)
for each in (reports, api, pages, static):
    app.include_router(each.router)
