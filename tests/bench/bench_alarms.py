"""How often a check of undrifted windows raises an alarm, beside rules in use elsewhere; and what it still finds.

Windows are drawn as counts from the truth behind a reference: deciles, ties, zeros, flags, categories with rare levels,
missing values. A check is one window; it alarms when any of its findings fails. Every share stands beside the 5 % that
is promised for all families together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.bench.undrifted_rows import a_month, a_reference, watched_in_every_way
from tests.unit.monitoring.undrifted import World, a_spec_of, remembered

from steward.gates import Outcome, Verdict
from steward.monitoring.checks import shift
from steward.monitoring.checks.inputs import judge_inputs
from steward.monitoring.checks.judging import judge
from steward.monitoring.statistics.chance import ALPHA
from steward.monitoring.statistics.psi import psi_by_chance

WORLDS, LIMIT = 5, 0.1
ROWS, FEATURES, REFERENCES = (100, 200, 500, 1000, 10_000), (5, 50, 200), (2000, 1_000_000)
CHECKS = {5: 300, 50: 300, 200: 60}

pytestmark = pytest.mark.bench
Chance = Callable[..., float]


@pytest.fixture(autouse=True)
def _computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "psi_without_drift", remembered)


def verdicts(rows: int, features: int, reference_rows: int, checks: int, **moved: Any) -> list[Verdict]:
    draw, spec = np.random.default_rng(rows + features), a_spec_of(features, psi=LIMIT)
    worlds = [World(draw, spec, reference_rows) for _ in range(WORLDS)]
    return [Verdict.of(judge_inputs(worlds[check % WORLDS].window(rows, **moved))) for check in range(checks)]


def share(found: Sequence[bool]) -> float:
    return 100 * sum(found) / len(found)


def alarming(found: Sequence[Verdict]) -> float:
    return share([verdict.outcome is Outcome.FAILED for verdict in found])


def by_threshold(reference: Sequence[int], rows: int, alpha: float, *, levels: bool = False) -> float:
    return 0.0


def by_chi_squared(reference: Sequence[int], rows: int, alpha: float, *, levels: bool = False) -> float:
    return psi_by_chance(sum(count > 0 for count in reference), sum(reference), rows, 1, ALPHA / 51)


@pytest.mark.parametrize("reference_rows", REFERENCES)
@pytest.mark.parametrize("features", FEATURES)
def test_false_alarms(report: Report, features: int, reference_rows: int) -> None:
    found = {rows: alarming(verdicts(rows, features, reference_rows, CHECKS[features])) for rows in ROWS}
    figures = [Figure(f"{rows:,} rows", seen, "% of checks", seen / (100 * ALPHA)) for rows, seen in found.items()]
    title = f"False alarms on undrifted windows, {features} features against a reference of {reference_rows:,}"
    report.table(title, "5 %", *figures)
    assert max(found.values()) <= 100 * ALPHA


def test_beside_the_rules_in_use_elsewhere(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    rules: dict[str, Chance] = {
        "Steward": remembered,
        "PSI above 0.1 and above the χ² quantile": by_chi_squared,
        "PSI above 0.1": by_threshold,
    }
    figures, measured = [], {}
    for name, rule in rules.items():
        monkeypatch.setattr(shift, "psi_without_drift", rule)
        measured[name] = alarming(verdicts(200, 50, 1_000_000, 1000))
        figures.append(Figure(name, measured[name], "% of checks", measured[name] / (100 * ALPHA)))
    report.table("False alarms at 200 rows × 50 features, by the rule", "5 %", *figures)
    report.headline(
        "Undrifted windows that alarm, 200 rows × 50 features, beside the plain rule “PSI above 0.1”",
        measured["Steward"],
        measured["PSI above 0.1"],
        "% of checks",
    )


def test_with_everything_watched(report: Report) -> None:
    """From rows: all families that need no rows of the window, on 210 rows a week after three more weeks."""
    draw, spec, checks = np.random.default_rng(11), watched_in_every_way(), 100
    found = []
    for check in range(checks):
        if check % 20 == 0:
            profile = a_reference(draw, spec)
        found.append(judge(a_month(draw, spec, profile), from_rows=False))
    measured = alarming(found)
    figure = Figure(
        f"{checks} windows of about 210 rows × 50 features", measured, "% of checks", measured / (100 * ALPHA)
    )
    report.table("False alarms with every family of checks switched on", "5 %", figure)


def test_shifts_that_are_found(report: Report) -> None:
    figures = []
    for by in (0.25, 0.5, 1.0):
        for rows in (200, 500, 1000, 10_000):
            found = verdicts(rows, 50, 1_000_000, 200, moved=["x0"], by=by)
            seen = share([bool(verdict.failed("drift.psi:x0")) for verdict in found])
            figures.append(Figure(f"{by:g} sd in one of 50 features, {rows:,} rows", seen, "% found", seen / 95))
    report.table(f"Shifts of one feature's mean that are found at a limit of {LIMIT}", "95 %", *figures)
