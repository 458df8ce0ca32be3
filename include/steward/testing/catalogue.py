"""A stage catalogue for tests that are about something else."""

from __future__ import annotations

from steward.inventory.stages import StageCatalogue
from steward.types import Stage

_NOTE = {
    "title": "Note",
    "purpose": "To be filed.",
    "min_words": 1,
    "sections": [{"heading": "Text", "hint": "anything", "min_words": 1}],
}


def asks_nothing() -> StageCatalogue:
    """Every stage is entered freely; one kind of document, `note`, may be filed."""
    stages: dict[str, dict[str, str]] = {stage.value: {} for stage in Stage}
    raw = {"version": "test", "effective_from": "2000-01-01", "documents": {"note": _NOTE}, "stages": stages}
    return StageCatalogue.model_validate(raw)
