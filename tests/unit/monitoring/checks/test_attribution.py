from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.monitoring.readings import WEEK
from tests.unit.monitoring.test_attribution import FEATURES, REFERENCE, linear, rows
from tests.unit.specs import a_data_section, a_spec

from steward.gates import Outcome
from steward.monitoring.checks.attribution import judge_attribution
from steward.monitoring.profiles.attribution import attribute
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import Tally

SPEC = a_spec(
    data=a_data_section(FEATURES, privacy={"income": "drop"}),
    monitoring={"min_rows": 100, "drift": {"attribution": {"min": 0.9}}},
)
PROFILE = {"reference": REFERENCE, "attribution": attribute(SPEC, linear, rows(400, 0), REFERENCE).to_json()}


def a_reading(sample: pd.DataFrame | None, **more: Any) -> Reading:
    return Reading(SPEC, more.pop("profile", PROFILE), WEEK, Tally("digest"), sample=lambda: sample, **more)


def test_a_feature_that_takes_over_is_named() -> None:
    """`a` stands still and `b` swings widely: the answers are now about `b`."""
    (found,) = judge_attribution(a_reading(rows(500, 1, "f_", a=0.01, b=20), predict=linear))
    assert found.outcome is Outcome.FAILED
    assert found.reason.startswith("the version relies on other features: b > hub > carrier, at evaluation a > hub > b")
    assert found.value is not None
    assert found.value < 0.9


def test_rows_of_the_same_kind_pass() -> None:
    (found,) = judge_attribution(a_reading(rows(800, 1, "f_"), predict=linear))
    assert (found.gate, found.outcome, found.rows) == ("drift.attribution", Outcome.PASSED, 500)
    assert found.value == pytest.approx(1, abs=0.02)


def refusing(frame: pd.DataFrame) -> Any:
    raise ValueError("unknown carrier")


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (a_reading(rows(500, 1, "f_")), "could not be loaded"),
        (a_reading(None, predict=linear), "there are 0 rows"),
        (a_reading(rows(99, 1, "f_"), predict=linear), "there are 99 rows of the window, 100 are needed"),
        (a_reading(rows(500, 1, "f_"), predict=linear, profile={"reference": REFERENCE}), "without attributions"),
        (a_reading(rows(500, 1, "f_"), predict=refusing), "ValueError: unknown carrier"),
        (a_reading(rows(500, 1, "f_"), predict=lambda f: np.full(len(f), np.nan)), "no finite score"),
        (a_reading(rows(500, 1, "f_")[["f_a"]], predict=lambda f: f["a"]), "no two features"),
    ],
)
def test_what_cannot_be_judged_says_why(reading: Reading, said: str) -> None:
    (found,) = judge_attribution(reading)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert said in found.reason


def test_a_model_that_listens_to_nothing_has_no_ranking() -> None:
    deaf = attribute(SPEC, lambda frame: np.zeros(len(frame)), rows(200, 0), REFERENCE).to_json()
    reading = a_reading(rows(500, 1, "f_"), predict=linear, profile={**PROFILE, "attribution": deaf})
    (found,) = judge_attribution(reading)
    assert found.outcome is Outcome.INCONCLUSIVE


def test_unasked_it_asks_nothing() -> None:
    assert judge_attribution(Reading(a_spec(), PROFILE, WEEK, Tally("digest"), predict=refusing)) == []
