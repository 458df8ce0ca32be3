"""A checkpoint: the head of the chain at some time, signed, and kept where the database cannot reach it.

The chain alone cannot show that its end was cut off. A checkpoint exported before the cut can.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from steward.errors import IntegrityError
from steward.ledger.chain import signature
from steward.types import JsonObject, canonical, format_instant, parse_instant


@dataclass(frozen=True)
class Checkpoint:
    """Event `seq` had hash `hash` when this was taken `at` (wall clock). `mac` signs the other three."""

    seq: int
    hash: str
    at: datetime
    mac: str

    @classmethod
    def take(cls, seq: int, hash_: str, at: datetime, key: bytes) -> Self:
        return cls(seq, hash_, at, signature(key, _message(seq, hash_, at)))

    def is_genuine(self, key: bytes) -> bool:
        return hmac.compare_digest(self.mac, signature(key, _message(self.seq, self.hash, self.at)))

    def to_json(self) -> JsonObject:
        return {"seq": self.seq, "hash": self.hash, "at": format_instant(self.at), "mac": self.mac}

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        return cls(int(value["seq"]), str(value["hash"]), parse_instant(value["at"]), str(value["mac"]))


def export_checkpoint(checkpoint: Checkpoint) -> str:
    """One line of JSON, ending in a newline: checkpoints may be appended to one file."""
    return canonical(checkpoint.to_json()).decode() + "\n"


def parse_checkpoints(text: str, where: str | None = None) -> list[Checkpoint]:
    """Reads what `export_checkpoint` wrote, one per line; blank lines are skipped. Raises IntegrityError."""
    return list(_parsed(text.splitlines(), where))


def _parsed(lines: Iterable[str], where: str | None) -> Iterable[Checkpoint]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield Checkpoint.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"line {number} is not a checkpoint: {error}",
                where=where,
                hint='a checkpoint is one line: {"seq": …, "hash": …, "at": …, "mac": …}',
            ) from error


def _message(seq: int, hash_: str, at: datetime) -> bytes:
    # The tag keeps checkpoints and events apart: the mac of one is never the hash of the other.
    return canonical({"checkpoint": 1, "seq": seq, "hash": hash_, "at": format_instant(at)})
