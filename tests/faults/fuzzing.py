"""Requests nobody would write: sound ones, spoiled at random but the same way every time, for the server as ASGI."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from typing import Any

from tests.unit.serving.conftest import MODEL, ROW, tensors

from steward.serving.http.paths import PATHS

FRAMES: tuple[dict[str, Any], ...] = (
    {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())] * 2}, "params": {"key": "k"}},
    {"dataframe_records": [ROW, ROW]},
    {"instances": [ROW], "params": {"explain": True}},
    {"inputs": {name: [value, value] for name, value in ROW.items()}},
)
TENSORS: tuple[dict[str, Any], ...] = (
    {**tensors(ROW), "id": "7"},
    {**tensors(ROW, ROW, key="k", source="desk", decision_ids=["a", "b"]), "outputs": [{"name": "label"}]},
    {"inputs": [{"name": "x", "shape": [1, 5], "datatype": "FP64", "data": [1, 2, 3, 4, 5]}]},
)
OUTCOMES: tuple[dict[str, Any], ...] = (
    {"outcomes": [{"decision_id": "a", "label": 1, "observed_at": "2013-04-02T00:00:00Z"}]},
)
_NAMES = ["score", "label", "inputs", "parameters", "content_type", "binary_data_size", "explain", "id", *ROW]
_SCALARS: list[Any] = [
    None, True, False, 0, -1, 1.5, -0.0, 1e-320, 1e308, -1.7e308, 2**53 + 1, 2**63, -(2**63), 2**64 - 1, "", " ",
    "\x00", "é\u202e😀", "NaN", "Infinity", "../../etc/passwd", "'; DROP TABLE route; --", "{{7*7}}", "${jndi:ldap://x}",
    "0" * 500,
    "2013-13-45T99:99:99Z", "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00-23:59", [], {}, [[]], [None], {"": None},
]  # fmt: skip
_LITERALS = [
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 400, b"-" + b"9" * 5000, b"[" * 900, b"[" * 5000, b'"\\ud800"',
    b'"\\u0000"', b"\xff\xfe", b"\xc3", b"\x00", b"01", b"tru", b'{"a":1,"a":2}', b"", b"\xef\xbb\xbf{}", b"[1,]",
]  # fmt: skip
_HEADERS = [
    (b"content-type", [b"", b"text/csv", b"application/json; charset=utf-8", b"a/b; c=\xff", b";;;", b"text/csv;a=b"]),
    (b"content-length", [b"", b"-1", b"1e3", b"9" * 30, b"9" * 5000, b"\xb2", b"0", b"99999999"]),
    (b"x-steward-version", [b"1", b"0", b"-1", b"99", b"9" * 5000, b"\xb2", b"one", b"1; DROP", b""]),
    (b"authorization", [b"", b"Bearer", b"Bearer \xff", b"Basic eA==", b"bearer x"]),
    (b"inference-header-content-length", [b"10", b"x"]),
    (b"accept", [b"*/*", b"\xff", b"text/html"]),
    (b"host", [b"", b"[", b"\xff\xff", b"a" * 3000]),
    (b"traceparent", [b"00-0-0-0", b"\xff", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"]),
]  # fmt: skip
_SEGMENTS = [
    "",
    ".",
    "..",
    "%00",
    "\x00",
    "a" * 5000,
    "é\u202e",
    "*",
    "{model}",
    MODEL,
    "v2",
    "models",
    "infer",
    "1",
    "٣",
    "1e3",
]
_METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW", ""]


@dataclass(frozen=True)
class Raw:
    method: str
    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def requests(count: int, seed: int, authorization: bytes) -> list[Raw]:
    dice = random.Random(seed)
    return [_spoil(dice, _sound(dice, authorization)) for _ in range(count)]


def _sound(dice: random.Random, authorization: bytes) -> Raw:
    path = dice.choice([*PATHS, *[each for each in PATHS if each.body] * 4])
    bodies: dict[str | None, tuple[dict[str, Any], ...]] = {"Tensors": TENSORS, "Frame": FRAMES, "Outcomes": OUTCOMES}
    body = json.dumps(_changed(dice, dice.choice(bodies[path.body]))).encode() if path.body in bodies else b""
    if path.body == "Frame" and dice.random() < 0.3:
        body = ",".join(ROW).encode() + b"\n" + ",".join(map(str, ROW.values())).encode() * dice.randrange(3)
    url = path.path.format(model=MODEL, version=dice.choice(["1", "1", "2"]))
    headers = (
        (b"authorization", authorization),
        (b"content-type", dice.choice([b"application/json", b"text/csv", b""])),
    )
    return Raw(path.method, url, b"", headers, body)


def _changed(dice: random.Random, value: Any, depth: int = 0) -> Any:
    """One place of the document, or none, becomes something else."""
    if dice.random() < 0.12 or depth > 6:
        return dice.choice(_SCALARS)
    if isinstance(value, dict) and value:
        name = dice.choice(list(value))
        changed = {**value, name: _changed(dice, value[name], depth + 1)}
        match dice.randrange(8):
            case 0:
                del changed[name]
            case 1:
                changed[dice.choice(_NAMES)] = dice.choice(_SCALARS)
        return changed
    if isinstance(value, list) and value:
        at = dice.randrange(len(value))
        changed_list = [*value[:at], _changed(dice, value[at], depth + 1), *value[at + 1 :]]
        return changed_list * dice.choice([1, 1, 1, 2, 40]) if dice.random() < 0.1 else changed_list
    return dice.choice(_SCALARS) if dice.random() < 0.5 else value


def _insert(dice: random.Random, raw: Raw) -> Raw:
    at = dice.randrange(len(raw.body) + 1)
    return replace(raw, body=raw.body[:at] + dice.choice(_LITERALS) + raw.body[at + dice.randrange(3) :])


def _cut(dice: random.Random, raw: Raw) -> Raw:
    return replace(raw, body=raw.body[: dice.randrange(len(raw.body) + 1)])


def _literal(dice: random.Random, raw: Raw) -> Raw:
    return replace(raw, body=b'{"inputs": ' + dice.choice(_LITERALS) + b"}")


def _header(dice: random.Random, raw: Raw) -> Raw:
    name, values = dice.choice(_HEADERS)
    kept = tuple(header for header in raw.headers if header[0] != name)
    return replace(raw, headers=(*kept, (name, dice.choice(values))))


def _path(dice: random.Random, raw: Raw) -> Raw:
    parts = raw.path.split("/")
    parts[dice.randrange(len(parts))] = dice.choice(_SEGMENTS)
    return replace(raw, path="/".join(parts), query=dice.choice([b"", b"model=\xff", b"model=nobody", b"&&=%zz"]))


def _method(dice: random.Random, raw: Raw) -> Raw:
    return replace(raw, method=dice.choice(_METHODS))


def _noise(dice: random.Random, raw: Raw) -> Raw:
    return replace(raw, body=dice.randbytes(dice.randrange(200)))


_WAYS = (_insert, _cut, _literal, _header, _path, _method, _noise)


def _spoil(dice: random.Random, raw: Raw) -> Raw:
    """In one way, or left as it is."""
    return dice.choice(_WAYS)(dice, raw) if dice.random() < 0.4 else raw
