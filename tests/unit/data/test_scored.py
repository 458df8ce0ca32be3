"""Parts of a window, what only the whole shows, and the rows that go into the table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from tests.unit.specs import a_data_section, a_spec

from steward.data.privacy import keyed_hash
from steward.data.scored import Whole, days_of, decision_ids, in_parts, scored_rows
from steward.data.sources import unlabelled_columns
from steward.gates import Verdict
from steward.serving.answers.contract import RequestContract
from steward.serving.log.answered_rows import FeatureLayout
from steward.spec import ModelSpec
from steward.types import VersionRef, Window

END = datetime(2013, 4, 3, tzinfo=UTC)
WINDOW = Window.ending(END, timedelta(days=2))
WALL = datetime(2026, 1, 1, tzinfo=UTC)
KEY = b"k" * 32


def frame(count: int, first: int = 0) -> pd.DataFrame:
    times = pd.date_range(WINDOW.start, periods=count, freq="1min", tz="UTC")
    ids = [f"f{n}" for n in range(first, first + count)]
    return pd.DataFrame({"flight_id": ids, "departure": times, "distance": 5, "carrier": "UA", "who": "ada"})


def spec_of(**data: Any) -> ModelSpec:
    features = {"distance": {"type": "number"}, "carrier": {"type": "category", "max_missing": 1}}
    return a_spec(data=a_data_section(features, **data))


def test_a_window_is_its_days() -> None:
    days = list(days_of(WINDOW))
    assert [day.start.day for day in days] == [1, 2]
    assert days[-1].end == WINDOW.end


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([], []),
        ([0, 0], []),
        ([3], [3]),
        ([10], [10]),
        ([25, 1], [26]),  # the one row left over is not judged by itself
        ([4, 4, 4, 4, 4, 4], [12, 12]),
        ([10, 10, 3], [10, 13]),
        ([5, 0, 5, 10, 9], [10, 19]),
    ],
)
def test_parts_are_as_large_as_agreed_and_lose_nothing(sizes: list[int], parts: list[int]) -> None:
    frames = [frame(size, sum(sizes[:place])) for place, size in enumerate(sizes)]
    found = list(in_parts(frames, least=10))
    assert [len(part) for part in found] == parts
    ids = [name for part in found for name in part["flight_id"]]
    assert ids == [f"f{n}" for n in range(sum(sizes))]


def test_an_id_in_two_parts_is_found() -> None:
    whole = Whole(spec_of(), WINDOW)
    whole.add(frame(10))
    whole.add(frame(10, first=8))
    verdict = Verdict.of(whole.findings())
    assert verdict.reasons == ("2 of 20 rows have a flight_id that another row has",)


def test_decisions_are_the_same_whenever_a_row_is_scored() -> None:
    spec = spec_of()
    assert decision_ids(spec, frame(10), KEY)[5:] == decision_ids(spec, frame(10)[5:], KEY)
    assert len(set(decision_ids(spec, frame(10), KEY))) == 10
    later = frame(10).assign(departure=lambda f: f["departure"] + pd.Timedelta(days=1))
    assert set(decision_ids(spec, later, KEY)).isdisjoint(decision_ids(spec, frame(10), KEY))


def test_the_key_is_in_decisions_only_where_the_id_is_private() -> None:
    assert decision_ids(spec_of(), frame(3), KEY) == decision_ids(spec_of(), frame(3), b"other")
    private = spec_of(privacy={"flight_id": "hash"})
    assert decision_ids(private, frame(3), KEY) != decision_ids(private, frame(3), b"other")


@pytest.mark.parametrize(
    ("privacy", "keys"),
    [({}, "plain"), ({"flight_id": "keep"}, "plain"), ({"flight_id": "hash"}, "hash"), ({"flight_id": "drop"}, "ids")],
)
def test_ids_are_in_the_table_as_privacy_allows(privacy: dict[str, str], keys: str) -> None:
    spec = spec_of(privacy=privacy)
    table = scored_rows(spec, VersionRef("flight_delays", 3), frame(2), [0.1, 0.9], WALL, KEY)
    ids = table["decision_id"].to_pylist()
    hashed = [keyed_hash(KEY, "flight_delays", name) for name in ("f0", "f1")]
    assert table["request_key"].to_pylist() == {"plain": ["f0", "f1"], "hash": hashed, "ids": ids}[keys]


def test_an_id_that_names_a_person_is_hashed_unasked() -> None:
    spec = spec_of(subject="flight_id")
    table = scored_rows(spec, VersionRef("flight_delays", 3), frame(1), [0.1], WALL, KEY)
    assert table["request_key"].to_pylist() == table["subject"].to_pylist() == [keyed_hash(KEY, "flight_delays", "f0")]
    assert decision_ids(spec, frame(1), KEY) != decision_ids(spec, frame(1), b"other")


def test_features_and_persons_are_hashed_as_a_model_server_hashes_them() -> None:
    """Or one person would be two, asked by one way and scored by the other."""
    spec = spec_of(privacy={"carrier": "hash", "distance": "drop"}, subject="who", other_columns=["who"])
    rows = frame(2).assign(carrier=["UA", None])
    table = scored_rows(spec, VersionRef("flight_delays", 3), rows, [0.1, 0.9], WALL, KEY)
    layout = FeatureLayout(spec, KEY)
    assert table["f_carrier"].to_pylist() == [layout._hash("UA"), None]
    assert table["subject"].to_pylist() == [layout._hash("ada")] * 2
    assert "f_distance" not in table.column_names
    assert "f_who" not in table.column_names


def test_groups_are_logged_as_a_model_server_logs_them() -> None:
    """Or one group would be two, asked by one way and scored by the other."""
    data = {"other_columns": ["race", "age_band"], "protected": ["race", "age_band", "carrier"]}
    spec = spec_of(privacy={"race": "keep"}, **data)
    rows = frame(3).assign(race=["black", None, "white"], age_band=[3, 3.0, float("nan")])
    table = scored_rows(spec, VersionRef("flight_delays", 3), rows, [0.1, 0.5, 0.9], WALL, KEY)
    assert table["g_race"].to_pylist() == ["black", None, "white"]
    assert table["g_age_band"].to_pylist() == [keyed_hash(KEY, "flight_delays", "3")] * 2 + [None]
    assert "g_carrier" not in table.column_names, "a protected feature is logged as the feature it is"
    asked = RequestContract(spec).check({"distance": [5], "carrier": ["UA"], "age_band": [3]}, 1, ("distance",))
    assert FeatureLayout(spec, KEY).keep(asked) == (5, "UA", None, "3")


def test_groups_are_read_with_the_rows_to_be_scored() -> None:
    spec = spec_of(other_columns=["race"], protected=["race", "carrier"])
    assert unlabelled_columns(spec) == ["flight_id", "departure", "distance", "carrier", "race"]
    assert spec.data.accompanying == ("race",)
    assert [spec.data.logged_as(name) for name in ("race", "carrier", "flight_id")] == ["hash", "keep", "drop"]
