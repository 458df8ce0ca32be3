"""A request for predictions, whichever protocol it came in."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import orjson

from steward.serving.failures import RefusedRequestError
from steward.types import JsonObject

LONGEST_NAME = 200
MOST_EXPLAINED = 20


@dataclass(frozen=True)
class Call:
    """`columns` holds one list per feature, all of length `rows`. One decision id per row.

    `key` is what the sticky split hashes.
    """

    columns: dict[str, list[Any]]
    rows: int
    key: str
    decision_ids: list[str]
    id: str | None = None
    source: str | None = None
    explain: bool = False


def parse_json(body: bytes) -> JsonObject:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = "send one JSON object; JSON has no NaN: a missing value is null"
        raise RefusedRequestError(f"the body is not JSON: {error}", hint=hint, code="bad_json") from error
    if not isinstance(value, dict):
        raise RefusedRequestError("the body is not a JSON object", hint="send one JSON object", code="bad_json")
    return value


def make_call(columns: dict[str, list[Any]], rows: int, id_: Any, parameters: Any) -> Call:
    """`parameters`: `key`, `source`, `decision_ids`, `explain`; a single row's request id names its decision."""
    if not isinstance(parameters, dict):
        raise RefusedRequestError("parameters is not an object", hint='write {"key": …, "source": …}')
    if rows == 0:
        raise RefusedRequestError("there are no rows", hint="send at least one row", code="no_rows")
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
    if not isinstance(given, list) or len(given) != rows or len(set(map(str, given))) != rows:
        said = f"decision_ids must be {rows} different names, one per row"
        raise RefusedRequestError(said, hint="leave them out to be given new ones", code="bad_decision_ids")
    return [_name(value, "decision_ids") or str(uuid.uuid4()) for value in given]


def _name(value: Any, where: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, (str, int)) or isinstance(value, bool) or len(str(value)) > LONGEST_NAME:
        said = f"not a name of at most {LONGEST_NAME} characters"
        raise RefusedRequestError(said, where=where, hint="send a short text")
    return str(value)
