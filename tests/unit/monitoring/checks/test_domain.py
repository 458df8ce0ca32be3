from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.readings import WEEK
from tests.unit.specs import a_data_section, a_spec

from steward.gates import Outcome
from steward.monitoring.checks.domain import judge_domain
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import Tally

FEATURES = {"x": {"type": "number"}, "y": {"type": "number"}, "name": {"type": "category"}}
SPEC = a_spec(
    data=a_data_section(FEATURES, privacy={"name": "hash"}),
    monitoring={"min_rows": 100, "drift": {"domain_classifier": {"max": 0.65}}},
)


def rows(count: int, seed: int, correlation: float, prefix: str = "") -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=count)
    y = correlation * x + np.sqrt(1 - correlation**2) * draw.normal(size=count)
    return pd.DataFrame({f"{prefix}x": x, f"{prefix}y": y, f"{prefix}name": [f"{prefix}{n}" for n in range(count)]})


def a_reading(reference: pd.DataFrame | None, sample: pd.DataFrame | None, **more: Any) -> Reading:
    return Reading(SPEC, {}, WEEK, Tally("digest"), reference=lambda: reference, sample=lambda: sample, **more)


def test_columns_that_no_longer_go_together_are_named() -> None:
    (found,) = judge_domain(a_reading(rows(600, 0, 0.8), rows(600, 1, -0.8, "f_")))
    assert (found.gate, found.outcome) == ("drift.domain_classifier", Outcome.FAILED)
    assert found.reason.startswith("the window's rows can be told from the reference's by ")
    assert "x (0." in found.reason
    assert "y (0." in found.reason
    assert "name" not in found.reason  # hashed in the log: nothing to compare with
    assert found.value is not None
    assert found.value > found.limit == 0.65


def test_rows_of_the_same_kind_pass() -> None:
    (found,) = judge_domain(a_reading(rows(3000, 0, 0.8), rows(900, 1, 0.8, "f_")))
    assert found.outcome is Outcome.PASSED
    assert found.rows == 900
    assert "at 900 rows against 2000" in found.reason


def test_a_limit_within_chance_cannot_be_judged() -> None:
    spec = a_spec(data=SPEC.data.model_dump(), monitoring={"drift": {"domain_classifier": {"max": 0.51}}})
    reading = a_reading(rows(150, 2, 0.8), rows(150, 3, 0.8, "f_"))
    (found,) = judge_domain(replace(reading, spec=spec))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "cannot be told from chance" in found.reason


@pytest.mark.parametrize(
    ("reference", "sample", "said"),
    [
        (None, rows(200, 0, 0.8, "f_"), "there are 0 rows of the reference, 100 are needed"),
        (rows(200, 0, 0.8), None, "there are 0 rows of the window, 100 are needed"),
        (rows(200, 0, 0.8), rows(99, 0, 0.8, "f_"), "there are 99 rows of the window, 100 are needed"),
        (rows(200, 0, 0.8), pd.DataFrame({"score": np.zeros(200)}), "the window has no column of the reference"),
    ],
)
def test_too_little_is_said(reference: pd.DataFrame | None, sample: pd.DataFrame | None, said: str) -> None:
    (found,) = judge_domain(a_reading(reference, sample))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert said in found.reason


def test_unasked_it_reads_no_row() -> None:
    def refuse() -> pd.DataFrame:
        raise AssertionError("no check needs rows")

    assert judge_domain(Reading(a_spec(), {}, WEEK, Tally("digest"), sample=refuse, reference=refuse)) == []
