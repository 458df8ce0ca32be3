"""The group measures against golden numbers, against fairlearn, and the rule that asks limit and chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.gates import Finding, Outcome
from steward.gates.counts import apart_by_chance
from steward.gates.fairness import (
    Disparity,
    Group,
    Share,
    accuracy_difference,
    highest_refusal,
    judge_disparity,
    judge_rows,
    odds_difference,
    parity_difference,
    parity_ratio,
    warning,
    z_test,
)


def confusion(name: str, tp: int, fp: int, fn: int, tn: int) -> Group:
    rows = tp + fp + fn + tn
    return Group(name, Share(tp + fp, rows), Share(tp, tp + fn), Share(fp, fp + tn), Share(tp + tn, rows))


def selected(name: str, count: int, rows: int) -> Group:
    """Everyone selected deserved it, the others did not."""
    return confusion(name, count, 0, 0, rows - count)


TWO = [confusion("A", 3, 1, 1, 5), confusion("B", 2, 0, 2, 6)]


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        (parity_ratio, 0.5),
        (parity_difference, 0.2),
        (odds_difference, 0.25),
        (accuracy_difference, 0.0),
        (highest_refusal, 0.8),
    ],
)
def test_the_golden_table(measure: Callable[..., Disparity], value: float) -> None:
    assert measure(TWO, 1).value == pytest.approx(value)


@pytest.mark.parametrize(
    ("low", "high", "ratio", "p", "outcome"),
    [
        ((21, 50), (48, 80), 0.7, 0.0454, Outcome.FAILED),
        ((4, 10), (6, 10), 0.667, 0.37, Outcome.INCONCLUSIVE),
        ((510, 1000), (600, 1000), 0.85, 5.1e-5, Outcome.PASSED),
    ],
)
def test_four_fifths_asks_the_limit_and_chance(
    low: tuple[int, int], high: tuple[int, int], ratio: float, p: float, outcome: Outcome
) -> None:
    found = parity_ratio([selected("low", *low), selected("high", *high)], 10)
    assert found.value == pytest.approx(ratio, abs=5e-4)
    assert found.p == pytest.approx(p, rel=0.02)
    assert judge_disparity(found, 0.8, "race").outcome is outcome


def test_the_z_of_the_golden_case() -> None:
    z, p = z_test(Share(48, 80), Share(21, 50))
    assert (z, p) == (pytest.approx(2.0007, abs=5e-5), pytest.approx(0.0454, abs=5e-5))


def test_a_gap_within_the_limit_that_is_no_chance_passes_with_a_warning() -> None:
    found = parity_ratio([selected("a", 510, 1000), selected("b", 600, 1000)], 30)
    judged = judge_disparity(found, 0.8, "race")
    assert judged.outcome is Outcome.PASSED
    assert warning(found) == "yet a and b differ by more than chance"
    assert str(warning(found)) in judged.reason


def test_exactly_four_fifths_is_within() -> None:
    found = parity_ratio([selected("a", 480, 1000), selected("b", 600, 1000)], 30)
    assert judge_disparity(found, 0.8, "race").outcome is Outcome.PASSED


def test_a_small_extreme_does_not_hide_a_large_group_that_is_surely_apart() -> None:
    groups = [selected("few", 6, 10), selected("large", 650, 1000), selected("most", 820, 1000)]
    found = parity_ratio(groups, 10)
    assert float(found.p or 0) > 0.05
    assert (found.lowest, found.proven_groups) == ("few", ("large", "most"))
    judged = judge_disparity(found, 0.8, "race")
    assert judged.outcome is Outcome.FAILED
    assert "surely so for large to most" in judged.reason


def test_a_group_without_positives_has_no_rate_and_settles_nothing() -> None:
    groups = [confusion("a", 40, 5, 10, 45), confusion("b", 40, 5, 10, 45), confusion("c", 0, 0, 0, 80)]
    found = odds_difference(groups, 10)
    assert found.unknown == ("c",)
    judged = judge_disparity(found, 0.9, "race")
    assert judged.outcome is Outcome.INCONCLUSIVE
    assert "c had no rows to take such a rate from" in judged.reason
    alone = odds_difference([groups[0], groups[2]], 10)
    assert alone.value is None
    assert judge_disparity(alone, 0.9, "race").outcome is Outcome.INCONCLUSIVE


def test_a_group_without_positives_does_not_excuse_the_others() -> None:
    groups = [confusion("a", 90, 5, 10, 45), confusion("b", 40, 5, 60, 45), confusion("c", 0, 0, 0, 80)]
    assert judge_disparity(odds_difference(groups, 10), 0.2, "race").outcome is Outcome.FAILED


def test_small_groups_are_named_and_never_the_extreme() -> None:
    groups = [selected("a", 60, 100), selected("b", 55, 100), selected("few", 0, 5)]
    found = parity_ratio(groups, 30)
    assert (found.lowest, found.small) == ("b", (("few", 5),))
    named = judge_rows("few", 5, 30, "race")
    assert (named.gate, named.slice, named.outcome) == ("fairness.rows", "race = few", Outcome.INCONCLUSIVE)
    assert "5 rows" in named.reason
    assert parity_ratio(groups[1:], 30).problem == "only b has 30 rows or more, and it takes two groups to compare"


def test_nobody_selected_is_no_ratio() -> None:
    found = parity_ratio([selected("a", 0, 100), selected("b", 0, 90)], 30)
    judged = judge_disparity(found, 0.8, "race")
    assert judged.outcome is Outcome.INCONCLUSIVE
    assert "nobody got the favourable decision" in judged.reason


def test_one_group_never_selected_is_a_ratio_of_zero() -> None:
    found = parity_ratio([selected("a", 0, 100), selected("b", 90, 100)], 30)
    assert (found.value, found.lower) == (0.0, 0.0)
    assert 0 < float(found.upper or 0) < 0.1
    assert judge_disparity(found, 0.8, "race").outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("refused", "rows", "outcome"),
    [(40, 100, Outcome.FAILED), (11, 50, Outcome.INCONCLUSIVE), (10, 100, Outcome.PASSED)],
)
def test_a_refusal_rate_is_judged_by_its_own_interval(refused: int, rows: int, outcome: Outcome) -> None:
    found = highest_refusal([selected("a", rows - refused, rows), selected("b", 95, 100)], 30)
    assert found.highest == "a"
    assert judge_disparity(found, 0.2, "race").outcome is outcome


@pytest.mark.parametrize(("count", "rows", "lower", "upper"), [(0, 10, 0, 0.2775), (8, 10, 0.4902, 0.9433)])
def test_wilson_intervals_of_the_textbook(count: int, rows: int, lower: float, upper: float) -> None:
    assert Share(count, rows).interval == pytest.approx((lower, upper), abs=5e-5)


def test_newcombe_interval_of_his_own_example() -> None:
    """56/70 v 48/80: 0.0524 to 0.3339 (Newcombe 1998, table II, method 10)."""
    found = parity_difference([selected("a", 56, 70), selected("b", 48, 80)], 30)
    assert (found.value, found.lower, found.upper) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def draw(seed: int, rows: int = 2000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups, labels and decisions; the rarest group is a twentieth."""
    random = np.random.default_rng(seed)
    group = random.choice(["a", "b", "c"], rows, p=[0.6, 0.35, 0.05])
    label = (random.random(rows) < np.where(group == "a", 0.6, 0.45)).astype(int)
    decision = np.where(random.random(rows) < 0.75, label, random.integers(0, 2, rows))
    return group, label, decision


