"""The report is one file with its pictures in it, and what people wrote is text in it, not markup."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.specs import a_spec

from steward.demo.report import write_report
from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.ledger import EventDraft, EventType
from steward.testing import FakeDatabase


def findings(*gates: tuple[str, float, float]) -> dict[str, Any]:
    return Verdict.of(Finding(gate, Outcome.FAILED, "too low", value, limit) for gate, value, limit in gates).to_json()


@pytest.fixture
def database() -> FakeDatabase:
    """A refusal, two judged nights and a promotion."""
    found = FakeDatabase()
    night = {"window": {"start": "2013-04-01", "end": "2013-04-08"}, "outcome": "FAILED"}
    lost = findings(("performance.roc_auc", 0.04, 0.03), ("performance.calibration_gap", 0.07, 0.06))
    with found.begin() as tx:
        for kind, body, verdict, version in [
            (EventType.VERSION_REJECTED, {}, findings(("metric.roc_auc", 0.56, 0.6)), 1),
            (EventType.VERSION_PROMOTED, {"replaced": None}, findings(), 2),
            (EventType.WINDOW_JUDGED, night, lost, 2),
        ]:
            digest = tx.evidence.put(Evidence("any", "flight_delays", {"verdict": verdict, "kind": kind}))
            tx.events.append(EventDraft(kind, "flight_delays", "person:<b>dana</b>", "why", version, digest, body))
    return found


def test_the_story_is_one_file_with_its_pictures(database: FakeDatabase, tmp_path: Path) -> None:
    narrator = SimpleNamespace(seconds=12.0, facts=[("A chapter", "0 < 1 failed")])
    story = SimpleNamespace(spec=a_spec(), database=database, narrator=narrator)
    numbers = {"roc_auc": 0.7, "predicted": 0.2, "seen": 0.25, "calibration_gap": 0.05, "brier": 0.15, "flights": 6000}
    weeks = [{"week": "11 Apr", "version": version, **numbers} for version in (2, 3)]
    with database.begin() as tx:
        events = tx.events.read()
    write_report(tmp_path / "report.html", story, weeks, events)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "0 &lt; 1 failed" in page
    assert "<b>dana" not in page
    assert 'src="http' not in page
    assert f"{datetime.now(UTC):%Y-%m-%d}" in page
