"""A document is kept to the last letter, and found again, in memory and in PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_YAML, build_life

from steward import actions
from steward.actions.state import Services
from steward.inventory.documents import MAX_BYTES, template
from steward.ledger import documents_of, stage_of
from steward.types import Stage


@pytest.fixture
def services(database: Any, tmp_path: Path) -> Services:
    return replace(build_life(tmp_path, MODEL_YAML).services, database=database)


def largest(services: Services) -> str:
    form = services.stages().form("use_case")
    text = template(form, "toy")
    for section in form.sections:
        text = text.replace(f"<{section.hint}>", 'Größe, 利率, "quotes" and \\ signs 🏠 ' * 20)
    return text + "a" * (MAX_BYTES - len(text.encode()) - 1) + "\n"


def test_the_largest_document_comes_back_as_it_was(services: Services) -> None:
    text = largest(services)
    assert len(text.encode()) == MAX_BYTES
    filed = {"model": "toy", "kind": "use_case", "title": "Größe", "text": text, "by": "mo", "via": "test"}
    first = actions.file_document(services, **filed)
    again = actions.file_document(services, **filed)
    assert (first["filed"], again["filed"]) == (True, False)
    with services.database.begin() as tx:
        events = tx.events.read(model="toy")
        document = documents_of(events)["use_case"]
        assert tx.evidence.get(document.digest).body["text"] == text
        assert tx.events.verify().intact
    stage = stage_of(events)
    assert stage is not None
    assert (stage.stage, stage.by) == (Stage.USE_CASE, "person:mo")
