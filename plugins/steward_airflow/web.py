"""The web application below `/steward`: reports for readers, and doors for people who decide.

Airflow does not authenticate a plugin's application: every route here asks for the current Airflow user.
"""

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI

from steward.errors import StewardError
from steward_airflow import api, reports
from steward_airflow.problems import refused, unforeseen

app = FastAPI(
    dependencies=[Depends(get_user)],
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    exception_handlers={StewardError: refused, Exception: unforeseen},
)
app.include_router(reports.router)
app.include_router(api.router)
