"""What every SnapshotStore must do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from steward.adapters.delta_snapshots import DeltaSnapshotStore, canonical_table, rows_digest
from steward.data import SnapshotStore
from steward.errors import DataError, IntegrityError, NotFoundError
from steward.testing.data_stores import FakeSnapshotStore
from steward.types import Window

JANUARY = Window(datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC))
FEBRUARY = Window(datetime(2013, 2, 1, tzinfo=UTC), datetime(2013, 3, 1, tzinfo=UTC))


@pytest.fixture(params=["fake", "delta"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    return FakeSnapshotStore() if request.param == "fake" else DeltaSnapshotStore(str(tmp_path))


def flights(rows: int = 500) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "flight_id": [f"f{i}" for i in range(rows)],
            "scheduled_departure": pd.date_range("2013-01-01", periods=rows, freq="min", tz="UTC"),
            "distance": random.integers(100, 3000, rows),
            "temp": np.where(random.random(rows) < 0.1, np.nan, random.normal(size=rows)),
            "carrier": random.choice(["UA", "AA", None], rows),
            "late": random.random(rows) < 0.2,
        }
    )


def test_rows_come_back_in_order_with_their_types(store: SnapshotStore) -> None:
    frame = flights()
    read = store.read(store.write("flight_delays", JANUARY, frame))
    assert list(read["flight_id"]) == list(frame["flight_id"])
    assert read["distance"].dtype == "int64"
    assert read["late"].dtype == "bool"
    pd.testing.assert_series_equal(read["temp"], frame["temp"])
    assert [c is None for c in read["carrier"]] == [c is None for c in frame["carrier"]]


def test_the_same_rows_for_the_same_window_are_the_same_snapshot(store: SnapshotStore) -> None:
    first = store.write("flight_delays", JANUARY, flights())
    second = store.write("flight_delays", JANUARY, flights(400))
    assert store.write("flight_delays", JANUARY, flights()) == first
    assert (second.version, second.rows) == (first.version + 1, 400)
    assert store.write("flight_delays", FEBRUARY, flights()).version == second.version + 1


def test_an_older_snapshot_still_reads_after_newer_ones(store: SnapshotStore) -> None:
    first = store.write("flight_delays", JANUARY, flights(100))
    store.write("flight_delays", JANUARY, flights(50).assign(extra=1.5))
    assert len(store.read(first)) == 100
    assert list(store.read(first, ["late", "distance"]).columns) == ["late", "distance"]


def test_an_empty_snapshot_keeps_its_columns(store: SnapshotStore) -> None:
    snapshot = store.write("flight_delays", JANUARY, flights(0))
    assert snapshot.rows == 0
    assert list(store.read(snapshot).columns) == list(flights(0).columns)


def test_a_snapshot_that_is_gone_is_not_found(store: SnapshotStore) -> None:
    snapshot = store.write("flight_delays", JANUARY, flights())
    with pytest.raises(NotFoundError, match="gone"):
        store.read(replace(snapshot, version=7))
    with pytest.raises(NotFoundError, match="gone"):
        store.read(replace(snapshot, table="snapshots/nobody"))


def test_a_column_of_mixed_values_is_named(store: SnapshotStore) -> None:
    with pytest.raises(DataError, match="column distance"):
        store.write("flight_delays", JANUARY, pd.DataFrame({"distance": [1, "two"]}))


def test_altered_rows_are_noticed(tmp_path: Path) -> None:
    store = DeltaSnapshotStore(str(tmp_path))
    first = store.write("flight_delays", JANUARY, flights())
    other = store.write("flight_delays", JANUARY, flights().assign(distance=1))
    with pytest.raises(IntegrityError, match="the rows have digest"):
        store.read(replace(other, digest=first.digest))


def test_concurrent_writers_each_get_their_own_rows(tmp_path: Path) -> None:
    def write(size: int) -> int:
        store = DeltaSnapshotStore(str(tmp_path))
        return len(store.read(store.write("flight_delays", JANUARY, flights(size))))

    sizes = [10, 11, 12, 10, 11, 12]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(write, sizes)) == sizes
    history = {DeltaSnapshotStore(str(tmp_path)).write("flight_delays", JANUARY, flights(n)).version for n in sizes}
    assert history == {0, 1, 2}


@pytest.mark.parametrize(
    "noise",
    [
        lambda f: f.astype({"distance": "int32"}),
        lambda f: f.astype({"distance": "Int64"}),
        lambda f: f.astype({"distance": "float64"}),
        lambda f: f.astype({"carrier": "category"}),
        lambda f: f.astype({"flight_id": "string"}),
        lambda f: f.assign(scheduled_departure=f["scheduled_departure"].dt.tz_convert("America/New_York")),
        lambda f: f.assign(scheduled_departure=f["scheduled_departure"].dt.as_unit("us")),
        lambda f: f[sorted(f.columns)],
        lambda f: f.set_index(f.index + 7),
    ],
)
def test_the_digest_does_not_see_how_pandas_holds_a_value(
    noise: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    assert rows_digest(canonical_table(noise(flights()))) == rows_digest(canonical_table(flights()))


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.iloc[::-1],
        lambda f: f.iloc[:-1],
        lambda f: f.rename(columns={"temp": "dewp"}),
        lambda f: f.assign(distance=f["distance"].where(f.index != 3, -1)),
        lambda f: f.assign(temp=f["temp"].fillna(0.0)),
        lambda f: f.assign(carrier=f["carrier"].fillna("")),
    ],
)
def test_the_digest_sees_every_change(change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    assert rows_digest(canonical_table(change(flights()))) != rows_digest(canonical_table(flights()))


def test_large_integers_are_told_apart() -> None:
    one, other = (canonical_table(pd.DataFrame({"id": [2**53 + step]})) for step in (1, 2))
    assert rows_digest(one) != rows_digest(other)


def test_a_file_that_was_rewritten_is_an_altered_snapshot_and_no_fault_of_the_reader(tmp_path: Path) -> None:
    store = DeltaSnapshotStore(str(tmp_path))
    snapshot = store.write("flight_delays", JANUARY, flights())
    (part,) = (tmp_path / "snapshots" / "flight_delays").glob("*.parquet")
    pd.read_parquet(part).head(100).to_parquet(part, index=False)
    with pytest.raises(IntegrityError):
        store.read(snapshot)
