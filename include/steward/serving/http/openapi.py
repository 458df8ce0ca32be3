"""The server's own OpenAPI document: its table of routes, and the features of the models it serves now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from steward import __version__
from steward.serving.http.error_codes import FAULTS, REFUSALS
from steward.serving.http.paths import PATHS, Path
from steward.serving.protocols.calls import LONGEST_NAME, MOST_EXPLAINED, MOST_REASONS
from steward.serving.protocols.inference_protocol import DATATYPES, OUTPUTS
from steward.spec import Feature, FeatureType
from steward.types import JsonObject

_JSON_TYPES = {
    FeatureType.NUMBER: "number",
    FeatureType.INTEGER: "integer",
    FeatureType.BOOLEAN: "boolean",
    FeatureType.CATEGORY: "string",
    FeatureType.TEXT: "string",
}
_TEXT: JsonObject = {"type": "string"}
_NAME: JsonObject = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}
_WHOLE: JsonObject = {"type": "integer", "minimum": 0}


def document(
    models: Mapping[str, Mapping[str, Feature]], groups: Mapping[str, Sequence[str]] | None = None
) -> JsonObject:
    """`models`: the features of each, in their published order; `groups`: protected columns it accepts beside them."""
    paths: JsonObject = {}
    for path in PATHS:
        paths.setdefault(path.path, {})[path.method.lower()] = _operation(path, sorted(models))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Steward model server", "version": __version__},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**_fixed(), **_requests(models, groups or {}), "Error": _error()},
        },
    }


def _operation(path: Path, models: list[str]) -> JsonObject:
    answers: JsonObject = {"default": _content("Refused, or failed; `code` says why", "Error")}
    if path.handler != "by_rollout_alone":
        answers["200"] = _content("Answered", path.answer) if path.answer else {"description": "Answered"}
    if path.handler == "ready":
        answers["503"] = _content("Not ready, or draining", "Ready")
    operation: JsonObject = {"summary": path.summary, "operationId": _id(path), "responses": answers}
    if path.open:
        operation["security"] = []
    if named := [_parameter(name, models) for name in ("model", "version") if f"{{{name}}}" in path.path]:
        operation["parameters"] = named
    if path.path == "/invocations":
        operation["parameters"] = [{**_parameter("model", models), "in": "query", "required": False}]
    if path.body:
        operation["requestBody"] = {"required": path.body != "IndexRequest", **_body(path.body)}
    return operation


def _id(path: Path) -> str:
    words = path.path.replace("{", "").replace("}", "").replace(".", "/").split("/")
    last = "_slash" if path.path.endswith("/") else ""
    return "_".join([path.method.lower(), *filter(None, words)]) + last


def _parameter(name: str, models: list[str]) -> JsonObject:
    schema = {**_TEXT, "enum": models} if name == "model" and models else {**_TEXT, "pattern": "^[0-9]{1,9}$"}
    return {"name": name, "in": "path", "required": True, "schema": _TEXT if name == "model" and not models else schema}


def _body(name: str) -> JsonObject:
    forms = {"application/json": {"schema": _ref(name)}}
    return {"content": {**forms, "text/csv": {"schema": _TEXT}} if name == "Frame" else forms}


def _content(said: str, name: str) -> JsonObject:
    return {"description": said, "content": {"application/json": {"schema": _ref(name)}}}


def _ref(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}


def _error() -> JsonObject:
    codes = sorted({*REFUSALS, *FAULTS})
    return _object({"error": _TEXT, "code": {**_TEXT, "enum": codes}, "hint": _or_null(_TEXT)}, 3)


def _requests(models: Mapping[str, Mapping[str, Feature]], groups: Mapping[str, Sequence[str]]) -> JsonObject:
    """What is asked, in the words of the models at hand; in general where none is loaded yet."""
    named = [
        (f"{model}.{kind}", schema)
        for model, features in models.items()
        for kind, schema in _shapes(features, groups.get(model, ()))
    ]
    tensors = [_ref(name) for name, _ in named if name.endswith(".tensor")] or [{"type": "object"}]
    rows = [_ref(name) for name, _ in named if name.endswith(".row")] or [{"type": "object"}]
    outputs = {"type": "array", "items": _object({"name": {"enum": list(OUTPUTS)}}, 1)}
    request = {
        "id": _NAME,
        "inputs": {"type": "array", "minItems": 1, "items": {"anyOf": tensors}},
        "outputs": outputs,
        "parameters": _parameters(),
    }
    records = {"type": "array", "minItems": 1, "items": {"anyOf": rows}}
    split = _object({"columns": {"type": "array", "items": _TEXT}, "data": {"type": "array", "items": _any_row()}}, 2)
    columns = {"type": "object", "additionalProperties": {"type": "array", "items": _value()}}
    ways = {"dataframe_records": records, "dataframe_split": split, "instances": records, "inputs": columns}
    frames = [{**_object({way: schema, "params": _parameters()}, 0), "required": [way]} for way, schema in ways.items()]
    return {**dict(named), "Tensors": {**_object(request, 0), "required": ["inputs"]}, "Frame": {"oneOf": frames}}


def _shapes(features: Mapping[str, Feature], groups: Sequence[str]) -> Iterable[tuple[str, JsonObject]]:
    row = {**{name: _scalar(feature) for name, feature in features.items()}, **dict.fromkeys(groups, _value())}
    yield "row", {"type": "object", "properties": row, "required": list(features)}
    tensors = [_tensor(name, DATATYPES[feature.type], _scalar(feature)) for name, feature in features.items()]
    yield "tensor", {"oneOf": [*tensors, *(_tensor(name, "BYTES", _or_null(_NAME)) for name in groups)]}


def _tensor(name: str, datatype: str, value: JsonObject) -> JsonObject:
    shape = {"type": "array", "items": _WHOLE, "minItems": 1, "maxItems": 2}
    data = {"type": "array", "items": value}
    return _object({"name": {"enum": [name]}, "shape": shape, "datatype": {"enum": [datatype]}, "data": data}, 4)


def _scalar(feature: Feature) -> JsonObject:
    schema: JsonObject = {"type": _JSON_TYPES[feature.type]}
    if feature.type in (FeatureType.NUMBER, FeatureType.INTEGER):
        limits = {"minimum": feature.min, "maximum": feature.max}
        schema |= {word: limit for word, limit in limits.items() if limit is not None}
    return schema if feature.max_missing == 0 else _or_null(schema)


def _parameters() -> JsonObject:
    explain = {"type": "boolean", "description": f"Why, for at most {MOST_EXPLAINED} rows"}
    several = {"type": "integer", "minimum": 1, "maximum": MOST_REASONS}
    codes = {"anyOf": [{"type": "boolean"}, several], "description": "The principal reasons against the person"}
    named = {"key": _NAME, "source": _NAME, "decision_ids": {"type": "array", "items": _NAME}}
    return _object({**named, "explain": explain, "reason_codes": codes}, 0)


def _fixed() -> JsonObject:
    tensor = _object({"name": _TEXT, "datatype": _TEXT, "shape": {"type": "array", "items": {"type": "integer"}}}, 3)
    output = _object({**tensor["properties"], "data": {"type": "array", "items": _value()}}, 4)
    outcome = {"decision_id": _NAME, "label": _or_null({"type": ["number", "boolean", "string"]}), "observed_at": _TEXT}
    outcome["value"] = _or_null({"type": "number", "description": "What the business counts: revenue, less the cost"})
    shares = {"type": "object", "additionalProperties": {"type": "number"}}
    strings = {"type": "array", "items": _TEXT}
    told = {"predictions": _any_row(), "decision_ids": strings}
    answer = {"model_name": _TEXT, "model_version": _TEXT, "id": _TEXT, "parameters": {"type": "object"}}
    rest = {"platform": _TEXT, "versions": strings, "inputs": _list(tensor), "outputs": _list(tensor)}
    return {
        "Answer": _object({**answer, "outputs": _list(output)}, 5),
        "Predictions": _object({**told, "scores": _any_row(), "probabilities": _list(shares)}, 2),
        "Outcomes": _object({"outcomes": {**_list(_object(outcome, 0)), "minItems": 1}}, 1),
        "Stored": _object({"stored": _WHOLE}, 1),
        "ModelReady": _object({"name": _TEXT, "ready": {"type": "boolean"}}, 2),
        "Metadata": _object({"name": _TEXT, **rest}, 5),
        "IndexRequest": _object({"ready": {"type": "boolean"}}, 0),
        "Index": _list(_object({"name": _TEXT, "version": _TEXT, "state": _TEXT, "reason": _TEXT}, 4)),
        "Live": _object({"live": {"type": "boolean"}}, 1),
        "Ready": _object({"ready": {"type": "boolean"}, "status": _TEXT, "reasons": strings}, 3),
        "Server": _object({"name": _TEXT, "version": _TEXT, "extensions": strings}, 3),
    }


def _object(properties: JsonObject, required: int) -> JsonObject:
    """The first `required` properties must be there."""
    return {"type": "object", "properties": properties, "required": list(properties)[:required]}


def _list(items: JsonObject) -> JsonObject:
    return {"type": "array", "items": items}


def _or_null(schema: JsonObject) -> JsonObject:
    return {"anyOf": [schema, {"type": "null"}]}


def _value() -> JsonObject:
    return {"type": ["number", "string", "boolean", "null"]}


def _any_row() -> JsonObject:
    return {"type": "array", "items": _value()}
