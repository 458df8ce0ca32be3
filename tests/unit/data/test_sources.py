"""What a source may return, and how the past is read without knowing its future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from tests.unit.specs import a_data_section, a_spec

from steward.data.contract import contract_of
from steward.data.sources import read_unlabelled, read_window
from steward.errors import DataError
from steward.types import Window

END = datetime(2013, 4, 1, tzinfo=UTC)
WINDOW = Window.ending(END, timedelta(days=3))


def rows() -> pd.DataFrame:
    times = pd.date_range(WINDOW.start, WINDOW.end, freq="1h", inclusive="left")
    ids = [f"f{i}" for i in range(len(times))]
    return pd.DataFrame({"flight_id": ids, "departure": times, "late": 1, "distance": 5.0, "carrier": "UA", "extra": 1})


def read(frame: Any, spec: Any = None) -> pd.DataFrame:
    return read_window(spec or a_spec(), WINDOW, END, lambda start, end: frame)


def test_rows_come_back_in_time_order_with_declared_columns_only() -> None:
    frame = read(rows().sample(frac=1, random_state=1))
    assert frame["departure"].is_monotonic_increasing
    assert "extra" not in frame


def test_a_label_that_had_not_arrived_is_unknown() -> None:
    spec = a_spec()
    late = a_data_section(
        spec.data.model_dump(mode="json")["features"], label={"column": "late", "arrives_after": "1d"}
    )
    frame = read(rows(), a_spec(data=late))
    known = frame[frame["late"].notna()]
    assert known["departure"].max() == pd.Timestamp(END - timedelta(days=1))
    assert frame["late"].isna().sum() == 23


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ([1, 2], "returned list"),
        (rows().drop(columns="carrier"), "lacks carrier"),
        (rows().head(0), "has no rows"),
        (rows().assign(departure=pd.Timestamp(END)), "no time inside"),
        (rows().assign(flight_id="same"), "appear twice"),
    ],
    ids=["not a frame", "missing column", "empty", "outside", "duplicate"],
)
def test_what_cannot_be_used_is_refused_with_the_way_out(frame: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read(frame)
    assert caught.value.hint


def test_rows_to_be_scored_need_no_label_and_may_be_none() -> None:
    frame = rows().drop(columns="late").sample(frac=1, random_state=1)
    found = read_unlabelled(a_spec(), WINDOW, lambda start, end: frame)
    assert list(found.columns) == ["flight_id", "departure", "distance", "carrier"]
    assert found["departure"].is_monotonic_increasing
    assert read_unlabelled(a_spec(), WINDOW, lambda start, end: frame[:0]).empty
    with pytest.raises(DataError, match="lacks carrier"):
        read_unlabelled(a_spec(), WINDOW, lambda start, end: frame.drop(columns="carrier"))


def test_what_the_contract_asks_for_is_what_a_snapshot_holds_and_no_person_is_named_in_it() -> None:
    features = a_spec().data.model_dump(mode="json")["features"]
    spec = a_spec(data=a_data_section(features, other_columns=["extra", "who"], subject="who", privacy={"who": "hash"}))
    frame = read(rows().assign(who="ada"), spec)
    assert "extra" in frame
    assert "who" not in frame
    assert set(contract_of(spec)["columns"]) == set(frame.columns)
