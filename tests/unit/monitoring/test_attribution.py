from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.specs import a_data_section, a_spec

from steward.errors import DataError
from steward.monitoring.profiles.attribution import Attribution, attribute, ndcg, ndcg_by_chance
from steward.types import canonical

FEATURES = {
    "a": {"type": "number"},
    "b": {"type": "number"},
    "hub": {"type": "boolean"},
    "carrier": {"type": "category"},
    "income": {"type": "number"},
}
SPEC = a_spec(data=a_data_section(FEATURES, privacy={"income": "drop"}))
REFERENCE = {"a": 0.0, "b": 0.0, "hub": False, "carrier": "AA", "income": 5.0}


def rows(count: int, seed: int, prefix: str = "", **scale: float) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            f"{prefix}a": draw.normal(scale=scale.get("a", 1), size=count),
            f"{prefix}b": draw.normal(scale=scale.get("b", 1), size=count),
            f"{prefix}hub": draw.random(count) < 0.5,
            f"{prefix}carrier": draw.choice(["AA", "UA"], count),
        }
    )


def linear(frame: pd.DataFrame) -> Any:
    assert frame["income"].eq(5.0).all()
    hub, carrier = (frame["hub"] == True).astype(float), (frame["carrier"] == "UA").astype(float)  # noqa: E712
    return 3 * frame["a"] + 1 * frame["b"] + 2 * hub + 0.5 * carrier


def test_the_pinned_ndcg() -> None:
    assert ndcg([0.7, 0.2, 0.1], [0.1, 0.2, 0.7]) == pytest.approx(0.6576069, abs=1e-7)
    assert ndcg([0.7, 0.2, 0.1], [5, 4, 3]) == 1
    assert np.isnan(ndcg([0, 0], [1, 2]))


def test_by_hand_of_a_linear_model() -> None:
    frame = pd.DataFrame({"a": [1.0, -3.0], "b": [4.0, 0.0], "hub": [True, False], "carrier": ["UA", "UA"]})
    found = attribute(SPEC, linear, frame, REFERENCE)
    assert found.rows == 2
    assert found.means == pytest.approx({"a": 6.0, "b": 2.0, "hub": 1.0, "carrier": 0.5})
    assert found.parts[:, 0].tolist() == [3.0, 9.0]


def test_rows_of_the_log_say_the_same_as_rows_of_the_source() -> None:
    plain, logged = rows(50, 0), rows(50, 0, "f_")
    logged["f_hub"] = logged["f_hub"].astype(float)
    assert attribute(SPEC, linear, plain, REFERENCE).means == attribute(SPEC, linear, logged, REFERENCE).means


def test_it_is_small_json_and_comes_back() -> None:
    """As it is stored, where keys are sorted and names of features need not be."""
    spec = a_spec(data=a_data_section({name: FEATURES[name] for name in ("b", "a", "hub", "carrier")}))
    found = attribute(spec, lambda frame: 3 * frame["a"] + frame["b"], rows(500, 0), REFERENCE)
    assert found.rows == 200
    text = canonical(found.to_json()).decode()
    back = Attribution.from_json(json.loads(text))
    assert len(text) < 3000
    assert back.names == found.names == ("b", "a", "hub", "carrier")
    assert back.means["a"] > back.means["b"] > back.means["hub"] == 0
    assert back.parts == pytest.approx(found.parts, rel=1e-3, abs=1e-3)


def test_probabilities_of_classes_change_by_their_total_variation() -> None:
    def classes(frame: pd.DataFrame) -> Any:
        first = np.where(frame["a"] > 0, 0.8, 0.2)
        return np.column_stack([first, 1 - first, np.zeros(len(frame))])

    frame = pd.DataFrame({"a": [1.0, -1.0], "b": [0.0, 0.0], "hub": [True, True], "carrier": ["AA", None]})
    assert attribute(SPEC, classes, frame, REFERENCE).means["a"] == pytest.approx(0.3)  # 0.6 and 0


def test_a_model_that_gives_no_number_is_a_fault_with_a_name() -> None:
    with pytest.raises(DataError, match="no finite score"):
        attribute(SPEC, lambda frame: np.full(len(frame), np.nan), rows(3, 0), REFERENCE)


@pytest.mark.parametrize("close", [1.0, 0.3])
def test_rankings_of_undrifted_rows_stay_within_chance(close: float) -> None:
    """With features of almost the same weight too, whose order is chance. Of 200 windows some 10 may fall below the
    5 % quantile; more than 20 would come by chance once in 600 times."""

    def near(frame: pd.DataFrame) -> Any:
        return close * frame["a"] + 0.95 * close * frame["b"] + 0.5 * (frame["hub"] == True)  # noqa: E712

    below = 0
    for seed in range(200):
        baseline = attribute(SPEC, near, rows(60, 2 * seed), REFERENCE)
        window = attribute(SPEC, near, rows(60, 2 * seed + 1), REFERENCE)
        value = ndcg(list(baseline.means.values()), list(window.means.values()))
        below += value < ndcg_by_chance(baseline.parts, window.parts, 0.05)
    assert below <= 20
