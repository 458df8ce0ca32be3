"""The keyed hash chain: every event is signed together with the hash of the one before it.

The key never enters the database, so whoever can write its tables, a superuser included, cannot make an
altered chain fit again.
"""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from steward.errors import DataError
from steward.ledger.events import AuditEvent, EventDraft, EventType
from steward.types import canonical

GENESIS_HASH = "0" * 64


class Link(NamedTuple):
    """An event as it was signed; `body` is canonical JSON text. A hundred thousand of them are verified in a second."""

    seq: int
    at: datetime
    recorded_at: datetime
    type: str
    model: str
    version: int | None
    actor: str
    reason: str
    evidence: str | None
    body: str
    previous_hash: str
    hash: str


LINK_FIELDS = Link._fields


def signature(key: bytes, message: bytes) -> str:
    """HMAC-SHA256, hex."""
    return hmac.digest(key, message, "sha256").hex()


def hash_of(link: Link, key: bytes) -> str:
    """The hash the link should carry, given its own `previous_hash`. Its instants must be in UTC."""
    seq, at, recorded_at, type_, model, version, actor, reason, evidence, body, previous_hash, _ = link
    # Every key is always present and all but `body` is escaped here, so no two links share one message.
    message = orjson.dumps(
        {
            "actor": actor,
            "at": at,
            "body": orjson.Fragment(str(body)),  # a forged NULL is a wrong hash, not a crash
            "evidence": evidence,
            "model": model,
            "previous_hash": previous_hash,
            "reason": reason,
            "recorded_at": recorded_at,
            "seq": seq,
            "type": type_,
            "version": version,
        },
        option=orjson.OPT_UTC_Z,
    )
    return signature(key, message)


def seal(draft: EventDraft, *, seq: int, at: datetime, recorded_at: datetime, previous_hash: str, key: bytes) -> Link:
    """The next link of the chain. Raises DataError for text that no database or JSON can hold."""
    _refuse_unstorable(draft)
    body = canonical(draft.body).decode()
    unsigned = Link(
        seq,
        at.astimezone(UTC),
        recorded_at.astimezone(UTC),
        draft.type.value,
        draft.model,
        draft.version,
        draft.actor,
        draft.reason,
        draft.evidence,
        body,
        previous_hash,
        "",
    )
    return unsigned._replace(hash=hash_of(unsigned, key))


def event_of(link: Link) -> AuditEvent:
    """Raises ValueError for a type or a body that no event has."""
    return AuditEvent(**{**link._asdict(), "type": EventType(link.type), "body": json.loads(link.body)})


def link_of(event: AuditEvent) -> Link:
    return Link(
        event.seq,
        event.at.astimezone(UTC),
        event.recorded_at.astimezone(UTC),
        event.type.value,
        event.model,
        event.version,
        event.actor,
        event.reason,
        event.evidence,
        canonical(event.body).decode(),
        event.previous_hash,
        event.hash,
    )


def _refuse_unstorable(draft: EventDraft) -> None:
    for name in ("model", "actor", "reason", "evidence"):
        text = getattr(draft, name) or ""
        if "\x00" in text or not _is_unicode(text):
            raise DataError(
                f"the {name} of {draft.type} holds a character that cannot be stored: {text!r:.80}",
                hint="remove NUL characters and broken Unicode from the text",
            )
    try:
        canonical(draft.body)
    except UnicodeEncodeError as error:
        raise DataError(
            f"the body of {draft.type} holds broken Unicode: {error.reason}", hint="send the text as UTF-8"
        ) from error


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
