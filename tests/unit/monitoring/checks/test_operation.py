"""Errors, latency, load: above the limit and beyond chance, and who or what it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.unit.monitoring.checks.served import a_tally, at_once, by_gate, watched

from steward.gates import Finding, Outcome
from steward.monitoring.checks.judging import judge
from steward.monitoring.checks.operation import judge_operation, utilisation
from steward.monitoring.reading import Reading
from steward.monitoring.tallies import AnswerTally, OperationTally
from steward.monitoring.tallies.operation import latency_cell

ERRORS = {"error_rate": {"max": 0.01}}


def a_week(
    rows: int = 10_000, monitoring: Mapping[str, Any] | None = None, answers: AnswerTally | None = None, **counts: Any
) -> Reading:
    spec = watched(ERRORS if monitoring is None else monitoring)
    return at_once(spec, a_tally(OperationTally(rows, **counts), answers=answers))


def found(reading: Reading, gate: str) -> Finding | None:
    return by_gate(judge_operation, reading).get(f"operation.{gate}")


def outcome(reading: Reading, gate: str) -> Outcome | None:
    finding = found(reading, gate)
    return finding.outcome if finding else None


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "failed", "expected"),
    [
        (10_000, 0, Outcome.PASSED),
        (10_000, 100, Outcome.PASSED),
        (10_000, 108, Outcome.INCONCLUSIVE),
        (10_000, 160, Outcome.FAILED),
        (100, 2, Outcome.INCONCLUSIVE),
        (100, 12, Outcome.FAILED),
        (0, 0, Outcome.INCONCLUSIVE),
    ],
)
def test_more_errors_than_allowed_and_than_chance_gives(rows: int, failed: int, expected: Outcome) -> None:
    errors = {"timeout": failed} if failed else {}
    assert outcome(a_week(rows, errors=errors, asked={"": rows}), "error_rate") is expected


def test_kinds_of_error_are_named_most_frequent_first() -> None:
    errors = {"timeout": 300, "model_failed": 500, "wrong_shape": 10, "not_finite": 5}
    finding = found(a_week(errors=errors), "error_rate")
    assert finding is not None
    assert "model_failed 500, timeout 300, wrong_shape 10 and 1 more kinds" in finding.reason


def test_a_caller_whose_requests_surely_fail_names_itself_though_the_whole_is_sound() -> None:
    asked = {"desk": 300, "web": 9700}
    reading = a_week(errors={"refused": 40}, asked=asked, failed={"desk": 30, "web": 10})
    assert outcome(reading, "error_rate") is Outcome.PASSED
    theirs = found(reading, "error_rate:source=desk")
    assert theirs is not None
    assert theirs.outcome is Outcome.FAILED
    assert "30 of 300 requests of desk failed" in theirs.reason
    assert found(reading, "error_rate:source=web") is None, "a sound caller is no finding"


def test_many_sound_callers_are_not_accused_by_chance() -> None:
    draw, accused = np.random.default_rng(1), 0
    for _ in range(200):
        asked = {f"caller{n}": 500 for n in range(40)}
        failed = {name: int(draw.binomial(rows, 0.01)) for name, rows in asked.items()}
        reading = a_week(20_000, errors={"x": sum(failed.values())}, asked=asked, failed=failed)
        accused += any(f.outcome is Outcome.FAILED for f in judge_operation(reading))
    assert accused <= 6, "the limit itself is what they do: the whole family errs in about one window in a hundred"


def test_callers_without_a_name_are_one_caller_and_one_caller_is_the_whole() -> None:
    reading = a_week(errors={"x": 500}, asked={"": 600, "web": 9400}, failed={"": 500})
    assert "callers who name no source" in found(reading, "error_rate:source=").reason  # type: ignore[union-attr]
    alone = a_week(errors={"x": 500}, asked={"web": 10_000}, failed={"web": 500})
    assert set(by_gate(judge_operation, alone)) == {"operation.unscored", "operation.error_rate"}


# --- latency --------------------------------------------------------------------------------------

LATENCIES = {name: {"max": "100ms"} for name in ("p50_latency", "p95_latency", "p99_latency")}


def cells(milliseconds: Any) -> dict[int, int]:
    found = [latency_cell(float(each)) for each in milliseconds]
    return {cell: found.count(cell) for cell in set(found)}


def slow(share: float, rows: int) -> dict[int, int]:
    late = round(share * rows)
    return {latency_cell(20): rows - late, latency_cell(400): late}


@pytest.mark.parametrize(
    ("name", "q", "rows", "share", "expected"),
    [
        ("p50_latency", 0.5, 1000, 0.4, Outcome.PASSED),
        ("p50_latency", 0.5, 1000, 0.7, Outcome.FAILED),
        ("p95_latency", 0.95, 1000, 0.055, Outcome.INCONCLUSIVE),
        ("p95_latency", 0.95, 1000, 0.12, Outcome.FAILED),
        ("p99_latency", 0.99, 1000, 0.009, Outcome.PASSED),
        ("p99_latency", 0.99, 60, 0.05, Outcome.INCONCLUSIVE),
        ("p99_latency", 0.99, 1000, 0.05, Outcome.FAILED),
    ],
)
def test_a_quantile_is_above_its_limit_when_surely_too_many_answers_are(
    name: str, q: float, rows: int, share: float, expected: Outcome
) -> None:
    assert outcome(a_week(rows, LATENCIES, latency=slow(share, rows)), name) is expected


def test_the_quantile_is_right_within_a_hundredth() -> None:
    values = np.random.default_rng(2).gamma(4, 10, 20_000)
    reading = a_week(len(values), LATENCIES, latency=cells(values))
    for name, q in (("p50_latency", 0.5), ("p95_latency", 0.95), ("p99_latency", 0.99)):
        finding = found(reading, name)
        assert finding is not None
        assert finding.value == pytest.approx(np.quantile(values, q, method="inverted_cdf"), rel=0.011)
        assert finding.limit == 100


def test_where_nobody_waited_there_is_no_latency() -> None:
    assert outcome(a_week(monitoring=LATENCIES), "p95_latency") is Outcome.INCONCLUSIVE


# --- load and scores ------------------------------------------------------------------------------


def test_the_busiest_hour_is_held_against_the_capacity() -> None:
    load = {"throughput": {"capacity": 10, "max": 0.5}}
    quiet, busy = {"2013-04-02T10": 3600, "2013-04-02T11": 18_000}, {"2013-04-02T10": 36_000}
    assert outcome(a_week(monitoring=load, hours=quiet), "throughput") is Outcome.PASSED
    finding = found(a_week(monitoring=load, hours=busy), "throughput")
    assert finding is not None
    assert (finding.outcome, finding.value) == (Outcome.FAILED, 1.0)
    assert "2013-04-02T10 UTC 10 rows a second" in finding.reason
    assert utilisation(a_week(monitoring=load, hours=quiet)) == 0.5
    assert outcome(a_week(monitoring=load), "throughput") is Outcome.INCONCLUSIVE
    assert utilisation(a_week(monitoring={}, hours=busy)) is None


def test_a_single_answer_without_a_score_fails() -> None:
    assert outcome(a_week(answers=AnswerTally(9999, 1)), "unscored") is Outcome.FAILED
    assert outcome(a_week(answers=AnswerTally(9999, 0)), "unscored") is Outcome.PASSED
    assert outcome(a_week(answers=AnswerTally()), "unscored") is Outcome.INCONCLUSIVE


def test_limits_that_are_not_declared_are_not_judged() -> None:
    reading = a_week(monitoring={}, errors={"x": 10_000}, latency=slow(1.0, 100))
    assert set(by_gate(judge_operation, reading)) == {"operation.unscored"}


def test_failing_requests_are_an_alarm_in_a_window_too_small_for_anything_else() -> None:
    spec = watched({**ERRORS, "min_rows": 1000})
    reading = at_once(spec, a_tally(OperationTally(50, errors={"timeout": 50}, asked={"": 50})))
    assert "operation.error_rate" in {finding.gate for finding in judge(reading).failed()}
