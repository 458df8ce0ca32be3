"""How values are written inside a tensor: the content types that MLServer's codecs announce."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from steward.serving.answers.failures import RefusedRequestError
from steward.serving.protocols.calls import shown

_PLAIN = frozenset({"np", "str", "datetime"})
_WRITTEN = frozenset({"base64", "pd_json"})
_REQUESTS = frozenset({"pd", "np", "str"})
_BINARY_HINT = "send the tensors as JSON: set_data_from_numpy(…, binary_data=False), InferRequest without raw data"


def check_request(parameters: Any) -> None:
    """Raises RefusedRequestError for a request in a form that is not spoken, or one that wants such an answer."""
    if not isinstance(parameters, dict):
        return
    if parameters.get("binary_data_output"):
        raise _binary("parameters")
    _check_type(parameters.get("content_type"), _REQUESTS, "parameters")


def check_tensor(name: str, parameters: Any) -> None:
    """Raises RefusedRequestError for binary data and for a content type that is not spoken."""
    if not isinstance(parameters, dict):
        raise RefusedRequestError("parameters is not an object", where=name, hint='write {"content_type": "str"}')
    if "binary_data_size" in parameters:
        raise _binary(name)
    _check_type(parameters.get("content_type"), _PLAIN | _WRITTEN, name)


def check_output(parameters: Any) -> None:
    if isinstance(parameters, dict) and parameters.get("binary_data"):
        raise _binary("outputs")


def decode(name: str, tensor: dict[str, Any], data: list[Any]) -> list[Any]:
    """The values themselves. Texts written as they are need nothing done. Raises RefusedRequestError for others."""
    kind = tensor["parameters"].get("content_type")
    if kind not in _WRITTEN or tensor.get("datatype") != "BYTES":
        return data
    read = _from_base64 if kind == "base64" else orjson.loads
    try:
        return [None if value is None else read(value) for value in data]
    except (binascii.Error, ValueError) as error:
        said, hint = f"a value is not {kind}: {error}", "write every value as the content type says"
        raise RefusedRequestError(said, where=name, hint=hint, code="wrong_datatype") from error


def _from_base64(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()


def _check_type(given: Any, known: frozenset[str], where: str) -> None:
    if given is not None and (not isinstance(given, str) or given not in known):
        hint = f"write one of {', '.join(sorted(known))}, or none"
        raise RefusedRequestError(
            f"content type {shown(given)} is not read here", where=where, hint=hint, code="unknown_content_type"
        )


def _binary(where: str) -> RefusedRequestError:
    said = "binary tensors are not spoken here"
    return RefusedRequestError(said, where=where, hint=_BINARY_HINT, code="binary_not_spoken")
