"""What a request must hold, and the forms a model is asked in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from steward.serving.answers.contract import RequestContract
from steward.serving.answers.failures import RefusedRequestError

from .conftest import ROW, make_spec

FEATURES = tuple(ROW)


def contract() -> RequestContract:
    return RequestContract(make_spec())


def columns(*rows: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [{**ROW, **row}[name] for row in rows] for name in ROW}


def refused(*rows: dict[str, Any]) -> RefusedRequestError:
    with pytest.raises(RefusedRequestError) as caught:
        contract().check(columns(*rows), len(rows), FEATURES)
    return caught.value


# Of one row and of several: they are checked by different code.
@pytest.fixture(params=[1, 3])
def others(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return [{}] * (request.param - 1)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"distance": None}, "missing_value"),
        ({"carrier": None}, "missing_value"),
        ({"distance": True}, "wrong_datatype"),
        ({"distance": "1"}, "wrong_datatype"),
        ({"distance": [1.0]}, "wrong_datatype"),
        ({"distance": float("inf")}, "not_finite"),
        ({"distance": float("nan")}, "not_finite"),
        ({"temp": float("-inf")}, "not_finite"),
        ({"distance": 10**400}, "not_finite"),
        ({"stops": 10**400}, "not_finite"),
        ({"stops": float("inf")}, "not_finite"),
        ({"stops": 2**53 + 1}, "not_finite"),
        ({"stops": -1e300}, "not_finite"),
        ({"stops": 0.5}, "wrong_datatype"),
        ({"stops": -0.5}, "wrong_datatype"),
        ({"stops": False}, "wrong_datatype"),
        ({"holiday": 0}, "wrong_datatype"),
        ({"carrier": 7}, "wrong_datatype"),
    ],
)
def test_a_value_that_no_model_may_see_is_refused(
    changed: dict[str, Any], code: str, others: list[dict[str, Any]]
) -> None:
    error = refused(*others, changed)
    assert (error.code, error.where) == (code, next(iter(changed)))
    assert error.hint


def test_the_row_of_a_missing_value_is_named() -> None:
    assert "row 2 has no value" in refused({}, {}, {"distance": None}).what


@pytest.mark.parametrize(
    "changed", [{"temp": None}, {"stops": 2.0}, {"stops": 2**53}, {"distance": 10**300}, {"distance": -1e308}]
)
def test_what_the_contract_allows_stays_as_it_was_sent(changed: dict[str, Any], others: list[dict[str, Any]]) -> None:
    sent = columns(*others, changed)
    assert contract().check(sent, len(others) + 1, FEATURES).columns == sent


def test_levels_never_seen_are_counted(others: list[dict[str, Any]]) -> None:
    batch = contract().check(columns(*others, {"carrier": "ZZ"}), len(others) + 1, FEATURES)
    assert batch.unseen == {"carrier": 1}


def test_a_column_the_spec_does_not_know_is_left_aside() -> None:
    assert "weather" not in contract().check({**columns({}), "weather": ["fog"]}, 1, FEATURES).columns


def test_a_feature_the_version_does_not_need_may_be_left_out() -> None:
    sent = columns({})
    del sent["temp"]
    batch = contract().check(sent, 1, ("distance",))
    with pytest.raises(KeyError, match="temp"):
        batch.frame(FEATURES)


def test_a_frame_holds_numbers_as_float64_and_the_rest_as_objects() -> None:
    batch = contract().check(columns({}, {"temp": None, "stops": 2}), 2, FEATURES)
    frame = batch.frame(("temp", "stops", "carrier", "holiday"))
    assert [str(kind) for kind in frame.dtypes] == ["float64", "float64", "object", "object"]
    assert np.isnan(frame["temp"].iloc[1])
    assert frame["carrier"].tolist() == ["UA", "UA"]
    assert frame["holiday"].tolist() == [False, False]
