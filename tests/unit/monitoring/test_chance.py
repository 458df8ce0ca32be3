"""The chance of a false alarm is one for the whole window, whatever is watched."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.specs import a_data_section, a_spec

from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import ALPHA, alpha_each, families
from steward.monitoring.tallies import Tally
from steward.spec import ModelSpec
from steward.types import Window

WEEK = Window(datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 4, 8, tzinfo=UTC))


def a_reading(spec: ModelSpec) -> Reading:
    return Reading(spec, {}, WEEK, Tally("digest"))


@pytest.mark.parametrize(
    ("monitoring", "added"),
    [
        ({}, set()),
        ({"performance": {"roc_auc": {"max_drop": 0.03}}}, {"performance"}),
        ({"estimated": {"accuracy": {"max_drop": 0.03}}, "calibration": {"max": 0.05}}, {"estimation", "calibration"}),
        ({"drift": {"domain_classifier": {"max": 0.65}, "attribution": {"min": 0.9}}}, {"domain", "attribution"}),
        ({"error_rate": {"max": 0.01}}, {"operation"}),
    ],
)
def test_only_what_the_spec_switches_on_takes_a_share(monitoring: dict[str, Any], added: set[str]) -> None:
    spec = a_spec(monitoring={"min_rows": 200, **monitoring})
    assert set(families(spec)) == {"inputs", "trends", "confidence"} | added


def test_all_tests_of_all_families_together_take_alpha() -> None:
    spec = a_spec(
        data=a_data_section({"remark": {"type": "text"}}, protected=["remark"]),
        monitoring={
            "error_rate": {"max": 0.01},
            "business": {"correlation": {"min": 0.1}},
            "fairness": {"demographic_parity_ratio": {"min": 0.8}},
        },
    )
    assert {"words", "fairness", "business", "operation"} < set(families(spec))
    reading, tests = a_reading(spec), 7
    assert alpha_each(reading, tests) * tests * len(families(spec)) == pytest.approx(ALPHA)
    assert alpha_each(reading, 0) == alpha_each(reading, 1)


def test_a_regression_has_no_confidence_to_watch() -> None:
    spec = a_spec(task="regression", evaluation={"holdout": {"days": 14}, "metrics": {"mae": {"max": 9}}})
    assert families(spec) == ("inputs", "trends")
