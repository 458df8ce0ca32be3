"""The picture of a window: drawn of a sample, with the verdict's findings, and when it is wanted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.actions.test_life import serve_week

from steward.actions.windows import drift_reports


class Drawn:
    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def write(self, reference: Any, current: Any, columns: Any, path: Any, title: str, findings: Any) -> None:
        self.calls.append({"reference": reference, "current": current, "title": title, "findings": findings})


@pytest.fixture
def drawn(life: Any) -> Drawn:
    reporter = Drawn()
    life.services = replace(life.services, reporter=reporter)
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    life.clock.advance(timedelta(days=5))
    serve_week(life, informative=True)
    return reporter


def test_a_large_window_is_sampled_evenly_and_says_so(life: Any, drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_reports, "MOST_ROWS", 300)
    judged = life.do("judge_window", "night")
    assert life.do("write_report", "night", evidence=judged["evidence"])["report"]
    (call,) = drawn.calls
    assert len(call["current"]) == 300
    assert call["title"].endswith("300 of its 1400 answers")
    assert list(call["current"].columns) == ["x"]
    assert call["current"]["x"].notna().all()
    assert abs(call["current"]["x"].mean()) < 0.3
    assert {finding.gate for finding in call["findings"]} >= {"drift.psi:x"}


def test_it_is_drawn_weekly_though_nothing_is_wrong(life: Any, drawn: Drawn) -> None:
    for night, wanted in ((0, True), (1, False), (6, True)):
        life.clock.advance(timedelta(days=night))
        judged = life.do("judge_window", f"night {night}")
        made = life.do("write_report", f"night {night}", evidence=judged["evidence"])
        assert (made["report"] is not None) is wanted, made
