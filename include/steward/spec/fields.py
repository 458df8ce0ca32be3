"""The kinds of value a spec is made of, and the base of its sections."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from steward.types import ID_PATTERN

COLUMN_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
TEAM_PATTERN = r"^[a-z][a-z0-9_-]{0,62}$"
EMAIL_PATTERN = r"^[^@\s]+@[^@\s]+$"

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d|w)")
_CRON_FIELD = re.compile(r"[0-9A-Za-z*/,#?-]+")
_LONGEST = timedelta(days=36_500)

PRESETS = {"@hourly": 8766.0, "@daily": 365.25, "@weekly": 52.18, "@monthly": 12.0, "@yearly": 1.0}
"""Named schedules and how often they fire in a year."""


def parse_duration(value: Any) -> timedelta:
    """`250ms`, `10m`, `1d` → timedelta, a century at most. Raises ValueError for anything else."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a duration as a number and a unit: 250ms, 30s, 10m, 6h, 3d, 2w")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > _LONGEST.total_seconds():
        raise ValueError("a duration is a century at most")
    return timedelta(seconds=seconds)


def format_duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for unit in ("w", "d", "h", "m", "s"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds * 1000:g}ms"


def _reference(value: str) -> str:
    if re.fullmatch(r"model:[A-Za-z_][A-Za-z0-9_]*", value) is None:
        raise ValueError("name a function of model.py as model:FUNCTION")
    return value


def _schedule(value: str) -> str:
    parts = value.split()
    if value not in PRESETS and (len(parts) != 5 or not all(map(_CRON_FIELD.fullmatch, parts))):
        raise ValueError(f'write five cron fields ("0 3 * * *") or one of {", ".join(PRESETS)}')
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(
        parse_duration, json_schema_input_type=Annotated[str, Field(pattern=r"^\d+(\.\d+)?(ms|s|m|h|d|w)$")]
    ),
    PlainSerializer(format_duration, return_type=str),
]
Function = Annotated[
    str,
    AfterValidator(_reference),
    Field(json_schema_extra={"pattern": r"^model:[A-Za-z_][A-Za-z0-9_]*$"}),
]
Schedule = Annotated[str, AfterValidator(_schedule)]
Identifier = Annotated[str, Field(pattern=ID_PATTERN)]
Column = Annotated[str, Field(pattern=COLUMN_PATTERN)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class Contradiction(NamedTuple):
    """Two values that cannot both be meant. `key` is the one to look at, relative to its section."""

    key: tuple[str | int, ...]
    sentence: str
    nearest: str | None = None


class Section(BaseModel):
    """A closed, frozen mapping. Every contradiction inside it is reported, each at its own key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, validate_default=True, allow_inf_nan=False)

    def contradictions(self) -> Iterator[Contradiction]:
        yield from ()

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        found = list(self.contradictions())
        if found:
            raise ValidationError.from_exception_data(type(self).__name__, [_detail(one) for one in found])
        return self


def _detail(one: Contradiction) -> InitErrorDetails:
    error = PydanticCustomError("contradiction", "{sentence}", {"sentence": one.sentence, "nearest": one.nearest})
    return InitErrorDetails(type=error, loc=one.key, input=None)
