"""One action, once: the idempotency key, the single transaction, the effects after it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from steward.actions.effects import deliver
from steward.actions.state import Services, Transaction
from steward.ledger import EventDraft, EventType
from steward.types import JsonObject, digest_of, parse_instant


@dataclass(frozen=True)
class Operation:
    """An action in a run. The same action in the same run with the same inputs answers what it answered before."""

    services: Services
    action: str
    model: str
    run: str
    actor: str
    inputs: JsonObject

    @classmethod
    def begin(
        cls, services: Services, action: str, model: str, run: str | None, actor: str, **inputs: object
    ) -> Operation:
        """`run=None` (a person at the command line) is always a new operation."""
        return cls(services, action, model, run or f"once-{uuid.uuid4()}", actor, dict(inputs))

    @property
    def key(self) -> str:
        return f"{self.model}/{self.run}/{self.action}"

    def earlier(self) -> JsonObject | None:
        with self.services.database.begin() as tx:
            return tx.operations.find(self.key, digest_of(self.inputs))

    def commit(self, write: Callable[[Transaction], JsonObject]) -> JsonObject:
        """Run `write` in one transaction with the record of this operation, then deliver effects."""
        with self.services.database.begin() as tx:
            found = tx.operations.find(self.key, digest_of(self.inputs))
            if found is not None:
                return found
            answer = write(tx)
            tx.operations.record(self.key, digest_of(self.inputs), answer)
        deliver(self.services)
        return answer

    def event(
        self,
        kind: EventType,
        reason: str,
        *,
        version: int | None = None,
        evidence: str | None = None,
        **body: object,
    ) -> EventDraft:
        return EventDraft(kind, self.model, self.actor, reason, version, evidence, {"run": self.run, **body})


def person(actor: str) -> str:
    """`airflow:dana` → `dana`."""
    return actor.rpartition(":")[2]


def day_of(services: Services, as_of: str | None) -> datetime:
    """Midnight (UTC) that ends the last full day before `as_of`, or before now."""
    instant = parse_instant(as_of) if as_of else services.clock.now()
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)
