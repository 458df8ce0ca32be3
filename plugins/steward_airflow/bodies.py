"""What a decision may hold, beside who takes it: strict types, limits, and no field that is not named here."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from steward.errors import RequestError
from steward.spec.faults import nearest
from steward.types import JsonObject

# A database keeps no NUL, and no name or reason needs another control character.
PRINTABLE = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256, pattern=PRINTABLE)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4_000, pattern=PRINTABLE)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=400_000, pattern=PRINTABLE)]
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Answer(Body):
    """`evidence` is the digest the person was shown."""

    request: Line
    evidence: Line
    approved: bool
    reason: Reason


class Document(Body):
    kind: Line
    title: Line
    text: Text
    version: Number | None = None


class Waiver(Body):
    """`slice` None: of every slice; `version` None: of every version."""

    gate: Line
    slice: Line | None = None
    version: Number | None = None
    until: Line
    reason: Reason


class WaiverEnd(Body):
    waiver: Line
    reason: Reason


class BrokenGlass(Body):
    version: Number
    reason: Reason


class Review(Body):
    reason: Reason


class Confirmation(Body):
    consumer: Line
    replacement: Line | None = None


class CalledOff(Body):
    reason: Reason


class Permission(Body):
    reason: Reason


class WayBack(Body):
    """`to` None: the champion before. `version`: the one that must go, if the person saw which."""

    reason: Reason
    to: Number | None = None
    version: Number | None = None


class TakenOn(Body):
    incident: Line
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=4_000, pattern=PRINTABLE)] = ""


class Over(Body):
    incident: Line
    reason: Reason


Fields = TypeVar("Fields", bound=Body)


def read(kind: type[Fields], body: bytes) -> JsonObject:
    """Raises RequestError with every fault, each under its field."""
    try:
        return kind.model_validate_json(body).model_dump()
    except ValidationError as error:
        faults = [_fault(kind, ".".join(map(str, each["loc"])), each["type"], each["msg"]) for each in error.errors()]
        known = ", ".join(kind.model_fields)
        raise RequestError("\n".join(faults), where="the body", hint=f"it may hold {known}") from None


def _fault(kind: type[Body], field: str, type_: str, said: str) -> str:
    if type_ != "extra_forbidden":
        return f"{field}: {said}" if field else said
    meant = nearest(field, kind.model_fields)
    return f"{field[:60]}: no such field" + (f"; did you mean `{meant}`?" if meant else "")
