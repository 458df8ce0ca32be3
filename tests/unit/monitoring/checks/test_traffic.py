"""Did the rows come: days, hours, volume, freshness, clocks, and outcomes that are not as they should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from tests.unit.monitoring.checks.served import a_reading, a_tally, at_once, by_gate, watched
from tests.unit.monitoring.readings import WEEK

from steward.gates import Finding, Outcome
from steward.monitoring.checks.judging import judge
from steward.monitoring.checks.traffic import judge_traffic
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import Moments, OperationTally, OutcomeTally, Tally
from steward.spec import ModelSpec

OPEN = range(6, 24)  # hours in which requests come


def a_day(days_ago: int, rows: int, hours: Sequence[int] = OPEN) -> Tally:
    day = WEEK.end - timedelta(days=days_ago)
    split = np.array_split(np.arange(rows), len(hours)) if rows else []
    counted = {f"{day:%Y-%m-%d}T{hour:02d}": len(part) for hour, part in zip(hours, split, strict=False) if len(part)}
    newest = day + timedelta(hours=max(hours)) if rows else None
    return a_tally(OperationTally(rows, hours=counted, newest=newest))


def month(
    last: Sequence[int] = (), *, usual: int = 900, days: int = 28, spec: ModelSpec | None = None, **changed: Any
) -> Reading:
    """`last`: rows of the last days; `changed`: `hours` of the very last one."""
    rows = [usual] * (days - len(last)) + list(last)
    tallies = [a_day(days - place, each) for place, each in enumerate(rows)]
    if "hours" in changed:
        tallies[-1] = a_day(1, rows[-1], changed["hours"])
    return a_reading(spec or watched({}), tallies)


def found(reading: Reading, gate: str) -> Finding | None:
    return by_gate(judge_traffic, reading).get(f"data.{gate}")


def outcome(reading: Reading, gate: str) -> Outcome | None:
    finding = found(reading, gate)
    return finding.outcome if finding else None


# --- days and hours -------------------------------------------------------------------------------


def test_a_day_without_rows_after_busy_days_is_named() -> None:
    finding = found(month([900, 0, 900]), "completeness")
    assert finding is not None
    assert finding.outcome is Outcome.FAILED
    assert "2013-04-06" in finding.reason


def test_a_shop_that_is_closed_on_sundays_misses_nothing() -> None:
    week = [900, 900, 900, 900, 900, 900, 0]  # Monday the 11th of March to Sunday, the window's last day
    reading = month(week * 4)
    assert outcome(reading, "completeness") is None
    assert outcome(reading, "volume") is Outcome.PASSED
    hours = watched({"completeness": {"min": 1.0}})
    assert outcome(month(week * 4, spec=hours), "completeness") is Outcome.PASSED


def test_a_quiet_models_empty_day_may_be_chance() -> None:
    assert outcome(month([0, 3, 0], usual=4), "completeness") is None


HOURS = watched({"completeness": {"min": 0.95}})


def test_usual_hours_without_a_request_are_counted() -> None:
    assert outcome(month(spec=HOURS), "completeness") is Outcome.PASSED
    finding = found(month(spec=HOURS, hours=range(6, 12)), "completeness")
    assert finding is not None
    assert finding.outcome is Outcome.FAILED
    assert finding.value == pytest.approx(1 - 12 / (7 * 18))
    assert "114 of 126 hours" in finding.reason


def test_nights_are_not_usual_hours_and_more_hours_than_usual_are_no_fault() -> None:
    assert outcome(month(spec=HOURS, hours=range(24)), "completeness") is Outcome.PASSED


def test_a_new_version_has_no_usual_hours_yet() -> None:
    assert outcome(month(days=3, spec=HOURS), "completeness") is Outcome.INCONCLUSIVE


def test_of_a_batch_target_days_count_and_hours_do_not() -> None:
    deployment = {"target": "batch", "scoring": {"schedule": "@daily", "window": {"days": 1}}}
    spec = watched({"completeness": {"min": 0.95}}, deployment)
    assert outcome(month(spec=spec, hours=range(3, 4)), "completeness") is Outcome.PASSED
    finding = found(month([20, 0, 20, 20], usual=20, spec=spec), "completeness")
    assert finding is not None
    assert (finding.outcome, finding.value) == (Outcome.FAILED, pytest.approx(6 / 7))
    assert "days that usually have requests" in finding.reason


# --- volume ---------------------------------------------------------------------------------------


def test_a_sudden_drop_names_its_day_and_is_news_once() -> None:
    finding = found(month([60, 60, 60]), "volume")
    assert finding is not None
    assert finding.outcome is Outcome.FAILED
    assert "60 rows came on 2013-04-05, every day like it had 900 or more" in finding.reason
    assert outcome(month([60] * 12), "volume") is not None
    lower_for_long = a_reading(watched({}), [a_day(28 - n, 900 if n < 7 else 60) for n in range(28)])
    assert outcome(lower_for_long, "volume") is Outcome.PASSED


def test_days_that_vary_and_a_canary_that_takes_its_share_are_no_drop() -> None:
    draw = np.random.default_rng(0)
    for seed in range(50):
        draw = np.random.default_rng(seed)
        rows = np.maximum(draw.lognormal(6.5, 0.25, 28), 1).astype(int)
        assert outcome(month(rows.tolist()), "volume") is Outcome.PASSED
    assert outcome(month([450, 230]), "volume") is Outcome.PASSED


def test_days_before_the_version_served_are_not_missed() -> None:
    reading = month([0] * 20 + [40, 500, 900, 900, 900, 900, 900, 900])
    assert outcome(reading, "completeness") is None
    assert outcome(reading, "volume") is Outcome.PASSED


def test_days_on_which_another_version_was_the_champion_are_not_missed() -> None:
    away = month([900, 0, 0, 0, 20, 900, 900])
    assert outcome(away, "completeness") is Outcome.FAILED, "as far as it is known it served all the time"
    left, back = WEEK.end - timedelta(days=6, hours=-1), WEEK.end - timedelta(days=2, hours=12)
    known = replace(away, serving=[(WEEK.end - timedelta(days=60), left), (back, None)])
    assert outcome(known, "completeness") is None
    assert outcome(known, "volume") is Outcome.PASSED
    still = replace(known, serving=[(WEEK.end - timedelta(days=60), None)])
    assert outcome(still, "completeness") is Outcome.FAILED


# --- freshness and clocks -------------------------------------------------------------------------


def test_rows_that_are_too_old_at_the_windows_end() -> None:
    assert outcome(month(), "freshness") is Outcome.PASSED
    finding = found(month([900, 0, 0]), "freshness")
    assert finding is not None
    assert finding.outcome is Outcome.FAILED
    assert "2013-04-05 23:00" in finding.reason
    assert found(month([0] * 28), "freshness") is None


@pytest.mark.parametrize(("ahead", "expected"), [(0, Outcome.PASSED), (100, Outcome.PASSED), (101, Outcome.FAILED)])
def test_rows_dated_after_they_were_recorded(ahead: int, expected: Outcome) -> None:
    assert outcome(at_once(watched({}), a_tally(OperationTally(10_000, ahead=ahead))), "clock") is expected


# --- outcomes -------------------------------------------------------------------------------------


def told(rows: int = 1000, **counts: int) -> Reading:
    outcomes = OutcomeTally(rows, Moments(rows, 0.5))
    return at_once(watched({}), a_tally(OperationTally(rows, **counts), outcomes=outcomes))


@pytest.mark.parametrize(
    ("kind", "few", "many", "word"),
    [
        ("late", 200, 300, "later than declared"),
        ("early", 10, 40, "before their decision"),
        ("corrected", 100, 160, "another label"),
        ("doubled", 100, 2500, "as they were"),
    ],
)
def test_outcomes_that_are_not_as_they_should_be(kind: str, few: int, many: int, word: str) -> None:
    gate = f"outcomes:{kind}"
    assert outcome(told(), gate) is Outcome.PASSED
    assert outcome(told(**{kind: few}), gate) is Outcome.PASSED
    finding = found(told(**{kind: many}), gate)
    assert finding is not None
    assert finding.outcome is Outcome.FAILED
    assert word in finding.reason


def test_a_few_outcomes_prove_nothing_and_none_is_not_asked() -> None:
    assert outcome(told(5, early=1), "outcomes:early") is Outcome.PASSED
    nobody = at_once(watched({}), a_tally(OperationTally(100, early=0), outcomes=OutcomeTally(100)))
    assert found(nobody, "outcomes:early") is None


def test_it_speaks_of_windows_however_small() -> None:
    reading = month([900, 0, 0, 0, 0, 0, 0, 0], spec=watched({"min_rows": 1000}))
    assert "data.completeness" in {finding.gate for finding in judge(reading).failed()}
