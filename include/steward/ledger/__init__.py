"""The record of what happened: append-only, hash-chained under a key."""

from steward.ledger.chain import GENESIS_HASH, Link, event_of, hash_of, link_of, seal
from steward.ledger.checkpoint import Checkpoint, export_checkpoint, parse_checkpoints
from steward.ledger.events import MEANING, AuditEvent, EventDraft, EventLog, EventType
from steward.ledger.history import (
    GivenAnswer,
    Period,
    Serving,
    TimelineRow,
    serving_at,
    serving_periods,
    timeline,
)
from steward.ledger.key import create_key, read_key
from steward.ledger.verify import Break, Tampering, Verification, verify

__all__ = [
    "GENESIS_HASH",
    "MEANING",
    "AuditEvent",
    "Break",
    "Checkpoint",
    "EventDraft",
    "EventLog",
    "EventType",
    "GivenAnswer",
    "Link",
    "Period",
    "Serving",
    "Tampering",
    "TimelineRow",
    "Verification",
    "create_key",
    "event_of",
    "export_checkpoint",
    "hash_of",
    "link_of",
    "parse_checkpoints",
    "read_key",
    "seal",
    "serving_at",
    "serving_periods",
    "timeline",
    "verify",
]
