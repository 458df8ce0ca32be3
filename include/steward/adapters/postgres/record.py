"""The record: events and evidence, append-only; operations and the outbox beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any
from typing import cast as as_type

from sqlalchemy import JSON, Row, Select, Text, cast, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from steward.adapters.postgres import tables
from steward.adapters.postgres.connection import Work
from steward.adapters.postgres.rights import GUARDS, weaknesses_of
from steward.clock import Clock
from steward.errors import ConflictError, IntegrityError, NotFoundError
from steward.gates import Evidence
from steward.ledger import (
    ALL_MODELS,
    GENESIS_HASH,
    AuditEvent,
    Checkpoint,
    EventDraft,
    EventType,
    Extent,
    FindEvidence,
    Link,
    Verification,
    Weakness,
    build_export,
    event_of,
    hash_of,
    link_of,
    seal,
    verify,
)
from steward.ledger.chain import LINK_FIELDS
from steward.ledger.outbox import PendingEffect
from steward.types import JsonObject, canonical

STREAM_BATCH = 5_000


class PostgresEventLog:
    """`clock` tells business time, `wall` the time of recording; `key` signs the chain."""

    def __init__(self, work: Work, clock: Clock, wall: Clock, key: bytes) -> None:
        self._work, self._clock, self._wall, self._key = work, clock, wall, key

    def append(self, draft: EventDraft) -> AuditEvent:
        self._work.claim()
        last, previous_hash = self._head()
        link = seal(
            draft,
            seq=last + 1,
            at=self._clock.now(),
            recorded_at=self._wall.now(),
            previous_hash=previous_hash,
            key=self._key,
        )
        row: dict[str, Any] = link._asdict()
        # The signed text itself goes in, not a second rendering of it.
        row["body"] = cast(literal(link.body, Text()), JSON())
        self._work.write(insert(tables.events).values(row))
        return event_of(link)

    def read(
        self,
        *,
        model: str | None = None,
        types: Sequence[EventType] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        after_seq: int = 0,
        limit: int | None = None,
    ) -> list[AuditEvent]:
        at, columns = tables.events.c.at, tables.events.c
        statement = _links().where(columns.seq > after_seq)
        if model is not None:
            statement = statement.where(columns.model == model)
        if types:
            statement = statement.where(columns.type.in_([EventType(kind).value for kind in types]))
        if since is not None:
            statement = statement.where(at >= since)
        if until is not None:
            statement = statement.where(at <= until)
        newest_first = statement.order_by(columns.seq.desc()).limit(limit)
        return [event_of(Link._make(row)) for row in reversed(self._work.rows(newest_first))]

    def newest(self, types: Sequence[EventType], models: Collection[str] | None = None) -> list[AuditEvent]:
        columns = tables.events.c
        last = select(func.max(columns.seq)).where(columns.type.in_([EventType(kind).value for kind in types]))
        if models is not None:
            last = last.where(columns.model.in_(sorted(models)))
        # The numbers from an index alone: bodies are read of those that are wanted only.
        wanted = columns.seq.in_(last.group_by(columns.model, columns.type))
        return [event_of(Link._make(row)) for row in self._work.rows(_links().where(wanted).order_by("seq"))]

    def models(self) -> set[str]:
        found = self._work.rows(select(tables.events.c.model).distinct())
        return {str(row.model) for row in found} - {ALL_MODELS}

    def links(self) -> Iterator[Link]:
        """The whole chain as it is stored, in order, without holding it in memory."""
        return map(Link._make, self._work.stream(_links().order_by(tables.events.c.seq), STREAM_BATCH))

    def verify(self, checkpoints: Sequence[Checkpoint] = ()) -> Verification:
        return verify(self.links(), self._key, checkpoints)

    def checkpoint(self) -> Checkpoint:
        seq, head_hash = self._head()
        if seq == 0:
            raise NotFoundError("the ledger is empty: there is nothing to take a checkpoint of", where="ledger")
        return Checkpoint.take(seq, head_hash, self._wall.now(), self._key)

    def is_genuine(self, event: AuditEvent) -> bool:
        return event.hash == hash_of(link_of(event), self._key)

    def export(self, extent: Extent, find: FindEvidence, checkpoints: Sequence[Checkpoint] = ()) -> dict[str, bytes]:
        return build_export(extent, self.links(), find, checkpoints, self._key)

    def weaknesses(self) -> list[Weakness]:
        return weaknesses_of(self._work.rows(GUARDS))

    def _head(self) -> tuple[int, str]:
        columns = tables.events.c
        row = self._work.row(select(columns.seq, columns.hash).order_by(columns.seq.desc()).limit(1))
        return (row.seq, row.hash) if row else (0, GENESIS_HASH)


def _links() -> Select[tuple[object, ...]]:
    columns = tables.events.c
    return select(*(cast(columns.body, Text) if name == "body" else columns[name] for name in LINK_FIELDS))


class PostgresEvidenceStore:
    def __init__(self, work: Work) -> None:
        self._work = work

    def put(self, evidence: Evidence) -> str:
        body = cast(literal(canonical(evidence.body).decode(), Text()), JSON())
        row = {"digest": evidence.digest, "kind": evidence.kind, "model": evidence.model, "body": body}
        self._work.write(upsert(tables.evidence).values(row).on_conflict_do_nothing())
        return evidence.digest

    def get(self, digest: str) -> Evidence:
        row = self._work.row(select(tables.evidence).where(tables.evidence.c.digest == digest))
        if row is None:
            raise NotFoundError(
                f"there is no evidence {digest[:16] or '(empty digest)'}",
                hint="give the digest an event names",
            )
        return _unaltered(row)

    def get_all(self, digests: Collection[str]) -> dict[str, Evidence]:
        wanted = select(tables.evidence).where(tables.evidence.c.digest.in_(sorted(digests)))
        return {row.digest: _unaltered(row) for row in self._work.rows(wanted)}

    def contents(self) -> Iterator[tuple[str, Evidence]]:
        rows = self._work.stream(select(tables.evidence).order_by(tables.evidence.c.digest), STREAM_BATCH // 10)
        return ((row.digest, Evidence(row.kind, row.model, row.body)) for row in rows)


def _unaltered(row: Row[Any]) -> Evidence:
    found = Evidence(row.kind, row.model, row.body)
    if found.digest != row.digest:
        raise IntegrityError(
            f"evidence {row.digest[:16]}… was altered: its content has the digest {found.digest[:16]}…",
            where="evidence",
            hint="verify the ledger, and restore the row from a backup",
        )
    return found


class PostgresOperationTable:
    def __init__(self, work: Work) -> None:
        self._work = work

    def find(self, key: str, inputs: str) -> JsonObject | None:
        row = self._work.row(select(tables.operations).where(tables.operations.c.key == key))
        if row is None:
            return None
        if row.inputs != inputs:
            raise ConflictError(
                f"the step {key} was done before with other inputs",
                hint="start a new run for new inputs: a run repeats only what it did",
            )
        return as_type(JsonObject, row.answer)

    def record(self, key: str, inputs: str, answer: JsonObject) -> None:
        row = {"key": key, "inputs": inputs, "answer": answer}
        if not self._work.changes(upsert(tables.operations).values(row).on_conflict_do_nothing()):
            self.find(key, inputs)  # says so when the inputs differ
            raise ConflictError(
                f"the step {key} was done by another process meanwhile",
                hint="repeat it to get the same answer",
            )


class PostgresOutbox:
    def __init__(self, work: Work) -> None:
        self._work = work

    def put(self, kind: str, body: JsonObject) -> None:
        self._work.write(insert(tables.outbox).values(kind=kind, body=body))

    def pending(self, limit: int = 100, after: int = 0) -> list[PendingEffect]:
        columns = tables.outbox.c
        wanted = select(*(columns[name] for name in PendingEffect._fields))
        waiting = wanted.where(columns.delivered_at.is_(None), columns.id > after).order_by(columns.id).limit(limit)
        return [PendingEffect(**row._mapping) for row in self._work.rows(waiting)]

    def take(self, effect_id: int, now: datetime, until: datetime) -> bool:
        columns = tables.outbox.c
        free = columns.retry_at.is_(None) | (columns.retry_at <= now)
        waiting = update(tables.outbox).where(columns.id == effect_id, columns.delivered_at.is_(None), free)
        return self._work.changes(waiting.values(attempts=columns.attempts + 1, retry_at=until))

    def failed(self, effect_id: int, error: str, retry_at: datetime) -> None:
        waiting = update(tables.outbox).where(tables.outbox.c.id == effect_id)
        self._require(effect_id, self._work.changes(waiting.values(error=error, retry_at=retry_at)))

    def delivered(self, effect_id: int) -> None:
        columns = tables.outbox.c
        first_delivery = func.coalesce(columns.delivered_at, func.clock_timestamp())
        done = update(tables.outbox).where(columns.id == effect_id).values(delivered_at=first_delivery)
        self._require(effect_id, self._work.changes(done))

    def _require(self, effect_id: int, found: bool) -> None:
        if not found:
            raise NotFoundError(f"there is no effect {effect_id} in the outbox")