def groups_of(group: np.ndarray, label: np.ndarray, decision: np.ndarray) -> list[Group]:
    def one(name: str) -> Group:
        y, d = label[group == name], decision[group == name]
        cells = [int(((d == a) & (y == b)).sum()) for a, b in ((1, 1), (1, 0), (0, 1), (0, 0))]
        return confusion(name, *cells)

    return [one(name) for name in np.unique(group)]


@pytest.mark.parametrize("seed", range(5))
def test_the_measures_are_fairlearns(seed: int) -> None:
    from fairlearn import metrics as fairlearn
    from sklearn.metrics import accuracy_score

    group, label, decision = draw(seed)
    about: dict[str, Any] = {"sensitive_features": group}
    ours = groups_of(group, label, decision)
    accuracy = fairlearn.MetricFrame(metrics=accuracy_score, y_true=label, y_pred=decision, **about)
    assert parity_ratio(ours, 1).value == pytest.approx(fairlearn.demographic_parity_ratio(label, decision, **about))
    gap = fairlearn.demographic_parity_difference(label, decision, **about)
    assert parity_difference(ours, 1).value == pytest.approx(gap)
    odds = fairlearn.equalized_odds_difference(label, decision, **about)
    assert odds_difference(ours, 1).value == pytest.approx(odds)
    assert accuracy_difference(ours, 1).value == pytest.approx(accuracy.difference())


