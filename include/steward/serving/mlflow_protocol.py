"""MLflow's scoring protocol: the four ways its clients write a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steward.serving.calls import Call, make_call, parse_json
from steward.serving.failures import RefusedRequestError
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.serving.answering import Result

_WAYS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def parse(body: bytes) -> Call:
    """Besides MLflow's own keys, `params` may hold `key`, `source`, `decision_ids` and `explain`."""
    request = parse_json(body)
    given = [way for way in _WAYS if way in request]
    if len(given) != 1:
        said = f"the body holds {' and '.join(given) or 'no frame'}"
        raise RefusedRequestError(said, hint=f"send one of {', '.join(_WAYS)}", code="no_inputs")
    value = request[given[0]]
    if given[0] == "dataframe_split":
        columns = _from_split(value)
    elif isinstance(value, dict):
        columns = _from_columns(value)
    else:
        columns = _from_records(value, given[0])
    rows = len(next(iter(columns.values()), []))
    return make_call(columns, rows, None, request.get("params") or {})


def _from_split(value: Any) -> dict[str, list[Any]]:
    names = value.get("columns") if isinstance(value, dict) else None
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(names, list) or not _are_names(names) or not isinstance(data, list):
        raise _malformed("dataframe_split", '{"columns": […], "data": [[…], …]}')
    if not all(type(row) is list and len(row) == len(names) for row in data):
        said = f"a row of data does not have the {len(names)} values of columns"
        raise RefusedRequestError(said, where="dataframe_split", hint="one value per column in each row", code="ragged")
    return {name: [row[i] for row in data] for i, name in enumerate(names)}


def _from_records(value: Any, way: str) -> dict[str, list[Any]]:
    if not isinstance(value, list) or not all(type(row) is dict for row in value):
        raise _malformed(way, '[{"feature": value, …}, …]')
    names = dict.fromkeys(name for row in value for name in row)
    return {name: [row.get(name) for row in value] for name in names}


def _from_columns(value: dict[str, Any]) -> dict[str, list[Any]]:
    columns = {name: column if isinstance(column, list) else [column] for name, column in value.items()}
    if len({len(column) for column in columns.values()}) > 1:
        raise RefusedRequestError("columns differ in length", hint="one value per row in each", code="ragged")
    return columns


def _are_names(names: list[Any]) -> bool:
    return all(type(n) is str for n in names) and len(set(names)) == len(names)


def _malformed(way: str, shape: str) -> RefusedRequestError:
    return RefusedRequestError(f"{way} has another shape", hint=f"write {shape}", code="no_inputs")


def format_answer(call: Call, result: Result) -> JsonObject:
    """`predictions` are what the estimator's `predict` gives, as with MLflow; the scores stand beside them."""
    labels, scores = result.answer.labels, result.answer.scores.tolist()
    answer: JsonObject = {"predictions": scores if labels is None else labels}
    if labels is not None:
        answer["scores"] = scores
    if result.explanations is not None:
        answer["explanations"] = result.explanations
    return {**answer, "decision_ids": call.decision_ids}
