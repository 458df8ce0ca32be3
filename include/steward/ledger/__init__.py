"""The record of what happened: append-only, hash-chained under a key."""

from steward.ledger.chain import GENESIS_HASH, Link, event_of, hash_of, link_of, seal
from steward.ledger.checkpoint import Checkpoint, export_checkpoint, parse_checkpoints
from steward.ledger.events import ALL_MODELS, MEANING, AuditEvent, EventDraft, EventLog, EventType
from steward.ledger.export import Extent, FindEvidence, build_export
from steward.ledger.export_check import CheckedExport, check_export
from steward.ledger.governance import (
    EnteredStage,
    FiledDocument,
    Tombstone,
    Waiver,
    documents_of,
    last_review,
    live_waivers,
    person_of,
    stage_of,
    stages_of,
    tombstone_of,
)
from steward.ledger.history import (
    SERVING_EVENTS,
    GivenAnswer,
    Period,
    Serving,
    TimelineRow,
    serving_at,
    serving_periods,
    timeline,
)
from steward.ledger.key import create_key, read_key
from steward.ledger.replay import STATE_EVENTS, RecordedState, approval_is_recorded, replay
from steward.ledger.verify import Break, Tampering, Verification, Weakness, verify, verify_evidence

__all__ = [
    "ALL_MODELS",
    "GENESIS_HASH",
    "MEANING",
    "SERVING_EVENTS",
    "STATE_EVENTS",
    "AuditEvent",
    "Break",
    "CheckedExport",
    "Checkpoint",
    "EnteredStage",
    "EventDraft",
    "EventLog",
    "EventType",
    "Extent",
    "FiledDocument",
    "FindEvidence",
    "GivenAnswer",
    "Link",
    "Period",
    "RecordedState",
    "Serving",
    "Tampering",
    "TimelineRow",
    "Tombstone",
    "Verification",
    "Waiver",
    "Weakness",
    "approval_is_recorded",
    "build_export",
    "check_export",
    "create_key",
    "documents_of",
    "event_of",
    "export_checkpoint",
    "hash_of",
    "last_review",
    "link_of",
    "live_waivers",
    "parse_checkpoints",
    "person_of",
    "read_key",
    "replay",
    "seal",
    "serving_at",
    "serving_periods",
    "stage_of",
    "stages_of",
    "timeline",
    "tombstone_of",
    "verify",
    "verify_evidence",
]
