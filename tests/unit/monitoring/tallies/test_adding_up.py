"""Merged is whole: however rows are split over days and shards, the counts come to the same."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.monitoring.tallies.rows import binary_spec, other_spec, plain, profile_of, rows

from steward.errors import DataError
from steward.monitoring.profiles.profile import build_profile
from steward.monitoring.tallies import CoMoments, GroupTally, Moments, Tally
from steward.monitoring.tallies.answers import MOST_GROUPS, OTHERS, pack_cells, unpack_cells
from steward.monitoring.tallies.counting import tally_of

SPEC = binary_spec()
REFERENCE = rows(3000, seed=0)
PROFILE = profile_of(SPEC, REFERENCE)
SERVED = rows(400)
WHOLE = tally_of(SPEC, PROFILE, "d", SERVED)

EXAMPLES = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def same(left: Any, right: Any) -> bool:
    """Equal, numbers with fractions to 1e-9 of their size."""
    if isinstance(left, float) or isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(left, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, Sequence) and not isinstance(left, str):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def alike(left: Tally, right: Tally) -> bool:
    return same(left.to_json(), right.to_json())


def count(frame: pd.DataFrame) -> Tally:
    return tally_of(SPEC, PROFILE, "d", frame)


@EXAMPLES
@given(st.lists(st.integers(0, 2), min_size=len(SERVED), max_size=len(SERVED)))
def test_three_shards_add_up_to_the_whole_in_any_order(shard: list[int]) -> None:
    first, second, third = (count(SERVED[np.array(shard) == place]) for place in range(3))
    assert alike((first + second) + third, WHOLE)
    assert alike(first + (second + third), WHOLE)
    assert alike(third + first + second, WHOLE)


@EXAMPLES
@given(st.integers(0, 400))
def test_a_tally_survives_json(cut: int) -> None:
    part = count(SERVED[:cut])
    assert Tally.from_json(json.loads(json.dumps(part.to_json(), allow_nan=False))) == part


def test_nothing_adds_nothing() -> None:
    nothing = count(SERVED[:0])
    assert nothing.rows == 0
    assert alike(WHOLE + nothing, WHOLE)
    assert alike(Tally.total("d", []) + WHOLE, WHOLE)
    assert Tally.total("d", [WHOLE, WHOLE]).columns["temp"].rows == 2 * len(SERVED)


def test_several_classes_and_a_regression_add_up_too() -> None:
    for task, metric, classes in (
        ("multiclass_classification", "log_loss", ["a", "b", "c"]),
        ("regression", "mae", None),
    ):
        spec = other_spec(task, metric, **({"classes": classes} if classes else {}))
        chances = np.random.default_rng(0).dirichlet([1, 1, 1], len(SERVED))
        frame = SERVED.assign(score=chances.argmax(axis=1), label=SERVED["f_weekday"] % 3, error=None)
        frame["probabilities"] = list(chances)
        scores = chances if classes else frame["score"]
        profile = build_profile(spec, plain(frame), scores, frame["label"])
        whole = tally_of(spec, profile, "d", frame)
        parts = (tally_of(spec, profile, "d", frame[start::3]) for start in range(3))
        assert alike(Tally.total("d", parts), whole)
        assert Tally.from_json(json.loads(json.dumps(whole.to_json()))) == whole


def test_counts_against_two_profiles_are_not_added() -> None:
    with pytest.raises(DataError, match="cannot be added"):
        WHOLE + Tally("another")


numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
vectors = st.lists(numbers, max_size=30).map(lambda values: np.array(values, np.float64))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(vectors, vectors)
def test_moments_of_parts_are_moments_of_all(left: Any, right: Any) -> None:
    whole, parts = Moments.of(np.concatenate([left, right])), Moments.of(left) + Moments.of(right)
    assert (parts.n, parts.low, parts.high) == (whole.n, whole.low, whole.high)
    size = max((abs(value) for value in (*left, *right)), default=0.0)
    assert math.isclose(parts.mean, whole.mean, rel_tol=1e-9, abs_tol=1e-9 * size)
    assert math.isclose(parts.m2, whole.m2, rel_tol=1e-9, abs_tol=1e-9 * size * size)
    assert Moments.from_json(json.loads(json.dumps(parts.to_json()))) == parts


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), max_size=40), st.integers(0, 40))
def test_pairs_of_parts_are_pairs_of_all(pairs: list[tuple[int, int]], cut: int) -> None:
    x, y = np.array(pairs, np.float64).reshape(-1, 2).T
    whole, parts = CoMoments.of(x, y), CoMoments.of(x[:cut], y[:cut]) + CoMoments.of(x[cut:], y[cut:])
    assert math.isclose(parts.product, whole.product, rel_tol=1e-9, abs_tol=1e-6)
    if len(pairs) > 2 and whole.correlation is not None:
        assert whole.correlation == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
        assert parts.correlation == pytest.approx(whole.correlation, abs=1e-9)


def test_cells_are_packed_from_the_first_to_the_last() -> None:
    assert pack_cells({}) == []
    assert pack_cells({-3: 1, 0: 7}) == [-3, 1, 0, 0, 7]
    assert unpack_cells(pack_cells({998: 2, 5: 1})) == {5: 1, 998: 2}


def test_of_too_many_groups_the_rarest_are_counted_as_one() -> None:
    def day(names: range) -> Tally:
        return Tally("d", groups={"zip": {str(name): GroupTally(rows=1 + (name % 2)) for name in names}})

    whole = day(range(300)) + day(range(250, 550))
    groups = whole.groups["zip"]
    assert len(groups) == MOST_GROUPS + 1
    assert sum(group.rows for group in groups.values()) == 900
    assert groups[OTHERS].rows == 150
    assert sum(group.rows for group in (whole + day(range(5))).groups["zip"].values()) == 907
