"""Report files below `/steward/reports`, for those who may read the model's DAGs."""

from pathlib import Path
from typing import Annotated

from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse

from steward import wiring

# A report draws itself with scripts; sandboxed, they cannot act as the logged-in user.
HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts allow-downloads",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-store",
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
    items = "".join(f'<li><a href="{model}/{name}">{name}</a></li>' for name in names) or "<li>none yet</li>"
    return HTMLResponse(f"<!doctype html><title>{model}</title><h1>Reports of {model}</h1><ul>{items}</ul>")


@router.get("/reports/{model}/{name}", dependencies=[Depends(readable)])
def show_report(model: str, name: str) -> FileResponse:
    path = folder_of(model) / name
    if path.resolve().parent != folder_of(model) or path.suffix != ".html" or not path.is_file():
        raise HTTPException(404, f"{model} has no report {name!r}")
    return FileResponse(path, media_type="text/html", headers=HEADERS)


def folder_of(model: str) -> Path:
    """Raises 404 for a name that would lead out of the reports folder."""
    root = wiring.settings().reports_path.resolve()
    folder = (root / model).resolve()
    if folder.parent != root:
        raise HTTPException(404, f"no model is called {model!r}")
    return folder
