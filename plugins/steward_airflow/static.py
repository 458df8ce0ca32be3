"""Script and look of the pages, below `/steward/ui`: files of this project, and nothing that is built or fetched."""

import hashlib
from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from steward.reporting.pages import TEMPLATES

HERE = Path(__file__).parent / "ui"
FILES = {
    **{path.name: (path, "text/javascript; charset=utf-8") for path in sorted(HERE.glob("*.js"))},
    "look.css": (TEMPLATES / "look.css", "text/css; charset=utf-8"),
}
# Asked for again each time, and answered with 304 while it is the same: an upgrade is seen at once.
HEADERS = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(prefix="/ui")


@router.get("/{name}.{kind}")
def show_file(name: str, kind: str, request: Request) -> Response:
    if f"{name}.{kind}" not in FILES:
        raise HTTPException(404, f"there is no file {name}.{kind}")
    path, media_type = FILES[f"{name}.{kind}"]
    body, tag = read(path, path.stat().st_mtime_ns)
    headers = {**HEADERS, "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


@lru_cache(maxsize=16)
def read(path: Path, _changed: int) -> tuple[bytes, str]:
    body = path.read_bytes()
    return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'
