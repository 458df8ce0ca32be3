"""Two fitted estimators hold the same, or the parts that differ are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from steward.adapters.skops_models import load_model, save_model
from steward.training.likeness import MOST, differing_parts

DRAW = np.random.default_rng(0)
ROWS = pd.DataFrame(DRAW.normal(size=(200, 3)), columns=["a", "b", "c"])
LABELS = (ROWS["a"] + ROWS["b"] > 0).astype(int).to_numpy()
BUILDERS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=5, random_state=0),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=5, random_state=0),
    "neural": lambda: MLPClassifier((4,), max_iter=5, random_state=0),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BUILDERS)
def test_what_was_stored_holds_what_was_fitted_again_and_not_what_was_fitted_otherwise(
    name: str, tmp_path: Path
) -> None:
    digest = save_model(BUILDERS[name]().fit(ROWS, LABELS), tmp_path)
    stored = load_model(tmp_path, digest)
    assert differing_parts(stored, BUILDERS[name]().fit(ROWS, LABELS)) == []
    assert differing_parts(stored, BUILDERS[name]().fit(ROWS, 1 - LABELS))


def test_the_part_that_differs_is_named() -> None:
    one, other = (make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS) for _ in range(2))
    other[-1].coef_[0, 1] = np.nextafter(other[-1].coef_[0, 1], np.inf)
    (part,) = differing_parts(one, other)
    assert part.endswith("coef_")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (float("nan"), float("nan"), True),
        (np.float64(1.5), 1.5, True),
        (1, 1.0, False),
        ({"a": [1, (2,)]}, {"a": [1, (2,)]}, True),
        ({"a": 1}, {"b": 1}, False),
        ([1, 2], [1], False),
        ({1, 2}, {2, 1}, True),
        (np.array(["x", None], object), np.array(["x", None], object), True),
        (np.array(["x", None], object), np.array(["x", "y"], object), False),
        (np.zeros(3), np.zeros((3, 1)), False),
        (len, len, True),
        (len, max, False),
    ],
)
def test_plain_values(one: Any, other: Any, same: bool) -> None:
    assert (differing_parts([one], [other]) == []) is same


def test_a_ring_ends_and_a_long_list_is_cut() -> None:
    one: list[Any] = [1]
    other: list[Any] = [1]
    one.append(one)
    other.append(other)
    assert differing_parts(one, other) == []
    assert len(differing_parts(list(range(99)), list(range(1, 100)))) == MOST
