"""What the evidence of a window says in a few words: the worst feature, and real outcomes apart from estimates."""

from __future__ import annotations

from typing import Any

import pytest

from steward.gates import Finding, Outcome, Verdict
from steward.reporting.newest_window import NOT_WATCHED, window_told
from steward.types import JsonObject

PASSED, FAILED, INCONCLUSIVE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE


def told(*findings: Finding) -> JsonObject:
    return window_told({"verdict": Verdict.of(findings).to_json()})


def drift(gate: str, outcome: Outcome, value: float | None = 0.1, limit: float = 0.25) -> Finding:
    return Finding(f"drift.{gate}", outcome, f"{gate} moved", value, limit)


def lost(outcome: Outcome, reason: str = "so", **more: Any) -> Finding:
    return Finding("performance.roc_auc", outcome, reason, **more)


def test_the_worst_feature_failed_or_else_is_nearest_to_its_limit() -> None:
    near, far = drift("psi:near", PASSED, 0.2), drift("psi:far", PASSED, 0.01)
    gone = drift("missing:gone", FAILED, 0.06, 0.05)
    assert told(far, near)["drift"] == {
        "outcome": "PASSED",
        "worst": {"feature": "near", "check": "psi", "value": 0.2, "limit": 0.25, "outcome": "PASSED"},
    }
    assert told(far, near, gone)["drift"]["worst"]["feature"] == "gone"


def test_the_answers_and_the_estimate_are_no_feature() -> None:
    found = told(drift("prediction_psi", FAILED, 0.9), drift("estimated:roc_auc", FAILED, 0.9))
    assert found["drift"] == {"outcome": "FAILED", "worst": None}
    assert found["estimated"] == "FAILED"


def test_a_feature_without_a_value_is_not_the_worst() -> None:
    assert told(drift("psi:a", INCONCLUSIVE, None))["drift"] == {"outcome": "INCONCLUSIVE", "worst": None}


@pytest.mark.parametrize(
    ("findings", "outcome", "reason"),
    [
        ([lost(PASSED)], "PASSED", None),
        ([lost(FAILED, "lost"), lost(PASSED)], "FAILED", "lost"),
        ([lost(FAILED, "on a slice", slice="x > 3"), lost(FAILED, "overall")], "FAILED", "overall"),
        ([lost(FAILED, "on a slice", slice="x > 3"), lost(PASSED)], "FAILED", "on a slice"),
        ([lost(INCONCLUSIVE, "no outcome is due")], "INCONCLUSIVE", "no outcome is due"),
        ([Finding("monitor.rows", PASSED, "enough")], None, NOT_WATCHED),
        ([Finding("monitor.rows", INCONCLUSIVE, "12 rows, 100 are needed")], None, "12 rows, 100 are needed"),
        ([drift("estimated:roc_auc", PASSED)], None, NOT_WATCHED),
    ],
)
def test_performance_is_of_real_outcomes_alone(
    findings: list[Finding], outcome: str | None, reason: str | None
) -> None:
    assert told(*findings)["performance"] == {"outcome": outcome, "reason": reason}


def test_an_empty_verdict_says_that_nothing_is_known() -> None:
    found = told()
    assert (found["drift"]["outcome"], found["performance"]["outcome"], found["estimated"]) == (None, None, None)