def test_the_intervals_hold_what_they_promise() -> None:
    """95 % of the time, within the error of 2000 rounds, for shares like those of real decisions."""
    random, inside = np.random.default_rng(0), {"ratio": 0, "difference": 0}
    for low, high in zip(random.binomial(80, 0.72, 2000), random.binomial(600, 0.93, 2000), strict=True):
        pair = [selected("low", int(low), 80), selected("high", int(high), 600)]
        ratio, difference = parity_ratio(pair, 30), parity_difference(pair, 30)
        inside["ratio"] += float(ratio.lower or 0) <= 0.72 / 0.93 <= float(ratio.upper or 0)
        inside["difference"] += float(difference.lower or 0) <= 0.21 <= float(difference.upper or 0)
    assert 0.94 <= inside["ratio"] / 2000 <= 0.97
    assert 0.94 <= inside["difference"] / 2000 <= 0.97


@pytest.mark.parametrize(("rate", "most"), [(0.7, 0.065), (0.9, 0.005)])
def test_two_groups_that_are_alike_are_seldom_called_apart(rate: float, most: float) -> None:
    """At worst as often as the test's level: 60 rows each, one true rate, 2000 rounds."""
    random = np.random.default_rng(1)
    draws = zip(random.binomial(60, rate, 2000), random.binomial(60, rate, 2000), strict=True)
    failed = [judge(int(a), int(b)).outcome is Outcome.FAILED for a, b in draws]
    assert np.mean(failed) <= most


def judge(one: int, other: int) -> Finding:
    return judge_disparity(parity_ratio([selected("a", one, 60), selected("b", other, 60)], 30), 0.8, "race")


cells = st.tuples(*[st.integers(0, 60)] * 4).filter(any)


@given(st.lists(cells, min_size=1, max_size=5), st.integers(1, 40))
def test_whatever_is_counted_a_value_comes_with_its_interval_or_a_reason(
    drawn: list[tuple[int, int, int, int]], min_rows: int
) -> None:
    groups = [confusion(f"g{place}", *counts) for place, counts in enumerate(drawn)]
    for measure in (parity_ratio, parity_difference, odds_difference, accuracy_difference, highest_refusal):
        found = measure(groups, min_rows)
        assert (found.value is None) == (found.problem is not None)
        if found.value is not None:
            assert found.lower is not None
            assert found.upper is not None
            assert not found.lower > found.value + 1e-9
            assert not found.upper < found.value - 1e-9
        for limit in (0.2, 0.8):
            assert judge_disparity(found, limit, "by").reason


@pytest.mark.parametrize("count", [2, 3, 10])
def test_alike_groups_seldom_fail_however_many_they_are(count: int) -> None:
    """Groups of 60 with the same true share: a FAILED verdict is a false alarm, and at most 5 in 100 may be."""
    draw, failed = np.random.default_rng(count), 0
    for _ in range(400):
        shares = [Share(int(draw.binomial(60, 0.7)), 60) for _ in range(count)]
        groups = [Group(f"g{i}", share, share, share, share) for i, share in enumerate(shares)]
        found = parity_ratio(groups, 30)
        failed += judge_disparity(found, 0.999, "group").outcome is Outcome.FAILED
    assert failed / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_fishers_exact_test_of_the_textbook() -> None:
    """A lady tasting tea; a table of Agresti's with one side emptier."""
    assert apart_by_chance(3, 4, 1, 4) == pytest.approx(0.4857, abs=1e-4)
    assert apart_by_chance(1, 10, 11, 14) == pytest.approx(0.002759, abs=1e-6)
    assert apart_by_chance(0, 10, 0, 14) == apart_by_chance(10, 10, 14, 14) == 1.0


def test_a_rare_answer_of_a_small_group_is_no_proof() -> None:
    """z = 3.1, p = 0.002: two of thirty where one in a hundred is usual come once in thirty such groups."""
    groups = [selected("few", 2, 30), selected("many", 200, 20_000)]
    found = parity_ratio(groups, 30, 0.01)
    assert found.p is not None
    assert found.p < 0.01
    assert found.proven is None
