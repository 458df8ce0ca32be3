from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from tests.unit.monitoring.served_days import DAY, binary, days_of, profile_on, reading_on, scored

from steward.monitoring.due import DueOutcomes, due_outcomes
from steward.spec import ModelSpec
from steward.types import JsonObject


@pytest.fixture(scope="module")
def profile() -> JsonObject:
    return profile_on(binary(), scored, days=2)


def waiting(days: float) -> ModelSpec:
    spec = binary()
    label = spec.data.label.model_copy(update={"arrives_after": timedelta(days=days)})
    return spec.model_copy(update={"data": spec.data.model_copy(update={"label": label})})


def due_of(profile: JsonObject, *, after: float, known: float, now: float = 0.1) -> DueOutcomes:
    """A share `known` of each day's outcomes has come."""
    frames = [
        frame.assign(label=frame["label"].where(frame.index < known * len(frame))) for frame in days_of(scored, 7)
    ]
    return due_outcomes(reading_on(waiting(after), profile, frames, now=now * DAY))


def test_days_that_wait_are_left_out_whole(profile: JsonObject) -> None:
    due = due_of(profile, after=2, known=0.8)
    assert (len(due.days), due.waiting) == (5, 2)
    assert due.share == pytest.approx(0.8)
    assert due.unsound("2d") is None


def test_a_day_that_waits_for_next_to_nothing_counts(profile: JsonObject) -> None:
    assert len(due_of(profile, after=2, known=0.96).days) == 7


def test_while_nothing_is_due_nothing_is_said(profile: JsonObject) -> None:
    due = due_of(profile, after=30, known=0.4)
    assert (due.days, due.waiting) == ((), 7)
    assert due.unsound("30d") == "no outcome is due yet: they arrive within 30d"


def test_half_of_what_is_due_must_be_there(profile: JsonObject) -> None:
    due = due_of(profile, after=0, known=0.4)
    assert "40% of the answers whose outcome is due have one (2240 rows), 50% are needed" in (due.unsound("0d") or "")


def test_without_counts_of_days_the_window_is_taken_whole(profile: JsonObject) -> None:
    reading = reading_on(binary(), profile, days_of(scored, 7))
    bare = due_outcomes(type(reading)(reading.spec, profile, reading.window, reading.tally))
    assert bare.days == (reading.tally,)
    assert bare.overall.rows == 7 * 800
    assert bare.blocks == ()


def test_days_before_the_window_teach_how_days_differ_and_are_not_judged(profile: JsonObject) -> None:
    due = due_outcomes(reading_on(binary(), profile, days_of(scored, 21), now=DAY))
    assert len(due.days) == 7
    assert [len(block) for block in due.blocks] == [7, 7, 7]
    assert due.blocks[0] == list(due.days)


def test_slices_are_those_of_any_day(profile: JsonObject) -> None:
    spec = binary(evaluation={"slices": ["hub"]})
    frames = days_of(scored, 7)
    frames[3] = frames[3].assign(hub=np.where(frames[3].index == 0, "LGA", frames[3]["hub"]))
    due = due_outcomes(reading_on(spec, profile, frames))
    assert set(due.slices) == {"hub = EWR", "hub = JFK", "hub = LGA"}
    assert sum(day.rows for day in due.by_day("hub = LGA")) == 1
