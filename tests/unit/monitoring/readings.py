"""A served window as the checks are handed it: counted from a frame, or from counts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd

from steward.monitoring.profiles.profile import build_profile
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import AnswerTally, ColumnTally, DayTally, OperationTally, Tally
from steward.monitoring.tallies.counting import tally_of
from steward.spec import ModelSpec
from steward.types import JsonObject, Window

START = datetime(2013, 4, 1, tzinfo=UTC)
WEEK = Window(START, START + timedelta(days=7))


def profile_of(spec: ModelSpec, frame: pd.DataFrame, **more: Any) -> JsonObject:
    """Of a frame with a column per feature, `score` and `label`."""
    plain = frame.rename(columns=lambda name: str(name).removeprefix("f_"))
    return build_profile(spec, plain[list(spec.data.features)], plain["score"], plain["label"], **more)


def reading_of(spec: ModelSpec, profile: JsonObject, served: pd.DataFrame, **more: Any) -> Reading:
    return Reading(spec, profile, WEEK, tally_of(spec, profile, "digest", served), **more)


def counted(
    spec: ModelSpec,
    profile: JsonObject,
    columns: Mapping[str, ColumnTally],
    *,
    scores: Sequence[int] = (),
    days: Sequence[DayTally] = (),
) -> Reading:
    """From counts: every column has as many rows."""
    rows = max(column.rows for column in columns.values())
    answers = AnswerTally(rows=rows, counts=tuple(scores))
    tally = Tally("digest", dict(columns), answers, operation=OperationTally(rows=rows))
    return Reading(spec, profile, WEEK, tally, days)


def bare_profile(features: Mapping[str, JsonObject], scores: Sequence[int] = (), **more: Any) -> JsonObject:
    """Features as `bins_of` gives them."""
    score = {"rows": sum(scores), "missing": 0.0, "bins": {"kind": "edges", "counts": list(scores)}}
    return {"features": dict(features), "score": score, "importance": None, **more}


def bins_of(counts: Sequence[int], *, kind: str = "edges", missing: float = 0.0, **more: Any) -> JsonObject:
    bins = {"kind": kind, "cuts": list(range(len(counts) - 1)), "counts": [int(n) for n in counts], "complete": True}
    return {"rows": int(sum(counts)), "missing": missing, "bins": bins, **more}


def a_day(tally: Tally, days_ago: int = 0) -> DayTally:
    day = date(2013, 4, 7) - timedelta(days=days_ago)
    return DayTally("flight_delays", 1, day, tally, START)


def with_days(reading: Reading, tallies: Sequence[Tally]) -> Reading:
    """Oldest first; the last one is the window's last day."""
    return replace(reading, days=[a_day(tally, len(tallies) - 1 - place) for place, tally in enumerate(tallies)])
