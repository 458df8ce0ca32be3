"""Every code a refusal can carry: its status, and when it is said. The reference in docs/protocols.md is this table."""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    status: int
    when: str


REFUSALS: dict[str, Code] = {
    "bad_json": Code(400, "the body is not one JSON object"),
    "bad_csv": Code(400, "the body is not CSV in UTF-8, or has no header"),
    "bad_request": Code(400, "a field is not of its form; the message names it"),
    "bad_decision_ids": Code(400, "decision_ids are not different names, one per row"),
    "bad_subject": Code(400, "subjects are not names, one per row"),
    "bad_reason_codes": Code(400, "reason_codes is neither true nor false nor a small number"),
    "no_inputs": Code(400, "there are no tensors, or no frame in one of the four forms"),
    "no_rows": Code(400, "there is not one row"),
    "twice": Code(400, "a tensor is there twice"),
    "ragged": Code(400, "lengths, shapes or rows do not fit together"),
    "ambiguous_tensor": Code(400, "values without names that cannot be given to the features one by one"),
    "missing_feature": Code(400, "a feature the version needs is absent"),
    "missing_value": Code(400, "a value is absent where the contract allows none"),
    "wrong_datatype": Code(400, "values are not of the tensor's or the contract's type"),
    "not_finite": Code(400, "a number is infinite or too large"),
    "unknown_class": Code(400, "an outcome is none of the classes that the model tells apart"),
    "unknown_output": Code(400, "an output is asked for that no model gives"),
    "unknown_content_type": Code(400, "a tensor is encoded in a way that is not read here"),
    "binary_not_spoken": Code(400, "the binary tensor extension, in the request or for the answer"),
    "caller_gone": Code(400, "the connection was closed before the body was complete; nobody reads this"),
    "bad_http": Code(400, "what arrived is not HTTP/1.1"),
    "unauthorized": Code(401, "no token, or another one"),
    "released_by_rollout": Code(403, "load or unload by hand: versions come and go with their rollout alone"),
    "unknown_model": Code(404, "no such model is served here, or none is named and there are several"),
    "unknown_version": Code(404, "that version is not loaded here"),
    "no_such_route": Code(404, "no such path (405 when it has other methods)"),
    "slow_body": Code(408, "the body was not complete in time"),
    "too_slow": Code(408, "the request line and headers were not complete in time"),
    "retired": Code(410, "the model was switched off for good"),
    "body_too_large": Code(413, "more bytes than the server's limit"),
    "too_many_rows": Code(413, "more rows than the server's limit"),
    "too_many_columns": Code(413, "more columns than the server's limit"),
    "too_many_values": Code(413, "rows with so many different names that filling them up would take too much memory"),
    "unsupported_media_type": Code(415, "the body is neither JSON nor CSV in UTF-8"),
    "too_many_requests": Code(429, "this model answers as many requests at once as its spec allows"),
    "headers_too_large": Code(431, "more bytes of headers than the server's limit"),
    "not_ready": Code(503, "the model's versions are not loaded yet, or none is released"),
    "overloaded": Code(503, "the server answers as many requests at once as it can"),
    "too_many_connections": Code(503, "the server holds as many connections as it can"),
    "unavailable": Code(503, "what the request needs is away for the moment"),
}

FAULTS: dict[str, Code] = {
    "model_failed": Code(500, "the version raised"),
    "wrong_shape": Code(500, "the version gave another number of scores than rows"),
    "not_finite": Code(500, "the version gave a score that is no finite number"),
    "missing_feature": Code(500, "the version needs a feature the contract does not hold"),
    "not_loaded": Code(500, "the version named by the route is not in memory"),
    "timeout": Code(500, "the version did not answer in time"),
    "internal": Code(500, "the server failed; its log says why"),
}
