"""Contributions to one decision: exact where they can be known, adding up always, the same again, and in words."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from steward.errors import DataError
from steward.evaluation.explanation import EXACT_UP_TO, Explanation, account, explain, reasons
from steward.spec import ModelSpec


def spec_of(count: int, **features: Any) -> ModelSpec:
    numbers: dict[str, Any] = {f"x{i}": {"type": "number", "max_missing": 1.0} for i in range(count)}
    return ModelSpec.model_validate(
        {
            "model": "toy",
            "title": "Toy",
            "purpose": "Tests",
            "owner": {"team": "t", "name": "O", "email": "o@example.com", "user": "o"},
            "risk_tier": "low",
            "task": "binary_classification",
            "data": {"id": "id", "time": "at", "label": {"column": "y"}, "features": {**numbers, **features}},
            "training": {"window": {"days": 9}},
            "evaluation": {"holdout": {"days": 2}, "metrics": {"roc_auc": {"min": 0.5}}},
            "deployment": {"strategy": "direct"},
        }
    )


def matrix(columns: dict[str, Any]) -> np.ndarray:
    return np.column_stack([columns[f"x{i}"] for i in range(sum(name.startswith("x") for name in columns))])


def tangled(columns: dict[str, Any]) -> np.ndarray:
    """Interactions of neighbours on top of a linear part."""
    x = matrix(columns)
    return 0.02 * x @ np.arange(1, x.shape[1] + 1) + 0.05 * (x[:, :-1] * x[:, 1:]).sum(axis=1)


def by_all_orders(count: int, row: np.ndarray) -> np.ndarray:
    """The definition, without any cleverness: the mean gain over every order of the features."""
    gains = np.zeros(count)
    orders = list(permutations(range(count)))
    for order in orders:
        at, before = np.zeros(count), 0.0
        for j in order:
            at[j] = row[j]
            after = float(tangled({f"x{i}": at[[i]] for i in range(count)})[0])
            gains[j] += after - before
            before = after
    return gains / len(orders)


def amounts(found: Explanation) -> dict[str, float]:
    return {each.feature: each.amount for each in found.contributions}


def test_few_features_are_explained_exactly() -> None:
    row = np.array([1.0, -2.0, 3.0, 0.5, 2.0])
    found = explain(
        spec_of(5), tangled, {f"x{i}": v for i, v in enumerate(row)}, {f"x{i}": 0.0 for i in range(5)}, "d1"
    )
    assert found.exact
    assert [amounts(found)[f"x{i}"] for i in range(5)] == pytest.approx(list(by_all_orders(5, row)), abs=1e-12)
    assert all(each.error == 0 for each in found.contributions)


@pytest.mark.parametrize("count", [3, EXACT_UP_TO, EXACT_UP_TO + 1, 25])
def test_contributions_add_up_to_the_score(count: int) -> None:
    draw = np.random.default_rng(count)
    row = {f"x{i}": v for i, v in enumerate(draw.normal(size=count))}
    found = explain(spec_of(count), tangled, row, {f"x{i}": 0.5 for i in range(count)}, "d")
    assert found.exact == (count <= EXACT_UP_TO)
    total = found.reference_score + sum(each.amount for each in found.contributions)
    assert total == pytest.approx(found.score, abs=1e-12)


def test_an_additive_model_is_explained_without_error_however_many_features() -> None:
    weights = np.linspace(-1, 1, 30)
    row = {f"x{i}": float(i % 3) for i in range(30)}
    found = explain(spec_of(30), lambda c: matrix(c) @ weights, row, {f"x{i}": 1.0 for i in range(30)}, "d")
    for i in range(30):
        assert amounts(found).get(f"x{i}", 0.0) == pytest.approx(weights[i] * (row[f"x{i}"] - 1.0), abs=1e-12)
    assert max(each.error for each in found.contributions) < 1e-12


def test_sampled_contributions_are_near_the_exact_ones_by_their_own_error() -> None:
    """Twelve features that each differ, five of them pairwise entangled: the exact values are known in closed form."""
    count, draw = 12, np.random.default_rng(1)
    row = draw.normal(size=count)
    found = explain(
        spec_of(count), tangled, {f"x{i}": v for i, v in enumerate(row)}, {f"x{i}": 0.0 for i in range(count)}, "d"
    )
    # A product of two features is shared half and half.
    halves = 0.025 * row[:-1] * row[1:]
    exact = 0.02 * row * np.arange(1, count + 1) + np.r_[halves, 0] + np.r_[0, halves]
    for i in range(count):
        each = next(c for c in found.contributions if c.feature == f"x{i}")
        assert abs(each.amount - exact[i]) <= max(5 * each.error, 1e-12)


def test_a_feature_the_model_ignores_adds_nothing_and_equal_ones_are_left_out() -> None:
    row = {"x0": 1.0, "x1": 5.0, "x2": 0.0}
    found = explain(spec_of(3), lambda c: 2 * c["x0"], row, {"x0": 0.0, "x1": 0.0, "x2": 0.0}, "d")
    assert amounts(found) == {"x0": 2.0, "x1": 0.0}


def test_the_same_decision_is_explained_the_same_again() -> None:
    count = 20
    row, reference = {f"x{i}": float(i) for i in range(count)}, {f"x{i}": 0.0 for i in range(count)}
    spec = spec_of(count)

    def curved(columns: dict[str, Any]) -> np.ndarray:
        return 1 / (1 + np.exp(-matrix(columns).sum(axis=1) / 40))

    first, again = (explain(spec, curved, row, reference, "d1") for _ in range(2))
    assert first == again
    assert explain(spec, curved, row, reference, "d2") != first


def test_missing_values_are_values_too() -> None:
    spec = spec_of(1, kind={"type": "category"})
    found = explain(
        spec,
        lambda c: np.isnan(c["x0"]) * 0.25 + np.array([k == "b" for k in c["kind"]]) * 0.5,
        {"x0": None, "kind": "b"},
        {"x0": 3.0, "kind": "a"},
        "d",
    )
    assert amounts(found) == pytest.approx({"kind": 0.5, "x0": 0.25})
    nothing = explain(spec, lambda c: np.zeros(len(c["x0"])), {"x0": None, "kind": "a"}, {"x0": None, "kind": "a"}, "d")
    assert nothing.contributions == ()


def test_reasons_are_what_went_against_the_person() -> None:
    spec = spec_of(2, debt={"type": "number", "reason": "Debt is high for the income"})
    found = explain(
        spec,
        lambda c: 0.5 + 0.1 * c["x0"] - 0.2 * c["debt"] - 0.05 * c["x1"],
        {"x0": 1.0, "x1": 1.0, "debt": 2.0},
        {"x0": 0.0, "x1": 0.0, "debt": 0.0},
        "d",
    )
    told = reasons(spec, found, favourable=True)
    assert [(r.code, r.text) for r in told] == [("debt", "Debt is high for the income"), ("x1", "x1 is 1, usually 0")]
    assert [r.code for r in reasons(spec, found, favourable=False)] == ["x0"]
    assert [r.code for r in reasons(spec, found, favourable=True, most=1)] == ["debt"]
    refused, granted = account(spec, found, 0.5), account(spec, found, 0.1)
    assert (refused["decision"], refused["favourable"], len(refused["reasons"])) == (0, False, 2)
    assert (granted["decision"], granted["favourable"], granted["reasons"]) == (1, True, [])


def test_a_reference_without_a_feature_cannot_explain() -> None:
    with pytest.raises(DataError, match=r"lacks x1[\s\S]*train a version for this spec"):
        explain(spec_of(2), tangled, {"x0": 1.0, "x1": 1.0}, {"x0": 0.0}, "d")


def test_a_model_without_a_finite_score_is_not_explained() -> None:
    with pytest.raises(DataError, match="no finite score"):
        explain(spec_of(2), lambda c: np.full(len(c["x0"]), np.nan), {"x0": 1.0, "x1": 1.0}, {"x0": 0, "x1": 0}, "d")
