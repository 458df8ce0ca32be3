"""The server's log: text for a terminal, or one JSON object per line. Of what a caller sent, at most a decision's id.

A model's own exception likes to quote the value it stumbled over, and so does a warning of its libraries. So an
exception is written as its type and its place in the code; its words only where they are Steward's own, and not where
those were made of a request.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from steward.errors import RequestError, StewardError
from steward.serving.answers.failures import RefusedRequestError, VersionFaultError
from steward.types import VersionRef, format_instant

# What a line may say beside its message, from `extra=` or from a version among its arguments.
ABOUT = ("model", "version", "epoch", "decision_id", "trace_id")
_WARNINGS = "py.warnings"
_FRAMES = 30

Fault = tuple[type[BaseException], BaseException, TracebackType | None]

trace_id: Callable[[], str | None] = lambda: None  # noqa: E731  # `telemetry.tracing` puts another in its place


def set_up(form: str = "text", level: str = "warning", stream: TextIO | None = None) -> None:
    """One handler for everything that is logged in this process, warnings of libraries among it."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)


class TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = format_instant(datetime.fromtimestamp(record.created, UTC))
        lines = [f"{at} {record.levelname} {record.name}: {message_of(record)}"]
        about = " ".join(f"{name}={value}" for name, value in about_of(record).items())
        return "\n".join([lines[0] + (f" ({about})" if about else ""), *(f"  {line}" for line in trace_of(record))])


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": format_instant(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message_of(record),
            **about_of(record),
        }
        if trace := list(trace_of(record)):
            line["exception"] = trace
        return json.dumps(line, ensure_ascii=False)


def message_of(record: logging.LogRecord) -> str:
    """The message with exceptions among its arguments made discreet. Of a warning only its place and kind."""
    if record.name == _WARNINGS:
        said = record.args[0] if isinstance(record.args, tuple) and record.args else record.msg
        return ":".join(str(said).splitlines()[0].split(":")[:3])
    args = record.args
    if isinstance(args, tuple):
        args = tuple(said_of(each) if isinstance(each, BaseException) else each for each in args)
    return str(record.msg) % args if args else str(record.msg)


def about_of(record: logging.LogRecord) -> dict[str, Any]:
    """Only what is there."""
    found = {name: getattr(record, name) for name in ABOUT if getattr(record, name, None) is not None}
    for each in record.args if isinstance(record.args, tuple) else ():
        if isinstance(each, VersionRef):
            found = {"model": each.model, "version": each.number, **found}
    if (current := trace_id()) is not None:
        found["trace_id"] = current
    return found


def trace_of(record: logging.LogRecord) -> Iterator[str]:
    """The exception and those it came from, the last first: what each is, then where, the innermost place first."""
    error = record.exc_info[1] if record.exc_info else None
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield said_of(error)
        for frame in reversed(traceback.extract_tb(error.__traceback__)[-_FRAMES:]):
            yield f"at {frame.filename}:{frame.lineno} in {frame.name}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def said_of(error: BaseException) -> str:
    """Its kind, and its words where nothing of a request can be in them."""
    if isinstance(error, RefusedRequestError):
        return f"{type(error).__name__}: {error.code}"
    if isinstance(error, VersionFaultError):
        where = f"{error.where}: " if error.where else ""
        return f"{type(error).__name__}: {where}{error.kind}"
    if isinstance(error, StewardError) and not isinstance(error, RequestError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__
