"""A request for predictions, whichever protocol it came in."""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import dataclass
from typing import Any

import orjson

from steward.serving.answers.failures import RefusedRequestError
from steward.types import JsonObject

LONGEST_NAME = 200
MOST_EXPLAINED = 20
MOST_REASONS = 4  # more than a person can do something about; Regulation B names the same number
MOST_COLUMNS = 5_000


@dataclass(slots=True)  # frozen, a call would cost a microsecond more; nothing writes to it
class Call:
    """`columns` holds one list per feature, all of length `rows`. One decision id per row.

    `explain` asks why, `reason_codes` for at most so many principal reasons of a decision against a person.
    `key` is what the sticky split hashes; `outputs` the tensors asked for, none named: all. `subjects` names the person
    each row is about: what is stored of it is a keyed hash.
    """

    columns: dict[str, list[Any]]
    rows: int
    key: str
    decision_ids: list[str]
    id: str | None = None
    source: str | None = None
    explain: bool = False
    reason_codes: int = 0
    outputs: tuple[str, ...] = ()
    subjects: list[str | None] | None = None

    @property
    def why(self) -> bool:
        """Whether the answer is to be accounted for, in full or by its reasons."""
        return self.explain or self.reason_codes > 0


def parse_json(body: bytes) -> JsonObject:
    """Raises RefusedRequestError for anything but one JSON object."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = "send one JSON object; JSON has no NaN: a missing value is null"
        raise RefusedRequestError(f"the body is not JSON: {error}", hint=hint, code="bad_json") from error
    if not isinstance(value, dict):
        raise RefusedRequestError("the body is not a JSON object", hint="send one JSON object", code="bad_json")
    return value


def parse_lenient_json(body: bytes) -> JsonObject:
    """As Python's clients write it: NaN is a missing value. Infinity is none, and no number either.

    Raises RefusedRequestError for anything but one object.
    """
    try:
        value = json.loads(body, parse_constant=_missing, parse_float=_finite)
        # What Python reads and JSON has no words for is refused here: half a surrogate pair, an integer of any length.
        written = orjson.dumps(value)
    except (ValueError, RecursionError, TypeError) as error:
        hint = "send one JSON object; a missing value is null"
        raise RefusedRequestError(f"the body is not JSON: {error}", hint=hint, code="bad_json") from error
    return parse_json(written)


def _missing(name: str) -> None:
    if name != "NaN":
        raise RefusedRequestError(f"{name} is too large", hint="send finite numbers", code="not_finite")


def _finite(text: str) -> float:
    if (number := float(text)) in (float("inf"), float("-inf")):
        _missing(text[:40])
    return number


def shown(value: Any) -> str:
    """A caller's value in a message: short, and never what a container holds."""
    if isinstance(value, (list, dict)):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value)[:60]


def make_call(columns: dict[str, list[Any]], rows: int, id_: Any, parameters: Any) -> Call:
    """`parameters`: `key`, `source`, `subject`, `decision_ids`, `explain`, `reason_codes`.

    A single row's request id names its decision. Raises RefusedRequestError for a form or a size that is not answered.
    """
    if not isinstance(parameters, dict):
        raise RefusedRequestError("parameters is not an object", hint='write {"key": …, "source": …}')
    if rows == 0:
        raise RefusedRequestError("there are no rows", hint="send at least one row", code="no_rows")
    if len(columns) > MOST_COLUMNS:
        said, hint = f"{len(columns)} columns in one request", f"send the features alone, {MOST_COLUMNS} at most"
        raise RefusedRequestError(said, hint=hint, code="too_many_columns", status=413)
    if id_ is None and not parameters:  # most requests: nothing to look into
        ids = [_new_id() for _ in range(rows)]
        return Call(columns, rows, ids[0], ids)
    request_id = _name(id_, "id")
    ids = _decision_ids(parameters.get("decision_ids"), rows, request_id)
    key = _name(parameters.get("key"), "parameters.key") or request_id or ids[0]
    source = _name(parameters.get("source"), "parameters.source")
    subjects = _subjects(parameters.get("subject"), rows)
    explain = _explain(parameters.get("explain"), rows)
    codes = _reason_codes(parameters.get("reason_codes"), rows)
    return Call(columns, rows, key, ids, request_id, source, explain, codes, subjects=subjects)


def _explain(given: Any, rows: int) -> bool:
    if given not in (None, True, False):
        raise RefusedRequestError("neither true nor false", where="parameters.explain", hint="send true or false")
    if given:
        require_few(rows)
    return bool(given)


def _reason_codes(given: Any, rows: int) -> int:
    """`true` is as many as there may be."""
    if given is None or given is False:
        return 0
    if given is not True and (type(given) is not int or not 1 <= given <= MOST_REASONS):
        said = f"neither true nor false nor a number from 1 to {MOST_REASONS}"
        raise RefusedRequestError(said, where="parameters.reason_codes", hint="send true", code="bad_reason_codes")
    require_few(rows)
    return MOST_REASONS if given is True else int(given)


def require_few(rows: int) -> None:
    """Raises RefusedRequestError for more rows than one request may ask reasons of."""
    if rows > MOST_EXPLAINED:
        said, hint = f"{rows} rows are to be explained", f"explain at most {MOST_EXPLAINED} at a time"
        raise RefusedRequestError(said, hint=hint, code="too_many_rows", status=413)


def _subjects(given: Any, rows: int) -> list[str | None] | None:
    """One name for all rows, or a list with one for each."""
    if given is None:
        return None
    if not isinstance(given, list):
        return [_name(given, "parameters.subject")] * rows
    if len(given) != rows:
        said = f"subject names {len(given)} persons for {rows} rows"
        raise RefusedRequestError(said, hint="send one name for all rows, or one for each", code="bad_subject")
    return [_name(value, "parameters.subject") for value in given]


def _decision_ids(given: Any, rows: int, request_id: str | None) -> list[str]:
    if given is None:
        return [request_id] if rows == 1 and request_id else [_new_id() for _ in range(rows)]
    names = [_name(value, "decision_ids") or _new_id() for value in given] if isinstance(given, list) else []
    if len(names) != rows or len(set(names)) != rows:
        said = f"decision_ids must be {rows} different names, one per row"
        raise RefusedRequestError(said, hint="leave them out to be given new ones", code="bad_decision_ids")
    return names


_IDS_AT_ONCE = 256
_ids: deque[str] = deque()
os.register_at_fork(after_in_child=_ids.clear)  # a child that went on with them would give the same


def _new_id() -> str:
    """128 random bits, as a UUID has. Asked for many at a time: the system takes as long for one."""
    try:
        return _ids.pop()
    except IndexError:
        drawn = os.urandom(16 * _IDS_AT_ONCE).hex()
        _ids.extend(drawn[at : at + 32] for at in range(32, len(drawn), 32))
        return drawn[:32]


def _name(value: Any, where: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, (str, int)) or isinstance(value, bool) or len(str(value)) > LONGEST_NAME:
        said = f"not a name of at most {LONGEST_NAME} characters"
        raise RefusedRequestError(said, where=where, hint="send a short text")
    return str(value)
