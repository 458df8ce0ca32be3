"""Report files below `/steward/reports`, for those who may read the model's DAGs."""

import re
from html import escape
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse

from steward import wiring
from steward.types import ID_PATTERN

# A report draws itself with scripts; sandboxed, they cannot act as the logged-in user.
HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts allow-downloads",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-store",
}
LIST_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


ALL_MODELS = "-portfolio"  # no model's id: the folder of the reports that speak of every model


def readable(request: Request, model: str, user: Annotated[object, Depends(get_user)]) -> None:
    """Raises 403 unless the user may read the DAG that writes these reports."""
    dag = "steward__report" if model == ALL_MODELS else f"{model}__monitor"
    requires_access_dag("GET", param_dag_id=dag)(request, user)  # type: ignore[arg-type]


router = APIRouter()


@router.get("/reports/{model}", dependencies=[Depends(readable)])
def list_reports(model: str) -> HTMLResponse:
    """Newest first."""
    folder = folder_of(model)
    names = sorted((path.name for path in folder.glob("*.html")), reverse=True) if folder.is_dir() else []
    links = (f'<li><a href="{quote(model)}/{quote(name)}">{escape(name)}</a></li>' for name in names)
    whose, items = escape(model), "".join(links) or "<li>none yet</li>"
    page = f"<!doctype html><title>{whose}</title><h1>Reports of {whose}</h1><ul>{items}</ul>"
    return HTMLResponse(page, headers=LIST_HEADERS)


@router.get("/reports/{model}/{name}", dependencies=[Depends(readable)])
def show_report(model: str, name: str) -> FileResponse:
    path = folder_of(model) / name
    if path.resolve().parent != folder_of(model) or path.suffix != ".html" or not path.is_file():
        raise HTTPException(404, f"{model} has no report {name!r}")
    return FileResponse(path, media_type="text/html", headers=HEADERS)


def folder_of(model: str) -> Path:
    """Raises 404 for what is no model's name, or would lead out of the reports folder."""
    root = wiring.settings().reports_path.resolve()
    folder = (root / model).resolve()
    if (model != ALL_MODELS and not re.fullmatch(ID_PATTERN, model)) or folder.parent != root:
        raise HTTPException(404, f"no model is called {model!r}")
    return folder
