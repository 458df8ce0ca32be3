"""Whatever the log holds: named, counted, never an exception, and never passed over in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.unit.monitoring.tallies.rows import MORNING, binary_spec, profile_of, rows

from steward.monitoring.tallies import Tally
from steward.monitoring.tallies.answers import MOST_GROUPS, OTHERS
from steward.monitoring.tallies.columns import MOST_STRANGE
from steward.monitoring.tallies.counting import count_rows, tally_of
from steward.types import JsonObject

SPEC = binary_spec()
N = 300


@pytest.fixture(scope="module")
def profile() -> JsonObject:
    return profile_of(SPEC, rows(2000, seed=0))


@pytest.fixture(scope="module")
def served() -> pd.DataFrame:
    return rows(N)


@pytest.fixture
def counted(profile: JsonObject, served: pd.DataFrame) -> Callable[..., Tally]:
    """Of rows with some columns changed. Each time: it is plain JSON that a database takes, and adds up."""

    def count(**changed: Any) -> Tally:
        frame = served.drop(columns=[name for name, column in changed.items() if column is None])
        given = {name: column for name, column in changed.items() if column is not None}
        tally = tally_of(SPEC, profile, "d", frame.assign(**given))
        assert tally.rows == N
        for column in tally.columns.values():
            assert column.rows == N
            assert sum(column.counts) == column.known or not column.counts
        text = json.dumps(tally.to_json(), allow_nan=False)
        assert "\\u0000" not in text
        assert Tally.from_json(json.loads(text)) == tally
        assert (tally + tally).rows == 2 * N
        return tally

    return count


def objects(*first: Any, rest: Any) -> list[Any]:
    return [*first, *([rest] * (N - len(first)))]


# --- columns --------------------------------------------------------------------------------------


def test_a_column_that_is_gone(counted: Callable[..., Tally]) -> None:
    found = counted(f_temp=None).columns
    assert (found["temp"].absent, found["temp"].known, found["temp"].missing_share) == (N, 0, None)
    assert found["weekday"].absent == 0


def test_a_column_that_nobody_declared_is_not_looked_at(counted: Callable[..., Tally]) -> None:
    assert "new" not in counted(f_new=1.0).columns


def test_a_number_that_became_a_text(counted: Callable[..., Tally]) -> None:
    found = counted(f_temp=objects("warm", "31.5", None, "", rest=20.0)).columns["temp"]
    assert (found.broken, found.example, found.missing) == (2, "warm", 1)
    assert found.known == N - 3  # "31.5" says a number
    assert found.moments.high == 31.5


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([[1.0, 2.0]] * N),
        pd.Series([{"a": 1}] * N),
        pd.Series([b"\x00\xff"] * N),
        pd.Series(pd.to_datetime(["2013-04-01"] * N, utc=True)),
    ],
    ids=["lists", "records", "bytes", "instants"],
)
@pytest.mark.parametrize("feature", ["temp", "origin", "remark", "hub"])
def test_a_column_of_a_type_that_no_feature_has(counted: Callable[..., Tally], column: pd.Series, feature: str) -> None:
    found = counted(**{f"f_{feature}": column}).columns[feature]
    assert (found.broken, found.known) == (N, 0)
    assert found.example


def test_a_text_that_became_a_number(counted: Callable[..., Tally]) -> None:
    found = counted(f_remark=np.arange(N)).columns["remark"]
    assert (found.broken, found.example) == (N, "0")


def test_a_level_that_became_a_number_is_a_level_nobody_knows(counted: Callable[..., Tally]) -> None:
    found = counted(f_origin=[3.0, np.nan, *([7] * (N - 2))]).columns["origin"]
    assert (found.outside, found.missing, found.strange) == (N - 1, 1, {"7": N - 2, "3": 1})


def test_a_column_without_a_value(counted: Callable[..., Tally]) -> None:
    for feature in ("temp", "origin", "remark", "hub", "weekday"):
        for nothing in (np.nan, pd.NA, pd.array([None] * N, dtype="string")):
            found = counted(**{f"f_{feature}": nothing}).columns[feature]
            assert (found.missing, found.known, found.moments.n) == (N, 0, 0)
            assert found.missing_share == 1.0


def test_infinite_values_are_counted_apart(counted: Callable[..., Tally]) -> None:
    found = counted(f_temp=[np.inf, -np.inf, np.nan, *([20.0] * (N - 3))]).columns["temp"]
    assert (found.infinite, found.missing, found.known) == (2, 1, N - 3)
    assert found.missing_share == 3 / N
    assert counted(f_temp=objects("inf", "-inf", rest="20")).columns["temp"].infinite == 2


def test_numbers_too_large_for_their_squares(counted: Callable[..., Tally]) -> None:
    found = counted(f_temp=[1.7e308, -1.7e308, 1.7e308, *([20.0] * (N - 3))]).columns["temp"]
    assert (found.known, found.infinite, found.outside) == (N, 0, 3)
    assert np.isfinite([found.moments.mean, found.moments.m2, found.moments.variance]).all()
    huge = counted(f_weekday=pd.Series(objects(10**400, rest=3), dtype=object)).columns["weekday"]
    assert huge.known + huge.infinite + huge.broken == N
    assert counted(f_weekday=[2**64 - 1] * N).columns["weekday"].outside == N


def test_decimals_and_small_types_are_numbers(counted: Callable[..., Tally]) -> None:
    assert counted(f_temp=[Decimal("20.5")] * N).columns["temp"].moments.mean == 20.5
    assert counted(f_temp=np.full(N, 20, np.float16)).columns["temp"].moments.mean == 20
    assert counted(f_temp=np.ones(N, bool)).columns["temp"].moments.mean == 1
    assert counted(f_temp=pd.array([20, None] * (N // 2), dtype="Int64")).columns["temp"].missing == N // 2


def test_texts_that_no_terminal_shows(counted: Callable[..., Tally]) -> None:
    odd = ["a\x00b", "🚗", "\ud83d", "x" * 1_000_000, "\x1b[31mred", "", "\u202eright to left"]
    for feature in ("origin", "dest", "remark"):
        found = counted(**{f"f_{feature}": objects(*odd, rest="JFK")}).columns[feature]
        assert found.known == N
        assert all(len(name) <= 80 and name.isprintable() for name in found.strange)
    assert counted(f_dest=objects(*odd, rest="BOS")).columns["dest"].counts[-1] == len(odd)


def test_as_many_levels_as_rows_are_counted_and_a_few_are_named(counted: Callable[..., Tally]) -> None:
    found = counted(f_dest=[f"D{place:04d}" for place in range(N)]).columns["dest"]
    assert (found.counts[-1], len(found.strange)) == (N, MOST_STRANGE)


def test_two_columns_of_one_name(profile: JsonObject, served: pd.DataFrame) -> None:
    twice = pd.concat([served, served[["f_temp", "score"]] * 0], axis="columns")
    assert tally_of(SPEC, profile, "d", twice).columns["temp"].rows == N


# --- answers --------------------------------------------------------------------------------------


def test_answers_without_a_score_that_can_be_used(counted: Callable[..., Tally]) -> None:
    scores = [np.nan, np.inf, -0.1, 1.1, 7.0, *([0.5] * (N - 5))]
    found = counted(score=scores, error=None)
    assert (found.answers.rows, found.answers.unscored) == (N, 5)
    assert sum(found.answers.cells.values()) == N - 5
    nothing = counted(score=objects("high", rest="low"), error=None)
    assert nothing.answers.unscored == N


def test_a_window_without_a_score_column(counted: Callable[..., Tally], served: pd.DataFrame) -> None:
    found = counted(score=None)
    assert found.answers.unscored == found.answers.rows == int(served["error"].isna().sum())
    assert found.overall.rows == 0


def test_every_answer_an_error(counted: Callable[..., Tally]) -> None:
    found = counted(error="MemoryError\x00" * 40)
    assert (found.answers.rows, found.overall.answered) == (0, 0)
    assert list(found.operation.errors.values()) == [N]


def test_one_class_only(counted: Callable[..., Tally]) -> None:
    found = counted(label=1.0, error=None, score=0.7).overall
    assert (found.rows, found.negatives) == (N, {})
    assert found.positives == {700: N}
    assert found.labels.variance == 0
    assert found.per_row["accuracy"].mean == 1


def test_outcomes_that_the_task_does_not_have(counted: Callable[..., Tally]) -> None:
    found = counted(label=[2.0, -1.0, 0.5, np.inf, np.nan, *([1.0] * (N - 5))], error=None, score=0.7).overall
    assert (found.unusable, found.rows, found.answered) == (4, N - 5, N)
    assert counted(label=objects("yes", rest="no")).overall.rows == 0


def test_scores_at_the_very_ends(counted: Callable[..., Tally]) -> None:
    found = counted(score=[0.0, 1.0] * (N // 2), label=[1.0, 0.0] * (N // 2), error=None).overall
    assert np.isfinite(found.per_row["log_loss"].mean)
    assert found.per_row["accuracy"].mean == 0
    assert (found.positives, found.negatives) == ({0: N // 2}, {999: N // 2})


def test_values_of_the_business_that_are_no_numbers(counted: Callable[..., Tally]) -> None:
    found = counted(value=[np.inf, np.nan, 1e300, *([1.0] * (N - 3))], error=None, score=0.5).overall.business
    assert found.x.n == N - 2
    assert found.correlation is None
    assert counted(value="much").overall.business.x.n == 0


def test_groups_beyond_number(counted: Callable[..., Tally], profile: JsonObject) -> None:
    many = rows(3000).assign(g_sex=[f"g{place}" for place in range(3000)])
    found = tally_of(SPEC, profile, "d", many).groups
    assert MOST_GROUPS * 0.9 < len(found["sex"]) <= MOST_GROUPS + 1
    assert found["sex"][OTHERS].rows > 2000
    assert len(found["origin × sex"]) <= MOST_GROUPS + 1
    assert counted(g_sex=[["f"]] * N).groups.keys() == {"origin"}
    assert sum(group.rows for group in counted(g_sex=pd.NA, error=None, score=0.5).groups["sex"].values()) == N


# --- outcomes and clocks --------------------------------------------------------------------------


def test_outcomes_that_came_twice_early_or_late(counted: Callable[..., Tally], served: pd.DataFrame) -> None:
    hours = pd.to_timedelta([-1, 0, 48, 49, *([3] * (N - 4))], "h")  # due after a day, and carried over for a night
    told, different = [3, 2, 2, 1, *([1] * (N - 4))], [1, 2, 1, 1, *([1] * (N - 4))]
    found = counted(observed_at=served["at"] + hours, told=told, labels_told=different).operation
    assert (found.early, found.late, found.doubled, found.corrected) == (1, 1, 3, 1)


def test_a_clock_that_jumps(counted: Callable[..., Tally], served: pd.DataFrame) -> None:
    at, us = served["at"].dt.as_unit("us"), pd.Timedelta(microseconds=1)
    limit = pd.Timedelta(minutes=5)
    recorded = at.copy()
    recorded[0], recorded[1] = at[0] - limit, at[1] - limit - us
    assert counted(at=at, recorded_at=recorded).operation.ahead == 1
    far = at.copy()
    far[0] = pd.Timestamp(datetime(2262, 6, 1, tzinfo=UTC)).as_unit("us")
    far[1] = pd.Timestamp(datetime(9999, 12, 31, tzinfo=UTC)).as_unit("us")
    far[2] = pd.Timestamp(datetime(1970, 1, 1, tzinfo=UTC)).as_unit("us")
    found = counted(at=far, recorded_at=at).operation
    assert (found.ahead, found.hours["1970-01-01T00"], found.newest) == (2, 1, datetime(9999, 12, 31, tzinfo=UTC))


def test_instants_beyond_any_calendar(profile: JsonObject) -> None:
    batch = pa.record_batch(
        {"at": pa.array([2**62, 0, None]).cast(pa.timestamp("us", "UTC")), "score": [0.1, 0.2, 0.3]}
    )
    found = count_rows(SPEC, profile, "d", [batch]).operation
    assert (found.rows, sum(found.hours.values())) == (3, 2)
    assert found.newest == datetime.max.replace(tzinfo=UTC)


def test_instants_that_are_none(counted: Callable[..., Tally]) -> None:
    for column in ("yesterday", pd.NaT, 3.5, None):
        found = counted(at=column, recorded_at=column, observed_at=column).operation
        assert (found.hours, found.newest, found.ahead, found.late) == ({}, None, 0, 0)


def test_latencies_that_are_none(counted: Callable[..., Tally]) -> None:
    found = counted(latency_ms=[np.nan, np.inf, -5.0, 0.0, *([20.0] * (N - 4))]).operation
    assert sum(found.latency.values()) == N - 2
    assert found.latency_quantile(0.5) == pytest.approx(20, rel=0.01)


# --- no rows --------------------------------------------------------------------------------------


def test_an_empty_day(profile: JsonObject, served: pd.DataFrame) -> None:
    for nothing in (served[:0], pd.DataFrame()):
        found = tally_of(SPEC, profile, "d", nothing)
        assert (found.rows, found.answers.rows, found.overall.rows) == (0, 0, 0)
        assert json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert count_rows(SPEC, profile, "d", []) == Tally("d")


def test_rows_of_nothing_but_their_time(profile: JsonObject) -> None:
    found = tally_of(SPEC, profile, "d", pd.DataFrame({"at": [MORNING] * 3}))
    assert (found.rows, found.columns["temp"].absent, found.answers.unscored) == (3, 3, 3)


def test_a_feature_that_the_profile_does_not_know(counted: Callable[..., Tally], profile: JsonObject) -> None:
    bare = {**profile, "features": {"temp": profile["features"]["temp"]}}
    found = tally_of(SPEC, bare, "d", rows(N)).columns
    assert (found["origin"].rows, found["origin"].counts, found["weekday"].counts) == (N, (), ())
    assert found["weekday"].moments.n == N
