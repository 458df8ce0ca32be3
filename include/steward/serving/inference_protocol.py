"""Open Inference Protocol v2: one tensor per feature, rows along the first axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson

from steward.serving.calls import Call, make_call, parse_json
from steward.serving.failures import RefusedRequestError
from steward.spec import FeatureType, ModelSpec
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward.serving.answering import Result

_INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_FLOATS = frozenset({"FP16", "FP32", "FP64"})
_VALUES: dict[str, tuple[type, ...]] = {
    "BYTES": (str,),
    "BOOL": (bool,),
    **dict.fromkeys(_INTEGERS, (int,)),
    **dict.fromkeys(_FLOATS, (int, float)),
}
_DATATYPES = {
    FeatureType.NUMBER: "FP64",
    FeatureType.INTEGER: "INT64",
    FeatureType.BOOLEAN: "BOOL",
    FeatureType.CATEGORY: "BYTES",
    FeatureType.TEXT: "BYTES",
}


def parse(body: bytes) -> Call:
    """Raises RefusedRequestError for anything that is not tensors of one batch. `null` is a missing value."""
    request = parse_json(body)
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        hint = 'send {"inputs": [{"name", "shape", "datatype", "data"}, …]}'
        raise RefusedRequestError("inputs is not a list of tensors", hint=hint, code="no_inputs")
    columns: dict[str, list[Any]] = {}
    for tensor in inputs:
        name, data = _column(tensor)
        if name in columns:
            raise RefusedRequestError("the tensor is there twice", where=name, hint="send it once", code="twice")
        columns[name] = data
    lengths = {name: len(data) for name, data in columns.items()}
    if len(set(lengths.values())) > 1:
        said = "tensors differ in length: " + ", ".join(f"{n} {length}" for n, length in sorted(lengths.items())[:20])
        raise RefusedRequestError(said, hint="every tensor has one value per row", code="ragged")
    return make_call(columns, next(iter(lengths.values())), request.get("id"), request.get("parameters") or {})


def _column(tensor: Any) -> tuple[str, list[Any]]:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise RefusedRequestError("a tensor has no name", hint="one tensor per feature, named like it")
    name, data, shape = tensor["name"], tensor.get("data"), tensor.get("shape")
    if not isinstance(data, list):
        raise RefusedRequestError("data is not a list", where=name, hint="binary tensors are not spoken here")
    if data and type(data[0]) is list:
        data = _flatten(name, data)
    if not _is_column(shape, len(data)):
        said = f"shape {shape} does not fit {len(data)} values in one column"
        raise RefusedRequestError(said, where=name, hint=f"write [{len(data)}] or [{len(data)}, 1]", code="ragged")
    _check_values(name, tensor.get("datatype"), data)
    return name, data


def _flatten(name: str, data: list[Any]) -> list[Any]:
    if not all(type(row) is list and len(row) == 1 for row in data):
        hint = "one tensor per feature, of shape [n] or [n, 1]"
        raise RefusedRequestError("rows of the tensor are not single values", where=name, hint=hint, code="ragged")
    return [row[0] for row in data]


def _is_column(shape: Any, length: int) -> bool:
    sizes = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    return sizes and bool(shape) and shape[0] == length and math.prod(shape) == length


def _check_values(name: str, datatype: Any, data: list[Any]) -> None:
    allowed = _VALUES.get(datatype) if isinstance(datatype, str) else None
    if allowed is None:
        hint = f"write one of {', '.join(sorted(_VALUES))}"
        raise RefusedRequestError(f"unknown datatype {datatype!r}", where=name, hint=hint, code="wrong_datatype")
    if wrong := set(map(type, data)) - {*allowed, type(None)}:
        said = f"the tensor says {datatype} but holds {', '.join(sorted(t.__name__ for t in wrong))}"
        raise RefusedRequestError(said, where=name, hint="send values of the datatype", code="wrong_datatype")


def format_answer(model: str, call: Call, result: Result) -> JsonObject:
    """An explanation is one JSON text per row, the only form the protocol's tensors leave."""
    labels, role = result.answer.labels, result.role.value
    outputs = [_tensor(call, "score", "FP64", result.answer.scores.tolist())]
    if labels is not None:
        outputs.append(_tensor(call, "label", _datatype(labels), labels))
    if result.explanations is not None:
        outputs.append(_tensor(call, "explanation", "BYTES", [orjson.dumps(e).decode() for e in result.explanations]))
    return {
        "model_name": model,
        "model_version": str(result.version),
        "id": call.id or call.decision_ids[0],
        "parameters": {"role": role, "decision_ids": call.decision_ids},
        "outputs": outputs,
    }


def _tensor(call: Call, name: str, datatype: str, data: list[Any]) -> JsonObject:
    return {"name": name, "shape": [call.rows], "datatype": datatype, "data": data}


def _datatype(labels: list[Any]) -> str:
    kinds = set(map(type, labels))
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"


def format_metadata(spec: ModelSpec, versions: list[int]) -> JsonObject:
    inputs = [
        {"name": name, "datatype": _DATATYPES[feature.type], "shape": [-1]}
        for name, feature in spec.data.features.items()
    ]
    return {
        "name": spec.model,
        "versions": [str(version) for version in versions],
        "platform": "scikit-learn",
        "inputs": inputs,
        "outputs": [{"name": "score", "datatype": "FP64", "shape": [-1]}],
    }
