"""Requests for approval and the answers people gave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from steward.types import JsonObject


class RequestState(StrEnum):
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True)
class ApprovalRequest:
    """Asks people about one version, bound to the evidence they see. `door` locates the Airflow task that asks.

    `author` started the training, `requester` the request, `owner` answers for the model, `editor` (an address or a
    name) changed its two files last: none of them may approve.
    """

    id: str
    model: str
    version: int
    evidence: str
    author: str
    requester: str
    owner: str
    policy: JsonObject
    requested_at: datetime
    expires_at: datetime
    state: RequestState = RequestState.OPEN
    door: JsonObject | None = None
    editor: str | None = None


@dataclass(frozen=True)
class Answer:
    """What one person said. `evidence` is the digest shown to them; `via` the door they came through."""

    request: str
    by: str
    approved: bool
    reason: str
    evidence: str
    at: datetime
    via: str


class ApprovalTable(Protocol):
    def open(self, request: ApprovalRequest) -> ApprovalRequest:
        """Raises ConflictError while the version has an open one."""
        ...

    def get(self, request_id: str) -> ApprovalRequest:
        """Raises NotFoundError."""
        ...

    def find(
        self, model: str | None, version: int | None = None, state: RequestState | None = None
    ) -> list[ApprovalRequest]:
        """Oldest first. Without a model, of every one."""
        ...

    def answers(self, request_id: str) -> list[Answer]: ...

    def record(self, answer: Answer) -> None:
        """Raises ConflictError when this person has answered already on this evidence."""
        ...

    def rebind(self, request_id: str, evidence: str) -> ApprovalRequest:
        """Put an open request on new evidence; answers on the old no longer count. Raises ConflictError if closed."""
        ...

    def close(self, request_id: str, state: RequestState) -> ApprovalRequest:
        """Raises ConflictError when it is no longer open."""
        ...
