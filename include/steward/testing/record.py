"""Fakes of the record: events, evidence, operations, outbox."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

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
from steward.ledger.outbox import PendingEffect
from steward.types import JsonObject, to_json


class FakeEventLog:
    def __init__(self, links: list[Link], clock: Clock, wall: Clock, key: bytes) -> None:
        self._links, self._clock, self._wall, self._key = links, clock, wall, key

    def append(self, draft: EventDraft) -> AuditEvent:
        link = seal(
            draft,
            seq=len(self._links) + 1,
            at=self._clock.now(),
            recorded_at=self._wall.now(),
            previous_hash=self._head_hash,
            key=self._key,
        )
        self._links.append(link)
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
        wanted = {EventType(kind).value for kind in types}
        found = [
            link
            for link in self._links[after_seq:]
            if model in (None, link.model)
            and (not wanted or link.type in wanted)
            and (since is None or link.at >= since)
            and (until is None or link.at <= until)
        ]
        chosen = found if limit is None else found[max(0, len(found) - limit) :]
        return [event_of(link) for link in chosen]

    def newest(self, types: Sequence[EventType], models: Collection[str] | None = None) -> list[AuditEvent]:
        wanted = {EventType(kind).value for kind in types}
        found = {
            (link.model, link.type): link
            for link in self._links
            if link.type in wanted and (models is None or link.model in models)
        }
        return sorted(map(event_of, found.values()), key=lambda event: event.seq)

    def models(self) -> set[str]:
        return {link.model for link in self._links} - {ALL_MODELS}

    def links(self) -> Iterator[Link]:
        return iter(self._links)

    def verify(self, checkpoints: Sequence[Checkpoint] = ()) -> Verification:
        return verify(self.links(), self._key, checkpoints)

    def checkpoint(self) -> Checkpoint:
        if not self._links:
            raise NotFoundError("the ledger is empty: there is nothing to take a checkpoint of", where="ledger")
        return Checkpoint.take(len(self._links), self._head_hash, self._wall.now(), self._key)

    def is_genuine(self, event: AuditEvent) -> bool:
        return event.hash == hash_of(link_of(event), self._key)

    def export(self, extent: Extent, find: FindEvidence, checkpoints: Sequence[Checkpoint] = ()) -> dict[str, bytes]:
        return build_export(extent, self.links(), find, checkpoints, self._key)

    def weaknesses(self) -> list[Weakness]:
        return []

    @property
    def _head_hash(self) -> str:
        return self._links[-1].hash if self._links else GENESIS_HASH


class FakeEvidenceStore:
    def __init__(self, evidence: dict[str, Evidence]) -> None:
        self._evidence = evidence

    def put(self, evidence: Evidence) -> str:
        self._evidence.setdefault(evidence.digest, copy.deepcopy(evidence))
        return evidence.digest

    def get(self, digest: str) -> Evidence:
        if digest not in self._evidence:
            raise NotFoundError(
                f"there is no evidence {digest[:16] or '(empty digest)'}",
                hint="give the digest an event names",
            )
        stored = self._evidence[digest]
        # As `Evidence.digest`, without making JSON of what is JSON already: every read asks for it.
        content = {"kind": stored.kind, "model": stored.model, "body": stored.body}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        actual = hashlib.sha256(text.encode()).hexdigest()
        if actual != digest:
            raise IntegrityError(
                f"evidence {digest[:16]}… was altered: its content has the digest {actual[:16]}…",
                where="evidence",
                hint="verify the ledger, and restore the row from a backup",
            )
        found = copy.copy(stored)
        object.__setattr__(found, "body", json.loads(text)["body"])
        return found

    def get_all(self, digests: Collection[str]) -> dict[str, Evidence]:
        return {digest: self.get(digest) for digest in digests if digest in self._evidence}

    def contents(self) -> Iterator[tuple[str, Evidence]]:
        return iter(sorted(copy.deepcopy(self._evidence).items()))


class FakeOperationTable:
    def __init__(self, operations: dict[str, tuple[str, JsonObject]]) -> None:
        self._operations = operations

    def find(self, key: str, inputs: str) -> JsonObject | None:
        if key not in self._operations:
            return None
        earlier, answer = self._operations[key]
        if earlier != inputs:
            raise ConflictError(
                f"the step {key} was done before with other inputs",
                hint="start a new run for new inputs: a run repeats only what it did",
            )
        return copy.deepcopy(answer)

    def record(self, key: str, inputs: str, answer: JsonObject) -> None:
        if self.find(key, inputs) is not None:
            raise ConflictError(
                f"the step {key} was done by another process meanwhile",
                hint="repeat it to get the same answer",
            )
        self._operations[key] = (inputs, to_json(answer))


class FakeOutbox:
    def __init__(self, effects: dict[int, PendingEffect], delivered: set[int]) -> None:
        self._effects, self._delivered = effects, delivered

    def put(self, kind: str, body: JsonObject) -> None:
        number = len(self._effects) + 1
        self._effects[number] = PendingEffect(number, kind, to_json(body))

    def pending(self, limit: int = 100, after: int = 0) -> list[PendingEffect]:
        waiting = [number for number in sorted(self._effects) if number not in self._delivered and number > after]
        return [copy.deepcopy(self._effects[number]) for number in waiting[:limit]]

    def take(self, effect_id: int, now: datetime, until: datetime) -> bool:
        effect = self._effects.get(effect_id)
        if effect is None or effect_id in self._delivered or (effect.retry_at and effect.retry_at > now):
            return False
        self._effects[effect_id] = effect._replace(attempts=effect.attempts + 1, retry_at=until)
        return True

    def failed(self, effect_id: int, error: str, retry_at: datetime) -> None:
        self._require(effect_id)
        self._effects[effect_id] = self._effects[effect_id]._replace(error=error, retry_at=retry_at)

    def delivered(self, effect_id: int) -> None:
        self._require(effect_id)
        self._delivered.add(effect_id)

    def _require(self, effect_id: int) -> None:
        if effect_id not in self._effects:
            raise NotFoundError(f"there is no effect {effect_id} in the outbox")
