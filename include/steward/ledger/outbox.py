"""An effect outside the database that was committed with the change that wants it, and is not delivered yet."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from steward.types import JsonObject


class PendingEffect(NamedTuple):
    """`attempts` counts deliveries that were begun; `error` is why the last one failed; none begins before
    `retry_at`."""

    id: int
    kind: str
    body: JsonObject
    attempts: int = 0
    error: str | None = None
    retry_at: datetime | None = None
