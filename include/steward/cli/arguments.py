"""How commands read what people type."""

from __future__ import annotations

from datetime import datetime

from steward.errors import RequestError
from steward.types import parse_instant


def instant_of(text: str) -> datetime:
    """Raises RequestError for what is no date."""
    try:
        return parse_instant(text)
    except ValueError as error:
        raise RequestError(f"{text!r} is no date", hint="write 2013-06-01 or 2013-06-01T12:00:00Z") from error


def reason_of(text: str) -> str:
    """Raises RequestError for an empty one."""
    if not text.strip():
        raise RequestError("the reason is empty", hint="say why with --reason; it is kept in the ledger")
    return text.strip()
