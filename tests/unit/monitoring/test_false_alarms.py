"""How often a window of a model that is as it was raises an alarm, and how often a real shift is missed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from tests.unit.monitoring.undrifted import World, a_spec_of, remembered

from steward.gates import Outcome, Verdict
from steward.monitoring.checks import shift
from steward.monitoring.checks.inputs import judge_inputs

WORLDS = 10


@pytest.fixture(autouse=True)
def _computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "psi_without_drift", remembered)


def alarms(rows: int, features: int, reference_rows: int, checks: int, seed: int = 0) -> int:
    draw, spec, found = np.random.default_rng(seed), a_spec_of(features), 0
    for _ in range(WORLDS):
        world = World(draw, spec, reference_rows)
        for _ in range(checks // WORLDS):
            found += Verdict.of(judge_inputs(world.window(rows))).outcome is Outcome.FAILED
    return found


@pytest.mark.parametrize(("reference_rows", "checks"), [(2000, 2000), (1_000_000, 600)])
def test_fifty_undrifted_features_at_200_rows_alarm_in_at_most_one_check_of_twenty(
    reference_rows: int, checks: int
) -> None:
    """Proven with 99 % confidence: were it more than 5 %, so few alarms would be seen once in a hundred runs."""
    assert binom.cdf(alarms(200, 50, reference_rows, checks), checks, 0.05) <= 0.01


def test_the_quantile_of_chi_squared_alone_would_cry_wolf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pinned rule as it is written, on the same windows: rare levels and empty bins are too much for it."""
    from steward.monitoring.statistics.psi import psi_by_chance

    def by_chi_squared(reference: list[int], rows: int, alpha: float, *, levels: bool = False) -> float:
        used = sum(count > 0 for count in reference)
        return psi_by_chance(used, sum(reference), rows, 1, 0.05 / 51)

    monkeypatch.setattr(shift, "psi_without_drift", by_chi_squared)
    assert alarms(200, 50, 1_000_000, 60) > 30


@pytest.mark.parametrize("reference_rows", [2000, 1_000_000])
def test_a_shift_of_half_a_deviation_is_found_among_fifty_features_at_1000_rows(reference_rows: int) -> None:
    draw, spec, checks = np.random.default_rng(4), a_spec_of(50), 300
    world, found = World(draw, spec, reference_rows), 0
    for _ in range(checks):
        verdict = Verdict.of(judge_inputs(world.window(1000, moved=["x0"], by=0.5)))
        found += bool(verdict.failed("drift.psi:x0"))
    assert binom.sf(found - 1, checks, 0.95) <= 0.01
