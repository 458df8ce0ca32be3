"""Hashes of what must not be stored as it is: the log stays joinable, and nobody can read or try the values."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import Any

_DIGEST_BYTES = 16


def keyed_hash(key: bytes, model: str, value: Any) -> str:
    """Equal values stay equal within a model, 12345 and 12345.0 too; without the key nobody tries them all."""
    text = _text(value).encode()
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES, key=key[:64], salt=_salt(model)).hexdigest()


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    """A number says the same as a whole number in a request, as a float in a frame, and as a word in a command."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@lru_cache(maxsize=1024)
def _salt(model: str) -> bytes:
    return hashlib.blake2b(model.encode(), digest_size=16).digest()
