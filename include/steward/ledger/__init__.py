"""The record of what happened: append-only, hash-chained under a key."""

from steward.ledger.events import MEANING, AuditEvent, EventDraft, EventLog, EventType

__all__ = ["MEANING", "AuditEvent", "EventDraft", "EventLog", "EventType"]
