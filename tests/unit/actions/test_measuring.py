"""What the exporter tells of a lived life, over HTTP too."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.actions.test_life import serve_week

from steward.actions import roll_back
from steward.actions.telling.measuring import Memory, measure_estate
from steward.adapters.prometheus_text import exporter, to_text
from steward.errors import UnavailableError
from steward.reporting.figures import Figures


@pytest.fixture
def watched(life: Any) -> Any:
    """A version serves, and a bad window was judged."""
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    life.clock.advance(timedelta(days=5))
    serve_week(life, informative=False)
    judged = life.do("judge_window", "night")
    life.do("open_incident", "night", evidence=judged["evidence"])
    return life


def told(life: Any, memory: Memory | None = None) -> dict[str, dict[tuple[str, ...], float]]:
    return measure_estate(life.services, memory or Memory()).values


def test_a_failed_window_is_told_with_its_checks(watched: Any) -> None:
    figures = told(watched)
    assert figures["steward_champion_version"] == {("toy",): 1}
    assert figures["steward_window_outcome"]["toy", "1", "performance", "FAILED"] == 1
    assert figures["steward_check_findings"]["toy", "1", "performance.roc_auc", "FAILED"] == 1
    value, limit = (figures[f"steward_check_{name}"]["toy", "1", "performance.roc_auc"] for name in ("value", "limit"))
    assert value > limit > 0
    assert {labels[1] for labels in figures["steward_incidents"]} >= {"performance"}
    assert figures["steward_window_rows"]["toy", "1"] >= 100


def test_counts_go_on_from_where_they_were(watched: Any) -> None:
    memory = Memory()
    before = told(watched, memory)["steward_events_total"]
    assert told(watched, memory)["steward_events_total"] == before
    watched.clock.advance(timedelta(days=1))
    watched.do("judge_window", "next night")
    after = told(watched, memory)["steward_events_total"]
    assert after["toy", "window.judged"] > before["toy", "window.judged"]
    assert after == told(watched)["steward_events_total"]


def test_a_monitor_that_missed_its_turn_is_told(watched: Any) -> None:
    assert told(watched)["steward_monitor_overdue"] == {("toy",): 0}
    watched.clock.advance(timedelta(days=2))
    assert told(watched)["steward_monitor_overdue"] == {("toy",): 1}


def test_the_exporter_answers_who_has_the_token_and_tells_when_the_record_is_away(watched: Any) -> None:
    answers = iter([measure_estate(watched.services, Memory())])

    def measure() -> Figures:
        for found in answers:
            return found
        raise UnavailableError("the database is away")

    def get(path: str, token: str | None) -> str:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=5) as response:
            return str(response.read().decode())

    with exporter(measure, "127.0.0.1", 0, "s3cret") as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            for path, token, status in (("/metrics", None, 401), ("/metrics", "wrong", 401), ("/", "s3cret", 404)):
                with pytest.raises(urllib.error.HTTPError, match=str(status)):
                    get(path, token)
            first = get("/metrics", "s3cret")
            assert "steward_record_up 1.0" in first
            assert 'steward_events_total{model="toy",type="window.judged"} 1.0' in first
            assert get("/metrics", "s3cret") == to_text(None).decode()
            assert "steward_record_up 0.0" in to_text(None).decode()
        finally:
            server.shutdown()
            thread.join(5)


def test_measures_of_the_portfolio_are_told_and_what_lacks_data_is_absent(watched: Any) -> None:
    figures = told(watched)
    assert figures["steward_measure_ratio"]["pipeline_share", "30"] == 1.0
    assert figures["steward_measure_sample"]["pipeline_share", "30"] == 1
    assert figures["steward_measure_seconds"]["lead_time", "90"] >= 0
    assert figures["steward_measure_average"]["incidents_per_deployment", "90"] >= 1
    assert ("time_to_roll_back", "90") not in figures["steward_measure_seconds"]
    assert figures["steward_measure_sample"]["time_to_roll_back", "90"] == 0
    text = to_text(measure_estate(watched.services, Memory())).decode()
    assert 'steward_measure_ratio{days="30",measure="pipeline_share"} 1.0' in text
    assert 'measure="audit_pass"} 0.0' not in "".join(line for line in text.splitlines() if "_ratio" in line)


def test_measures_go_on_from_where_they_were_and_reread_nothing(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from steward.testing.record import FakeEventLog

    memory, asked = Memory(), []
    told(watched, memory)
    watched.clock.advance(timedelta(days=1))
    watched.do("judge_window", "next night")
    read = FakeEventLog.read

    def noted(log: FakeEventLog, **wanted: Any) -> Any:
        asked.append(wanted)
        return read(log, **wanted)

    monkeypatch.setattr(FakeEventLog, "read", noted)
    again = told(watched, memory)
    assert all(wanted.get("after_seq") or wanted.get("limit") for wanted in asked)
    anew = told(watched)
    for name in (
        "steward_measure_ratio",
        "steward_measure_seconds",
        "steward_measure_average",
        "steward_measure_sample",
    ):
        assert again[name] == anew[name]


def test_a_monitor_has_its_time_after_a_rollback_too(watched: Any) -> None:
    """Since then another version serves: nothing of it can have been judged before."""
    trained = watched.train()
    watched.approve(trained)
    watched.release(trained)
    watched.clock.advance(timedelta(days=2))
    assert told(watched)["steward_monitor_overdue"] == {("toy",): 1}
    roll_back(watched.services, watched.spec, actor="person:ravi", reason="it answers nonsense")
    assert told(watched)["steward_monitor_overdue"] == {("toy",): 0}
    watched.clock.advance(timedelta(days=2))
    assert told(watched)["steward_monitor_overdue"] == {("toy",): 1}
