"""Smoke rows of scores and of classes."""

from __future__ import annotations

from typing import Any

import pytest

from steward.gates import Outcome
from steward.rollout.smoke import judge_smoke

ANSWER = {"small": 0.1, "medium": 0.2, "large": 0.7}


@pytest.mark.parametrize(
    ("expect", "outcome"),
    [
        ({"label": "large"}, Outcome.PASSED),
        ({"label": "large", "min": 0.6}, Outcome.PASSED),
        ({"label": "large", "min": 0.8}, Outcome.FAILED),
        ({"label": "small"}, Outcome.FAILED),
        ({"label": "tiny"}, Outcome.FAILED),
        ({"min": 0.5}, Outcome.PASSED),
        ({"max": 0.5}, Outcome.FAILED),
    ],
)
def test_a_row_of_classes(expect: dict[str, Any], outcome: Outcome) -> None:
    assert judge_smoke([{"row": {}, "expect": expect}], [ANSWER]).outcome is outcome


def test_of_equals_the_first_of_the_spec_is_decided_for() -> None:
    expect = {"label": "small"}
    assert judge_smoke([{"row": {}, "expect": expect}], [{"small": 0.5, "medium": 0.5, "large": 0.0}]).passed


def test_a_label_expected_of_a_score_is_no_silent_pass() -> None:
    verdict = judge_smoke([{"row": {}, "expect": {"label": "small"}}], [0.7])
    assert verdict.outcome is Outcome.FAILED
    assert "expects the class small" in verdict.reasons[0]
