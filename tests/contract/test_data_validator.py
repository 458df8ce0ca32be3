"""What every DataValidator must do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.specs import a_data_section, a_spec

from steward.adapters.gx_contract import GxDataValidator
from steward.data import DataValidator
from steward.data.contract import contract_of, judge_contract
from steward.testing.data_validator import FakeDataValidator
from steward.types import Window

MARCH = Window(datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 4, 1, tzinfo=UTC))
FEATURES = {
    "distance": {"type": "number", "min": 0, "max": 6000, "max_missing": 0.1, "max_out_of_range": 0.05},
    "seats": {"type": "integer", "min": 1, "max_missing": 0.5},
    "origin": {"type": "category", "levels": ["EWR", "JFK", "LGA"]},
    "hub": {"type": "boolean"},
    "remark": {"type": "text", "max_missing": 1.0},
}
CONTRACT = contract_of(a_spec(data=a_data_section(FEATURES, min_rows=100)), MARCH)
ROWS = 200


@pytest.fixture(scope="module", params=[FakeDataValidator, GxDataValidator], ids=["fake", "great_expectations"])
def validator(request: pytest.FixtureRequest) -> DataValidator:
    return request.param()


def a_frame() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "flight_id": [f"f{i}" for i in range(ROWS)],
            "departure": pd.date_range(MARCH.start, MARCH.end, periods=ROWS + 1, inclusive="left"),
            "late": [np.nan, *draw.integers(0, 2, ROWS - 1)],
            "distance": draw.uniform(100, 5000, ROWS),
            "seats": [np.nan, *draw.integers(1, 300, ROWS - 1)],
            "origin": draw.choice(["EWR", "JFK", "LGA"], ROWS),
            "hub": draw.random(ROWS) < 0.5,
            "remark": [None, *["late crew"] * (ROWS - 1)],
        }
    )


def spoiled(frame: pd.DataFrame, column: str, rows: int, value: Any) -> pd.DataFrame:
    return frame.assign(**{column: frame[column].astype(object).mask(frame.index < rows, value).infer_objects()})


def test_a_sound_frame_keeps_every_line(validator: DataValidator) -> None:
    result = validator.validate(CONTRACT, a_frame())
    assert [row for row in result["results"] if not row["success"]] == []
    assert result["success"]
    assert judge_contract(result).passed


@pytest.mark.parametrize("dtype", ["category", "string"])
def test_extension_types_are_read_as_what_they_hold(validator: DataValidator, dtype: str) -> None:
    frame = a_frame().astype({"origin": dtype, "seats": "Int64", "hub": "boolean", "distance": "float32"})
    assert judge_contract(validator.validate(CONTRACT, frame)).reasons == ()


def test_a_feature_may_be_called_self(validator: DataValidator) -> None:
    contract = contract_of(a_spec(data=a_data_section({"self": {"type": "category"}}, min_rows=100)), MARCH)
    frame = a_frame().rename(columns={"origin": "self"}).astype({"self": "category"})
    assert judge_contract(validator.validate(contract, frame)).reasons == ()


Spoil = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    ("spoil", "broken", "said"),
    [
        (lambda f: f.head(99), "data.rows", "99 rows, at least 100"),
        (lambda f: f.head(0), "data.rows", "0 rows, at least 100"),
        (lambda f: f.drop(columns="distance"), "data.column:distance", "column distance is not in the data"),
        (lambda f: f.drop(columns="late"), "data.column:late", "column late is not in the data"),
        (lambda f: spoiled(f, "distance", 1, "far"), "data.type:distance", "another type than declared"),
        (lambda f: f.assign(origin=3), "data.type:origin", "another type than declared"),
        (lambda f: spoiled(f, "distance", 21, np.nan), "data.missing:distance", "10.50% of rows, 10.00% is allowed"),
        (lambda f: f.assign(seats=np.nan), "data.missing:seats", "100.00% of rows, 50.00% is allowed"),
        (lambda f: spoiled(f, "distance", 11, 7000.0), "data.range:distance", "5.50% of values, 5.00% is allowed"),
        (lambda f: spoiled(f, "seats", 3, 0.0), "data.range:seats", "seen: 0"),
        (lambda f: spoiled(f, "origin", 1, "XXX"), "data.levels:origin", "seen: XXX"),
        (lambda f: spoiled(f, "late", 2, 2.0), "data.levels:late", "late is outside its levels"),
        (lambda f: spoiled(f, "flight_id", 2, "f9"), "data.unique:flight_id", "not unique"),
        (lambda f: spoiled(f, "flight_id", 1, None), "data.missing:flight_id", "missing in 0.50% of rows"),
        (
            lambda f: f.assign(departure=f["departure"] + timedelta(days=1)),
            "data.window:departure", "outside the window",
        ),
        (
            lambda f: f.assign(departure=MARCH.start + (f["departure"] - MARCH.start) * 0.9),
            "data.freshness:departure", "the data is late",
        ),
    ],
)  # fmt: skip
def test_a_broken_line_is_found_and_said(validator: DataValidator, spoil: Spoil, broken: str, said: str) -> None:
    result = validator.validate(CONTRACT, spoil(a_frame()))
    json.dumps(result, allow_nan=False)
    assert not result["success"]
    failed = {finding.gate: finding.reason for finding in judge_contract(result).failed()}
    assert broken in failed
    assert said in failed[broken]


def test_shares_up_to_the_limit_are_allowed(validator: DataValidator) -> None:
    frame = spoiled(spoiled(a_frame(), "distance", 20, np.nan), "seats", 100, np.nan)
    assert judge_contract(validator.validate(CONTRACT, frame)).reasons == ()


def test_a_broken_line_does_not_hide_another(validator: DataValidator) -> None:
    frame = spoiled(a_frame(), "distance", 1, "far").drop(columns="hub").assign(seats=np.nan)
    failed = {finding.gate for finding in judge_contract(validator.validate(CONTRACT, frame)).failed()}
    assert failed >= {"data.type:distance", "data.column:hub", "data.missing:seats"}


def test_the_frame_is_left_as_it_was(validator: DataValidator) -> None:
    frame = a_frame()
    validator.validate(CONTRACT, frame)
    pd.testing.assert_frame_equal(frame, a_frame())


def test_one_validator_judges_many_frames(validator: DataValidator) -> None:
    assert [validator.validate(CONTRACT, f)["success"] for f in (a_frame(), a_frame().head(5), a_frame())] == [
        True, False, True,
    ]  # fmt: skip
