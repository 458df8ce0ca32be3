"""The threshold is part of the artefact: given, tried by hand, or searched for so that groups fare alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.semi_supervised import SelfTrainingClassifier
from tests.unit.specs import a_data_section, a_spec

from steward.adapters.skops_models import load_model, save_model
from steward.errors import DataError, ModelCodeError
from steward.spec import ModelSpec
from steward.training import ModelCode
from steward.training.fitting import Fitted, fit, score
from steward.training.thresholds import decision_threshold

BUILD = "from sklearn.linear_model import LogisticRegression\ndef build(params):\n    return LogisticRegression()\n"


def the_spec(threshold: dict[str, float] | None = None, **more: Any) -> ModelSpec:
    data = a_data_section({"x": {"type": "number"}}, protected=("race",), other_columns=("race",))
    wanted = {"threshold": threshold} if threshold else {}
    return a_spec(data=data, training={"window": {"days": 90}, "seed": 3, **wanted}, **more)


def applications(rows: int = 3000) -> pd.DataFrame:
    """Mostly good; one group in five has lower scores, so that a high threshold refuses it more."""
    draw = np.random.default_rng(0)
    few = draw.random(rows) < 0.2
    x = draw.normal(1.2, 1.0, rows) - 1.0 * few
    late = (draw.random(rows) < 1 / (1 + np.exp(-1.5 * x))).astype(float)
    return pd.DataFrame({"x": x, "race": np.where(few, "few", "many"), "late": late})


@pytest.fixture
def trained(tmp_path: Path) -> Any:
    def train(spec: ModelSpec, frame: pd.DataFrame | None = None, build: str = BUILD, **about: Any) -> Fitted:
        (tmp_path / "model.py").write_text(build)
        return fit(spec, ModelCode(tmp_path / "model.py"), applications() if frame is None else frame, {}, **about)

    return train


def test_the_usual_threshold_leaves_the_model_as_it_is(trained: Any) -> None:
    fitted = trained(the_spec())
    assert isinstance(fitted.model, LogisticRegression)
    assert fitted.threshold == {"value": 0.5, "chosen_by": "spec"}


def test_another_threshold_is_carried_by_the_artefact_itself(trained: Any, tmp_path: Path) -> None:
    fitted = trained(the_spec({"at": 0.7}))
    restored = load_model(tmp_path / "artefact", save_model(fitted.model, tmp_path / "artefact"))
    rows = applications()[["x"]]
    scores = score(restored, rows)
    assert decision_threshold(restored) == 0.7
    np.testing.assert_array_equal(restored.predict(rows), (scores >= 0.7).astype(float))
    np.testing.assert_array_equal(scores, score(trained(the_spec()).model, rows))
    assert restored.feature_names_in_.tolist() == ["x"]
    assert restored.classes_.tolist() == [0.0, 1.0]


def test_a_threshold_tried_by_hand_wins(trained: Any) -> None:
    fitted = trained(the_spec({"parity": 0.9}), threshold=0.3)
    assert fitted.threshold == {"value": 0.3, "chosen_by": "run"}
    assert decision_threshold(fitted.model) == 0.3
    assert decision_threshold(trained(the_spec({"at": 0.7}), threshold=0.5).model) == 0.5


@pytest.mark.parametrize("given", [0.0, 1.0, -1.0, 7.0, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(trained: Any, given: float) -> None:
    with pytest.raises(DataError, match="is no probability"):
        trained(the_spec(), threshold=given)


def test_parity_takes_the_best_threshold_that_reaches_it(trained: Any) -> None:
    free, fair = (trained(the_spec({"parity": parity})).threshold for parity in (0.01, 0.85))
    assert free["table"] == fair["table"]
    assert len(fair["table"]) == 99
    reached = [row for row in fair["table"] if (row["parity"]["race"] or 0) >= 0.85]
    assert fair["met"]
    assert fair["value"] in [row["threshold"] for row in reached]
    assert fair["balanced_accuracy"] == max(row["balanced_accuracy"] for row in reached)
    assert free["balanced_accuracy"] > fair["balanced_accuracy"]
    assert fair["value"] < free["value"]


def test_parity_chooses_from_rows_the_scoring_model_had_not_seen(trained: Any) -> None:
    """A model that knows its rows by heart ranks them perfectly; out of fold it ranks nothing."""
    frame = applications(600).assign(late=np.random.default_rng(1).integers(0, 2, 600).astype(float))
    memory = (
        "from sklearn.ensemble import RandomForestClassifier\n"
        "def build(params):\n    return RandomForestClassifier(20, bootstrap=False)\n"
    )
    fitted = trained(the_spec({"parity": 0.1}), frame, memory)
    assert (fitted.model.predict(frame[["x"]]) == frame["late"]).mean() > 0.6
    assert max(row["balanced_accuracy"] for row in fitted.threshold["table"]) < 0.58


def test_the_same_search_gives_the_same_threshold(trained: Any) -> None:
    assert trained(the_spec({"parity": 0.85})).threshold == trained(the_spec({"parity": 0.85})).threshold


def test_where_no_threshold_reaches_the_parity_the_fairest_goes_on_to_the_gates(trained: Any) -> None:
    frame = applications()
    frame["x"] = np.where(frame["race"] == "few", -9.0, 9.0)  # the score says nothing but the group
    frame["late"] = np.where(frame["race"] == "few", frame.index % 200 == 0, frame.index % 200 != 0).astype(float)
    chosen = trained(the_spec({"parity": 0.9}), frame).threshold
    ratios = [row["parity"]["race"] or 0 for row in chosen["table"]]
    assert max(ratios) < 0.9
    assert not chosen["met"]
    assert ratios[round(chosen["value"] * 100) - 1] == max(ratios)


def test_one_group_alone_reaches_no_parity(trained: Any) -> None:
    chosen = trained(the_spec({"parity": 0.5}), applications().assign(race="many")).threshold
    assert not chosen["met"]


def test_too_few_of_the_rarer_outcome_are_said(trained: Any) -> None:
    frame = applications(100).assign(late=[1.0] * 98 + [0.0] * 2)
    with pytest.raises(DataError, match="the rarer outcome has 2 rows, a search takes 5"):
        trained(the_spec({"parity": 0.8}), frame)


def test_a_model_without_probabilities_takes_no_threshold(trained: Any) -> None:
    build = "from sklearn.svm import LinearSVC\ndef build(params):\n    return LinearSVC()\n"
    with pytest.raises(ModelCodeError, match="gives no probabilities"):
        trained(the_spec({"at": 0.7}), build=build)


def test_a_regression_has_no_threshold(trained: Any) -> None:
    build = "from sklearn.linear_model import LinearRegression\ndef build(params):\n    return LinearRegression()\n"
    spec = a_spec(
        task="regression",
        data=a_data_section({"x": {"type": "number"}}),
        evaluation={"holdout": {"days": 14}, "metrics": {"mae": {"max": 1.0}}},
    )
    fitted = trained(spec, build=build)
    assert fitted.threshold is None
    assert isinstance(fitted.model, LinearRegression)
    with pytest.raises(DataError, match="has no threshold"):
        trained(spec, build=build, threshold=0.4)


def test_a_model_that_brings_its_own_threshold_keeps_it(trained: Any) -> None:
    build = (
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.model_selection import FixedThresholdClassifier\n"
        "def build(params):\n    return FixedThresholdClassifier(LogisticRegression(), threshold=0.65)\n"
    )
    fitted = trained(the_spec(), build=build)
    assert fitted.threshold == {"value": 0.65, "chosen_by": "spec"}
    assert decision_threshold(trained(the_spec({"at": 0.8}), build=build).model) == 0.8


def test_only_thresholds_of_decisions_count() -> None:
    frame = applications(300)
    tuned = TunedThresholdClassifierCV(LogisticRegression()).fit(frame[["x"]], frame["late"])
    assert decision_threshold(tuned) == tuned.best_threshold_
    assert decision_threshold(SelfTrainingClassifier(LogisticRegression(), threshold=0.9)) == 0.5
    assert decision_threshold(FixedThresholdClassifier(LogisticRegression())) == 0.5
    assert decision_threshold(None) == 0.5
