"""Versions, the table of allowed transitions, compare-and-set promotion."""

from steward.registry.versions import (
    TRANSITIONS,
    ModelVersion,
    NewVersion,
    State,
    VersionTable,
    check_transition,
)

__all__ = ["TRANSITIONS", "ModelVersion", "NewVersion", "State", "VersionTable", "check_transition"]
