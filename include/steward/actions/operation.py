"""One action, once: the idempotency key, the single transaction, the effects after it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from steward.actions.effects import deliver
from steward.actions.state import Services, Transaction
from steward.errors import IntegrityError, NotFoundError, PolicyError
from steward.ledger import EventDraft, EventType, person_of, tombstone_of
from steward.ledger.governance import TOMBSTONE_EVENTS
from steward.types import JsonObject, digest_of, parse_instant

AFTER_RETIREMENT = frozenset(
    {
        "acknowledge_incident",
        "close_run",
        "close_stuck_run",
        "forget_subject",
        "report_fault",
        "reproduce",
        "resolve_by_hand",
    }
)
RETIRING = frozenset({"start_retirement", "close_endpoint", "archive_model", "bury"})
_ENDING = (EventType.ENDPOINT_CLOSED, *TOMBSTONE_EVENTS)


@dataclass(frozen=True)
class Operation:
    """An action in a run. The same action in the same run with the same inputs answers what it answered before."""

    services: Services
    action: str
    model: str
    run: str
    actor: str
    inputs: JsonObject
    attempt: int = 0

    @classmethod
    def begin(
        cls, services: Services, action: str, model: str, run: str | None, actor: str, **inputs: object
    ) -> Operation:
        """`run=None` (a person at the command line) is always a new operation."""
        return cls(services, action, model, run or f"once-{uuid.uuid4()}", actor, dict(inputs))

    def again(self, attempt: int) -> Operation:
        """The same step once more, with an answer of its own: what it answered before was overtaken."""
        return replace(self, attempt=attempt)

    @property
    def key(self) -> str:
        return f"{self.model}/{self.run}/{self.action}" + (f"/{self.attempt}" if self.attempt else "")

    def earlier(self) -> JsonObject | None:
        """What it answered before; None when it is new. Raises PolicyError where `commit` would: of a retired model."""
        with self.refusals_recorded(), self.services.database.begin() as tx:
            found = tx.operations.find(self.key, digest_of(self.inputs))
            if found is None:
                self._require_alive(tx)
            return found

    def commit(self, write: Callable[[Transaction], JsonObject], *, deliver_now: bool = True) -> JsonObject:
        """Run `write` in one transaction with the record of this operation, then deliver effects.

        `deliver_now=False` leaves them to the action that follows: no slow registry may stand between the two.

        What policy refuses is an event of its own: who tried, and what was missing.
        """
        with self.refusals_recorded(), self.services.database.begin() as tx:
            tx.claim()
            found = tx.operations.find(self.key, digest_of(self.inputs))
            if found is not None:
                return found
            self._require_alive(tx)
            answer = write(tx)
            tx.operations.record(self.key, digest_of(self.inputs), answer)
        if deliver_now:
            deliver(self.services)
        return answer

    @contextmanager
    def refusals_recorded(self) -> Iterator[None]:
        """A step that policy refuses, early or with a forged id, changes nothing and is reported."""
        try:
            yield
        except (PolicyError, IntegrityError, NotFoundError) as refusal:
            version = self.inputs.get("version")
            with self.services.database.begin() as tx:
                said, step = refusal.what, self.action
                tx.events.append(
                    self.event(EventType.RELEASE_REFUSED, said, version=version, step=step, detail=str(refusal))
                )
            raise

    def _require_alive(self, tx: Transaction) -> None:
        """Raises PolicyError for a retired model: its tombstone is respected by every door.

        From the day its endpoint is closed there is no way back, and nothing but the retirement itself goes on.
        """
        if self.action.partition("/")[0] in AFTER_RETIREMENT:
            return
        ended = tx.events.read(model=self.model, types=_ENDING)
        if stone := tombstone_of(ended):
            raise PolicyError(
                f"{self.model} was retired on {stone.at:%Y-%m-%d}: {stone.reason}",
                where=self.action,
                hint="a retired model stays retired; give a successor a name of its own",
            )
        if ended and self.action not in RETIRING:
            raise PolicyError(
                f"{self.model} is being retired: its endpoint was closed on {ended[0].at:%Y-%m-%d}",
                where=self.action,
                hint=f"see `steward retirement status {self.model}`; give a successor a name of its own",
            )

    def event(
        self,
        kind: EventType,
        reason: str,
        /,
        *,
        version: int | None = None,
        evidence: str | None = None,
        **body: object,
    ) -> EventDraft:
        return EventDraft(kind, self.model, self.actor, reason, version, evidence, {"run": self.run, **body})


person = person_of


def ended_since(services: Services, model: str) -> str | None:
    """Since when the model serves nobody any more, for good; None while it may."""
    with services.database.begin() as tx:
        closed = tx.events.read(model=model, types=[EventType.ENDPOINT_CLOSED], limit=1)
    return f"{model} was retired: its endpoint was closed on {closed[0].at:%Y-%m-%d}" if closed else None


def day_of(services: Services, as_of: str | None) -> datetime:
    """Midnight (UTC) that ends the last full day before `as_of`, or before now."""
    instant = parse_instant(as_of) if as_of else services.clock.now()
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)
