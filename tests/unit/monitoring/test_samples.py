from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.unit.specs import a_data_section, a_spec

from steward.errors import DataError
from steward.monitoring.profiles.samples import (
    SAMPLE_ROWS,
    Sampler,
    feature_rows,
    merge_samples,
    sample_columns,
    without_subjects,
)
from steward.monitoring.profiles.words import MOST_CHARACTERS
from steward.spec import ModelSpec

FEATURES = {
    "temp": {"type": "number"},
    "hub": {"type": "boolean"},
    "origin": {"type": "category"},
    "remark": {"type": "text"},
    "postcode": {"type": "category"},
    "income": {"type": "number"},
}
PRIVACY = {"postcode": "hash", "income": "drop"}
KEY = b"a key that only the platform knows"


def the_spec(**drift: Any) -> ModelSpec:
    drift = drift or {"domain_classifier": {"max": 0.65}}
    return a_spec(data=a_data_section(FEATURES, privacy=PRIVACY), monitoring={"min_rows": 200, "drift": drift})


def a_day(rows: int, name: str = "day", seed: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    return pa.table(
        {
            "decision_id": [f"{name}-{place}" for place in range(rows)],
            "error": pa.nulls(rows, pa.string()),
            "score": draw.random(rows),
            "subject": [f"person {place % 50}" for place in range(rows)],
            "f_temp": np.arange(rows, dtype=np.float64),
            "f_hub": (draw.random(rows) < 0.5).astype(np.float64),
            "f_origin": draw.choice(["EWR", "JFK"], rows),
            "f_remark": draw.choice(["", "late crew"], rows),
            "f_postcode": draw.choice(["a1", "b2"], rows),
            "day": [name] * rows,
        }
    )


def take_sample(spec: ModelSpec, batches: list[Any], key: bytes) -> bytes | None:
    sampler = Sampler(spec, key)
    for batch in batches:
        sampler.add(batch)
    return sampler.pack()


def packed(day: pa.Table, spec: ModelSpec | None = None) -> bytes:
    found = take_sample(spec or the_spec(), [day], KEY)
    assert found is not None
    return found


def test_nothing_is_kept_unless_a_check_asks_for_rows() -> None:
    plain = a_spec(data=a_data_section(FEATURES), monitoring={"min_rows": 200})
    assert take_sample(plain, [a_day(10)], KEY) is None
    assert take_sample(the_spec(attribution={"min": 0.9}), [a_day(10)], KEY) is not None


def test_only_what_the_log_may_hold_as_it_came() -> None:
    assert list(merge_samples([packed(a_day(10))])) == ["f_temp", "f_hub", "f_origin", "f_remark", "score"]
    assert not {"f_postcode", "f_income"} & set(sample_columns(the_spec()))


def test_the_same_rows_however_the_day_is_cut_into_batches() -> None:
    day = a_day(3000)
    whole = packed(day)
    cut = take_sample(the_spec(), [*day.slice(0, 100).to_batches(), *day.slice(100).to_batches(700)], KEY)
    assert cut == whole
    assert len(merge_samples([whole])) == SAMPLE_ROWS
    assert take_sample(the_spec(), [day], b"another key") != whole


def test_every_row_has_the_same_chance() -> None:
    """Means of 40 days' samples scatter about the day's as those of plain random rows do."""
    means = [merge_samples([packed(a_day(5000, name=f"day{n}"))])["f_temp"].mean() for n in range(40)]
    error = 5000 / np.sqrt(12) * np.sqrt(1 / SAMPLE_ROWS - 1 / 5000)
    assert abs(np.mean(means) - 2499.5) < 4 * error / np.sqrt(40)
    assert np.std(means) == pytest.approx(error, rel=0.4)


def test_a_busy_day_does_not_drown_in_quiet_ones() -> None:
    """50,000 rows on one day, 500 on each of six: the quiet days are 5.7 % of the week, and of its sample."""
    busy = packed(a_day(50_000, "busy").set_column(4, "f_temp", pa.array(np.ones(50_000))))
    quiet = [packed(a_day(500, f"q{n}").set_column(4, "f_temp", pa.array(np.zeros(500)))) for n in range(6)]
    week = merge_samples([busy, *quiet])
    assert len(week) >= SAMPLE_ROWS
    assert 1 - week["f_temp"].mean() == pytest.approx(3000 / 53_000, abs=0.035)


def test_a_week_of_even_days_has_two_thousand_rows_in_one_order() -> None:
    days = [packed(a_day(2000, f"d{n}", seed=n)) for n in range(7)]
    week = merge_samples(days)
    assert len(week) == 2000
    pd.testing.assert_frame_equal(week, merge_samples(days[::-1]))
    assert len(merge_samples(days, most=300)) == 300


def test_shards_of_a_day_merge_to_a_sample_of_the_day() -> None:
    day = a_day(1000)
    shards = [packed(day.slice(0, 300)), packed(day.slice(300))]
    pd.testing.assert_frame_equal(merge_samples(shards, most=SAMPLE_ROWS), merge_samples([packed(day)]))


def test_a_person_can_be_forgotten_and_the_rest_stays_a_fair_sample() -> None:
    before = packed(a_day(5000))
    after = without_subjects(before, ["person 7", "person 8"])
    rows, left = merge_samples([before]), merge_samples([after])
    assert set(rows["f_temp"]) - set(left["f_temp"]) == {t for t in rows["f_temp"] if t % 50 in (7, 8)}
    assert without_subjects(after, ["person 7", "nobody"]) is after
    other = packed(a_day(400, "other"))
    assert len(merge_samples([after, other])) < len(left) + 400  # it is still known where the day was cut


def test_answers_by_an_error_are_left_out() -> None:
    day = a_day(4)
    failed = day.set_column(1, "error", pa.array([None, "timeout", None, None], pa.string()))
    assert set(merge_samples([packed(failed)])["f_temp"]) == {0.0, 2.0, 3.0}


def test_rows_as_a_server_hands_them_to_the_model() -> None:
    rows = pd.DataFrame({"f_temp": [1.0, np.inf], "f_hub": [1.0, None], "f_origin": ["EWR", None], "score": [0.1, 0.2]})
    found = feature_rows(the_spec(), rows)
    assert found["temp"].tolist()[0] == 1.0
    assert np.isnan(found["temp"][1])
    assert found["hub"].tolist() == [True, None]
    assert found["origin"].tolist() == ["EWR", None]
    assert list(found) == ["temp", "hub", "origin"]


@pytest.mark.parametrize(
    "change",
    [
        {"f_temp": ["warm", "12"] * 50},
        {"f_temp": [None] * 100},
        {"f_temp": [np.inf, np.nan] * 50},
        {"f_origin": [3.0, 4.0] * 50},
        {"f_remark": ["🚗" * 20_000, None] * 50},
        {"f_hub": [True, None] * 50},
    ],
)
def test_columns_of_any_type_merge_with_a_sound_day(change: dict[str, list[Any]]) -> None:
    sound, name = a_day(100, "sound"), next(iter(change))
    odd = sound.set_column(sound.column_names.index(name), name, pa.array(change[name]))
    week = merge_samples([packed(sound), packed(odd)])
    assert len(week) == 200
    assert week["f_remark"].str.len().max() <= MOST_CHARACTERS


def test_a_column_that_is_gone_is_missing() -> None:
    week = merge_samples([packed(a_day(10).drop_columns(["f_temp", "subject", "error"])), packed(a_day(10, "other"))])
    assert week["f_temp"].isna().sum() == 10


def test_an_empty_day() -> None:
    assert len(merge_samples([packed(a_day(0)), packed(a_day(5))])) == 5
    assert merge_samples([]).empty


def test_a_sample_is_small() -> None:
    assert len(packed(a_day(20_000))) < 40_000


@pytest.mark.parametrize("broken", [b"", b"no sample", packed(a_day(5))[:40]])
def test_bytes_that_are_no_sample(broken: bytes) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        merge_samples([broken])


def test_a_sample_of_a_later_release() -> None:
    later = pa.table({"hash": pa.array([1], pa.uint64())}).replace_schema_metadata({b"format": b"2"})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, later.schema) as writer:
        writer.write_table(later)
    with pytest.raises(DataError, match=r"format b'2', this release reads b'1'"):
        merge_samples([sink.getvalue().to_pybytes()])
