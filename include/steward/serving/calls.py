"""A request for predictions, whichever protocol it came in."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import orjson

from steward.serving.failures import RefusedRequestError
from steward.types import JsonObject

LONGEST_NAME = 200
MOST_EXPLAINED = 20
MOST_COLUMNS = 5_000


@dataclass(frozen=True)
class Call:
    """`columns` holds one list per feature, all of length `rows`. One decision id per row.

    `key` is what the sticky split hashes; `outputs` the tensors asked for, none named: all.
    """

    columns: dict[str, list[Any]]
    rows: int
    key: str
    decision_ids: list[str]
    id: str | None = None
    source: str | None = None
    explain: bool = False
    outputs: tuple[str, ...] = ()


def parse_json(body: bytes) -> JsonObject:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = "send one JSON object; JSON has no NaN: a missing value is null"
        raise RefusedRequestError(f"the body is not JSON: {error}", hint=hint, code="bad_json") from error
    if not isinstance(value, dict):
        raise RefusedRequestError("the body is not a JSON object", hint="send one JSON object", code="bad_json")
    return value


def parse_lenient_json(body: bytes) -> JsonObject:
    """As Python's clients write it: NaN is a missing value. Infinity is none, and no number either."""
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
    """`parameters`: `key`, `source`, `decision_ids`, `explain`; a single row's request id names its decision."""
    if not isinstance(parameters, dict):
        raise RefusedRequestError("parameters is not an object", hint='write {"key": …, "source": …}')
    if rows == 0:
        raise RefusedRequestError("there are no rows", hint="send at least one row", code="no_rows")
    if len(columns) > MOST_COLUMNS:
        said, hint = f"{len(columns)} columns in one request", f"send the features alone, {MOST_COLUMNS} at most"
        raise RefusedRequestError(said, hint=hint, code="too_many_columns", status=413)
    request_id = _name(id_, "id")
    ids = _decision_ids(parameters.get("decision_ids"), rows, request_id)
    key = _name(parameters.get("key"), "parameters.key") or request_id or ids[0]
    source = _name(parameters.get("source"), "parameters.source")
    return Call(columns, rows, key, ids, request_id, source, _explain(parameters.get("explain"), rows))


def _explain(given: Any, rows: int) -> bool:
    if given not in (None, True, False):
        raise RefusedRequestError("neither true nor false", where="parameters.explain", hint="send true or false")
    if given and rows > MOST_EXPLAINED:
        said, hint = f"{rows} rows are to be explained", f"explain at most {MOST_EXPLAINED} at a time"
        raise RefusedRequestError(said, hint=hint, code="too_many_rows", status=413)
    return bool(given)


def _decision_ids(given: Any, rows: int, request_id: str | None) -> list[str]:
    if given is None:
        return [request_id] if rows == 1 and request_id else [str(uuid.uuid4()) for _ in range(rows)]
    names = [_name(value, "decision_ids") or str(uuid.uuid4()) for value in given] if isinstance(given, list) else []
    if len(names) != rows or len(set(names)) != rows:
        said = f"decision_ids must be {rows} different names, one per row"
        raise RefusedRequestError(said, hint="leave them out to be given new ones", code="bad_decision_ids")
    return names


def _name(value: Any, where: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, (str, int)) or isinstance(value, bool) or len(str(value)) > LONGEST_NAME:
        said = f"not a name of at most {LONGEST_NAME} characters"
        raise RefusedRequestError(said, where=where, hint="send a short text")
    return str(value)
