"""Which families are asked of a window, and what their findings come to, cause by cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.monitoring.readings import WEEK
from tests.unit.specs import a_spec

from steward.gates import Finding, Outcome, Verdict
from steward.monitoring.checks import judging
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import OperationTally, Tally
from steward.monitoring.windows import Cause

Ask = Callable[[int], Verdict]
FINDINGS = {
    "AT_ANY_SIZE": [
        Finding("monitor.rows", Outcome.PASSED, "counted"),
        Finding("operation.unscored", Outcome.PASSED, "all had a score"),
        Finding("operation.error_rate", Outcome.FAILED, "too many failed"),
        Finding("data.clock", Outcome.PASSED, "no clock is ahead"),
    ],
    "FAMILIES": [Finding("drift.psi:x", Outcome.PASSED, "steady"), Finding("data.type:x", Outcome.FAILED, "broken")],
    "FROM_ROWS": [Finding("drift.domain_classifier", Outcome.INCONCLUSIVE, "too few rows")],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Families that only say what they are told to; which of them were asked."""
    calls: list[str] = []

    def family(name: str) -> Callable[[Reading], list[Finding]]:
        return lambda reading: (calls.append(name), FINDINGS[name])[1]

    for name in FINDINGS:
        monkeypatch.setattr(judging, name, (family(name),))
    return calls


def a_reading(rows: int) -> Reading:
    return Reading(a_spec(monitoring={"min_rows": 100}), {}, WEEK, Tally("p", operation=OperationTally(rows)))


def test_a_window_with_rows_enough_is_judged_by_every_family_the_dear_ones_last(asked: list[str]) -> None:
    verdict = judging.judge(a_reading(100))
    assert asked == ["AT_ANY_SIZE", "FAMILIES", "FROM_ROWS"]
    assert verdict.findings == tuple(finding for findings in FINDINGS.values() for finding in findings)


def test_a_window_that_is_caught_up_is_judged_from_counts_alone(asked: list[str]) -> None:
    judging.judge(a_reading(100), from_rows=False)
    assert asked == ["AT_ANY_SIZE", "FAMILIES"]


def test_what_asks_for_rows_is_not_passed_in_silence_where_there_are_none(asked: list[str]) -> None:
    drift = {"domain_classifier": {"max": 0.65}, "attribution": {"min": 0.9}}
    reading = replace(a_reading(100), spec=a_spec(monitoring={"min_rows": 100, "drift": drift}))
    found = {each.gate: each for each in judging.judge(reading, from_rows=False).findings}
    for name in drift:
        assert found[f"drift.{name}"].outcome is Outcome.INCONCLUSIVE
        assert "judged from counts alone" in found[f"drift.{name}"].reason


def test_of_too_few_rows_nothing_is_said_to_hold_but_what_failed_failed(asked: list[str]) -> None:
    verdict = judging.judge(a_reading(99))
    assert asked == ["AT_ANY_SIZE"]
    assert {finding.gate: finding.outcome.value for finding in verdict.findings} == {
        "monitor.rows": "PASSED",
        "operation.unscored": "INCONCLUSIVE",
        "operation.error_rate": "FAILED",
        "data.clock": "PASSED",
    }
    assert verdict.findings[1].reason == "too few rows to rely on: all had a score"


def test_each_cause_has_an_outcome_once_it_was_judged(asked: list[str]) -> None:
    verdict = judging.judge(a_reading(100))
    assert judging.outcome_by_cause(verdict) == {
        Cause.DATA: Outcome.FAILED,
        Cause.DRIFT: Outcome.INCONCLUSIVE,
        Cause.OPERATION: Outcome.FAILED,
        Cause.MONITOR: Outcome.PASSED,
    }
    assert judging.causes(verdict) == (Cause.DATA, Cause.OPERATION)


def test_nothing_judged_has_no_outcome() -> None:
    assert judging.outcome_by_cause(Verdict()) == {}
    assert judging.causes(Verdict()) == ()
