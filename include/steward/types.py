"""The values every floor shares: windows, version references, canonical JSON and its digest."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, Self

from steward.errors import NotFoundError

JsonObject = dict[str, Any]

ID_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
_LOG_IN = re.compile(r"(?<=://)[^/\s]*@")

FROM_A_SHELL = "cli:"
"""Before the name of whoever typed a command: a machine vouches for it, and nobody has asked for a log-in."""


class RiskTier(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Stage(StrEnum):
    """Where a model is in its life. A model enters them in this order and never goes back."""

    USE_CASE = "use_case"
    DEVELOPMENT = "development"
    VALIDATION = "validation"
    DEPLOYMENT = "deployment"
    MONITORING = "monitoring"
    RETIRED = "retired"

    @property
    def place(self) -> int:
        return list(Stage).index(self)


class Role(StrEnum):
    """What a version is to a request: the default answer, a judged share of users, a dropped copy, or what a tester
    asked for by name."""

    CHAMPION = "champion"
    CANARY = "canary"
    SHADOW = "shadow"
    TESTER = "tester"


@dataclass(frozen=True, order=True)
class Window:
    """Half-open span of event time `[start, end)`, both aware UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs aware instants")
        if self.end <= self.start:
            raise ValueError(f"a window must end after it starts: {self.start} .. {self.end}")

    @classmethod
    def ending(cls, end: datetime, length: timedelta) -> Self:
        return cls(end - length, end)

    @classmethod
    def from_json(cls, value: Mapping[str, str]) -> Self:
        return cls(parse_instant(value["start"]), parse_instant(value["end"]))

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    def to_json(self) -> JsonObject:
        return {"start": format_instant(self.start), "end": format_instant(self.end)}

    def __str__(self) -> str:
        return f"{format_instant(self.start)}/{format_instant(self.end)}"


@dataclass(frozen=True, order=True)
class VersionRef:
    """A version by name: `flight_delays@7`."""

    model: str
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises NotFoundError for what names no version."""
        match = re.fullmatch(r"([a-z][a-z0-9_]{0,62})@([1-9][0-9]{0,9})", text)
        if match is None:
            raise NotFoundError(
                f"{text!r} does not name a version", hint="write MODEL@NUMBER, for example flight_delays@3"
            )
        return cls(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"{self.model}@{self.number}"


def parse_instant(text: str | datetime) -> datetime:
    """ISO 8601 date or instant → aware UTC; a value without a zone is read as UTC. Raises ValueError."""
    value = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def format_instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


def to_json(value: Any) -> Any:
    """Plain JSON value: NaN and infinities become None, instants ISO text, numpy scalars numbers, keys text.

    Raises TypeError for anything that has no JSON form.
    """
    if type(value) in _AS_THEY_ARE:  # nearly all of a large document: asked first, and cheaply
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if type(value) is dict or isinstance(value, Mapping):
        return {k if type(k) is str else str(to_json(k)): to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_json(v) for v in value)
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, datetime):
        return format_instant(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _converted(value)


def _converted(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    for method in ("to_json", "item"):  # our own values; numpy scalars
        if hasattr(value, method):
            return to_json(getattr(value, method)())
    raise TypeError(f"{type(value).__name__} has no JSON form")


def without_password(text: str) -> str:
    """As people may read it: no address in it says who logs in, and with what."""
    return _LOG_IN.sub("", text)


def canonical(value: Any) -> bytes:
    """The one byte form of a JSON value that digests and the ledger's hashes are taken over."""
    return json.dumps(
        to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON form."""
    return hashlib.sha256(canonical(value)).hexdigest()
