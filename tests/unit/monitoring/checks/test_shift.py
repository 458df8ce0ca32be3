"""One distribution against its reference: few rows over many levels decide what they can, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.monitoring.readings import bins_of
from tests.unit.monitoring.undrifted import remembered

from steward.gates import Finding, Outcome
from steward.monitoring.checks import shift
from steward.monitoring.checks.shift import joined, judge_shift, psi_of_counts
from steward.monitoring.statistics.noise import psi_without_drift

ZIPF = 1 / np.arange(1, 61)
LEVELS = [*np.round(1_000_000 * ZIPF / ZIPF.sum()).astype(int).tolist(), 0]
ALPHA = 1e-4


def judged(counts: list[int], reference: list[int] = LEVELS, kind: str = "levels", limit: float = 0.1) -> Finding:
    return judge_shift("drift.psi:dest", "dest", bins_of(reference, kind=kind), counts, limit=limit, alpha=ALPHA)


def came(rows: int, weights: np.ndarray = ZIPF, seed: int = 1) -> list[int]:
    return [*np.random.default_rng(seed).multinomial(rows, weights / weights.sum()).tolist(), 0]


def test_many_levels_and_few_rows_are_judged_with_rare_levels_together() -> None:
    found = judged(came(600))
    assert psi_without_drift(LEVELS, 600, ALPHA, levels=True) > 0.15
    assert found.outcome is Outcome.PASSED
    assert "rare ones together" in found.reason


def test_a_move_among_common_levels_is_found_in_few_rows() -> None:
    """The first two of sixty levels have changed places: over all levels that is still within chance."""
    swapped = np.concatenate([ZIPF[[2, 1, 0]], ZIPF[3:]])
    found = judged(came(400, swapped))
    assert found.outcome is Outcome.FAILED
    assert found.value == pytest.approx(psi_of_counts(LEVELS, came(400, swapped)))


def test_too_few_rows_for_either_look_decide_nothing() -> None:
    found = judged(came(150))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "cannot be told from chance" in found.reason


def test_with_rows_enough_there_is_one_look() -> None:
    assert "rare ones" not in judged(came(100_000)).reason
    assert "rare ones" not in judged([30] * 10, [1000] * 10, "edges").reason


def test_levels_that_are_all_rare_are_not_joined_to_one() -> None:
    found = judged([2] * 100 + [0], [10_000] * 100 + [0])
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "rare ones" not in found.reason


def test_two_looks_alarm_no_more_often_than_one_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "psi_without_drift", remembered)
    draws, alarms = np.random.default_rng(3).multinomial(400, ZIPF / ZIPF.sum(), size=4000).tolist(), 0
    about = bins_of(LEVELS, kind="levels")
    for counts in draws:
        found = judge_shift("g", "dest", about, [*counts, 0], limit=0.05, alpha=0.01)
        alarms += found.outcome is Outcome.FAILED
    assert alarms <= 0.01 * 4000 + 3 * (0.01 * 4000) ** 0.5


counts_of = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), min_size=2, max_size=30)


@given(counts_of.filter(lambda pairs: sum(a for a, _ in pairs) > 0 and sum(b for _, b in pairs) > 0))
def test_joining_loses_no_row(pairs: list[tuple[int, int]]) -> None:
    reference, counts = [a for a, _ in pairs], [b for _, b in pairs]
    before, now = joined(reference, counts)
    assert (sum(before), sum(now)) == (sum(reference), sum(counts))
    assert len(before) == len(now) <= len(reference)


@pytest.mark.parametrize(("reference", "counts"), [([0, 0], [5, 5]), ([5, 5], [0, 0]), ([5, 5], [])])
def test_nothing_on_a_side_decides_nothing(reference: list[int], counts: list[int]) -> None:
    assert judged(counts, reference).outcome is Outcome.INCONCLUSIVE
