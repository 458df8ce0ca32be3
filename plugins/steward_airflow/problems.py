"""Steward's errors as answers over HTTP: the class decides the status, the words stay as they are."""

import logging
import re

from fastapi import Request
from fastapi.responses import JSONResponse

from steward.errors import (
    ConflictError,
    DataError,
    IntegrityError,
    ModelCodeError,
    NotFoundError,
    PolicyError,
    RequestError,
    SpecError,
    StewardError,
    UnavailableError,
)

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"  # RFC 9457
STATUS: dict[type[BaseException], int] = {
    PolicyError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    IntegrityError: 409,
    SpecError: 422,
    DataError: 422,
    ModelCodeError: 422,
    RequestError: 422,
    StewardError: 500,
    UnavailableError: 503,
}
TRY_AGAIN_SECONDS = "5"
_MEANT = re.compile(r"did you mean `[^`]*`\? ")  # the nearest name may be of a model that the user may not see


async def refused(_: Request, error: StewardError) -> JSONResponse:
    """`error` is the name of the class, from which a client raises the same again."""
    kind = next(each for each in type(error).__mro__ if each in STATUS)
    status = STATUS[kind]
    hint = _MEANT.sub("", error.hint) if error.hint and kind is NotFoundError else error.hint
    body = {"status": status, "error": kind.__name__, "detail": error.what, "where": error.where, "hint": hint}
    headers = {"Retry-After": TRY_AGAIN_SECONDS} if kind is UnavailableError else None
    return JSONResponse(body, status, headers, MEDIA_TYPE)


async def unforeseen(_: Request, error: Exception) -> JSONResponse:
    """What nobody foresaw says nothing of the inside; the server's log has the rest."""
    log.error("A request below /steward failed", exc_info=error)
    body = {
        "status": 500,
        "error": "StewardError",
        "detail": "this should not have happened",
        "where": None,
        "hint": "the log of Airflow's API server says more",
    }
    return JSONResponse(body, 500, media_type=MEDIA_TYPE)
