"""MLflow's scoring protocol: the four ways its clients write a frame as JSON, and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steward.gates.classes import by_class
from steward.serving.answers.failures import RefusedRequestError
from steward.serving.protocols import unnamed
from steward.serving.protocols.calls import Call, make_call, parse_json, parse_lenient_json
from steward.serving.protocols.reason_codes import codes_of
from steward.spec import Feature, FeatureType
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.serving.answers.answering import Result

_WAYS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_JSON, _CSV = "application/json", "text/csv"
_MOST_CELLS = 4_000_000
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOTHING = frozenset({"", "nan", "null", "none", "na"})


def parse(body: bytes, content_type: str = "", features: Mapping[str, Feature] | None = None) -> Call:
    """Besides MLflow's own keys, `params` may hold `key`, `source`, `decision_ids`, `explain` and `reason_codes`.

    `features` in their published order give types to CSV, and names to rows without them.
    """
    params: Any = {}
    if _media_type(content_type) == _CSV:
        columns = _from_csv(body, features or {})
    else:
        request = parse_lenient_json(body) if b"NaN" in body or b"Infinity" in body else parse_json(body)
        columns, params = _from_request(request, features or {}), request.get("params") or {}
    return make_call(columns, len(next(iter(columns.values()), [])), None, params)


def _media_type(content_type: str) -> str:
    """JSON where none is said. Raises RefusedRequestError, 415, for what is not read here."""
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    said = [part for part in parameters if part.replace('"', "") not in ("", "charset=utf-8", "charset=utf8")]
    if media_type not in ("", _JSON, _CSV) or said:
        raise RefusedRequestError(
            f"content type {content_type[:100]!r} is not read here",
            hint=f"send {_JSON} or {_CSV}, in UTF-8",
            code="unsupported_media_type",
            status=415,
        )
    return media_type or _JSON


def _from_request(request: JsonObject, features: Mapping[str, Feature]) -> dict[str, list[Any]]:
    given = [way for way in _WAYS if way in request]
    if len(given) != 1:
        said = f"the body holds {' and '.join(given) or 'no frame'}"
        raise RefusedRequestError(said, hint=f"send one of {', '.join(_WAYS)}", code="no_inputs")
    way, value = given[0], request[given[0]]
    if way == "dataframe_split":
        return _from_split(value, features)
    if isinstance(value, dict):
        return _from_columns(value)
    if way != "dataframe_records" and isinstance(value, list) and value and isinstance(value[0], list):
        return unnamed.columns_of(value, features, way)
    return _from_records(value, way)


def _from_split(value: Any, features: Mapping[str, Feature]) -> dict[str, list[Any]]:
    names = value.get("columns") if isinstance(value, dict) else None
    data = value.get("data") if isinstance(value, dict) else None
    if isinstance(names, list) and isinstance(data, list) and names == list(range(len(names))):
        return unnamed.columns_of(data, features, "dataframe_split")
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
    if len(names) * len(value) > _MOST_CELLS:
        said, hint = f"{len(value)} rows of {len(names)} different columns", "send fewer rows at a time"
        raise RefusedRequestError(said, where=way, hint=hint, code="too_many_values", status=413)
    return {name: [row.get(name) for row in value] for name in names}


def _from_columns(value: dict[str, Any]) -> dict[str, list[Any]]:
    columns = {name: column if isinstance(column, list) else [column] for name, column in value.items()}
    if len({len(column) for column in columns.values()}) > 1:
        raise RefusedRequestError("columns differ in length", hint="one value per row in each", code="ragged")
    return columns


def _from_csv(body: bytes, features: Mapping[str, Feature]) -> dict[str, list[Any]]:
    """A header and rows, as `DataFrame.to_csv` writes them; what the model does not know stays text."""
    try:
        names, *rows = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        hint = "send a header line with the features' names, and rows, in UTF-8"
        raise RefusedRequestError(f"the body is not CSV: {error}", hint=hint, code="bad_csv") from error
    rows = [row for row in rows if row]
    if not _are_names(names) or not all(len(row) == len(names) for row in rows):
        said = f"a row does not have the {len(names)} values of the header, or the header names one twice"
        raise RefusedRequestError(said, hint="one value per column in each row", code="ragged")
    readers = [_reader(features.get(name)) for name in names]
    return {name: [read(row[at]) for row in rows] for at, (name, read) in enumerate(zip(names, readers, strict=True))}


def _reader(feature: Feature | None) -> Any:
    if feature is None or feature.type in (FeatureType.CATEGORY, FeatureType.TEXT):
        return lambda text: text or None
    return _truth if feature.type is FeatureType.BOOLEAN else _number


def _truth(text: str) -> bool | str | None:
    """What is neither stays a text, for the contract to name."""
    word = text.strip().lower()
    return None if word in _NOTHING else _TRUTHS.get(word, text)


def _number(text: str) -> float | str | None:
    word = text.strip()
    if word.lower() in _NOTHING:
        return None
    return float(word) if _NUMBER.fullmatch(word) else text


def _are_names(names: list[Any]) -> bool:
    return all(type(n) is str for n in names) and len(set(names)) == len(names)


def _malformed(way: str, shape: str) -> RefusedRequestError:
    return RefusedRequestError(f"{way} has another shape", hint=f"write {shape}", code="no_inputs")


def format_answer(call: Call, result: Result) -> JsonObject:
    """`predictions` are what the estimator's `predict` gives, as with MLflow; the scores stand beside them, or the
    probability of every class by name."""
    labels, scores = result.answer.labels, result.answer.scores.tolist()
    answer: JsonObject = {"predictions": scores if labels is None else labels}
    if result.answer.probabilities is not None:
        answer["probabilities"] = by_class(result.answer.probabilities, result.answer.classes)
    elif labels is not None:
        answer["scores"] = scores
    if result.explanations is not None and call.explain:
        answer["explanations"] = result.explanations
    if result.explanations is not None and call.reason_codes:
        answer["reason_codes"] = [codes_of(account, call.reason_codes) for account in result.explanations]
    return {**answer, "decision_ids": call.decision_ids}
