"""The parity gate: a twin that answers otherwise never serves, and says on which rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import OneHotEncoder
from tests.unit.adapters.test_onnx_twin import boosted, columns, frame, labels, scaled
from tests.unit.serving.conftest import make_spec

from steward.adapters.onnx_twin import OnnxTwins
from steward.gates import Outcome, Verdict
from steward.spec import ModelSpec
from steward.testing.tracking import FakeTwins
from steward.training.twins import LIMIT, judge_twin, make_twin, with_twin_judged

FEATURES = {
    "distance": {"type": "number"},
    "carrier": {"type": "category"},
    "stop_2": {"type": "integer"},
    "temp": {"type": "number", "max_missing": 0.5},
    "way_out": {"type": "category", "max_missing": 0.5},
    "holiday": {"type": "boolean"},
}


def spec_with(onnx: str = "auto") -> ModelSpec:
    made = make_spec(features=FEATURES)
    return made.model_copy(update={"deployment": made.deployment.model_copy(update={"onnx": onnx})})


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return frame()


@pytest.fixture(scope="module")
def model(rows: pd.DataFrame) -> Any:
    return columns(boosted()).fit(rows, labels(rows))


class Shifted:
    """Answers as a model does, a little higher where a row is as said."""

    def __init__(self, model: Any, by: float, where: Any = None) -> None:
        self.model, self.by, self.where = model, by, where or (lambda rows: np.ones(len(rows), dtype=bool))

    def predict_proba(self, rows: pd.DataFrame) -> Any:
        shares = self.model.predict_proba(rows)
        shares[:, 1] += self.by * self.where(rows)
        return shares


def test_a_twin_that_answers_the_same_serves_with_its_figures(rows: pd.DataFrame, model: Any) -> None:
    twin = make_twin(spec_with(), OnnxTwins(), model, rows)
    assert twin.content is not None
    assert twin.body["serves"]
    assert twin.body["probes"]["the hold-out"]["rows"] == len(rows)
    assert {"rows without temp", "rows without any of these", "rows with an unseen carrier"} <= set(twin.body["probes"])
    assert "rows without distance" not in twin.body["probes"], "the contract lets no such request through"
    assert all(0 <= found["largest"] <= LIMIT for found in twin.body["probes"].values())


@pytest.mark.parametrize(("by", "serves"), [(LIMIT / 2, True), (LIMIT * 2, False)])
def test_the_limit_is_what_it_says(rows: pd.DataFrame, model: Any, by: float, serves: bool) -> None:
    twin = make_twin(spec_with(), FakeTwins(Shifted(model, by)), model, rows)
    assert (twin.content is not None, twin.body["serves"]) == (serves, serves)


def test_one_decision_that_differs_is_too_many(rows: pd.DataFrame) -> None:
    """However small the difference of the scores: a score that lies on the threshold."""

    class Even:
        classes_ = np.array([0, 1])

        def predict_proba(self, rows: pd.DataFrame) -> Any:
            return np.full((len(rows), 2), 0.5)

    twin = make_twin(spec_with(), FakeTwins(Shifted(Even(), -1e-7)), Even(), rows)
    assert twin.content is None
    assert f"{len(rows)} of {len(rows)} decisions differ" in twin.body["reason"]


def test_a_fault_is_told_with_the_rows_it_shows_on(rows: pd.DataFrame, model: Any) -> None:
    unseen = Shifted(model, 0.2, lambda asked: (asked["carrier"] == "never seen in training").to_numpy())
    twin = make_twin(spec_with(), FakeTwins(unseen), model, rows)
    assert twin.body["reason"].startswith("it does not answer as the model does, on rows with an unseen carrier: ")
    assert twin.body["probes"]["the hold-out"]["fault"] == ""


def test_where_the_model_says_nothing_the_twin_must_not_answer(rows: pd.DataFrame) -> None:
    """A difference from a score that is no number is no number either, and within no limit."""

    class Speechless:
        classes_ = np.array([0, 1])

        def predict_proba(self, rows: pd.DataFrame) -> Any:
            return np.full((len(rows), 2), np.nan)

    class Sure:
        def predict_proba(self, rows: pd.DataFrame) -> Any:
            return np.tile([1.0, 0.0], (len(rows), 1))

    twin = make_twin(spec_with(), FakeTwins(Sure()), Speechless(), rows)
    assert (twin.content, "or not finite" in twin.body["reason"]) == (None, True)


def test_a_row_that_the_model_refuses_the_twin_must_refuse(rows: pd.DataFrame) -> None:
    strict = columns(boosted(), texts=OneHotEncoder(handle_unknown="error", sparse_output=False))
    strict.fit(rows, labels(rows))
    assert make_twin(spec_with(), OnnxTwins(), strict, rows).content is not None
    lax = columns(boosted()).fit(rows, labels(rows))
    twin = make_twin(spec_with(), FakeTwins(lax), strict, rows)
    assert "scikit-learn refuses them (ValueError), and only scikit-learn" in twin.body["reason"]


def test_a_converter_that_is_wrong_is_found_out(rows: pd.DataFrame) -> None:
    model = columns(LinearDiscriminantAnalysis(), numbers=scaled()).fit(rows, labels(rows))
    twin = make_twin(spec_with(), OnnxTwins(), model, rows)
    assert (twin.content, twin.body["serves"]) == (None, False)
    assert "on the hold-out: a score differs by" in twin.body["reason"]


def test_without_a_twin_the_reason_is_kept(rows: pd.DataFrame, model: Any) -> None:
    assert make_twin(spec_with("off"), OnnxTwins(), model, rows).body["reason"] == "the spec says onnx: off"
    assert make_twin(spec_with(), FakeTwins(), model, rows).body["reason"] == "nothing is converted in memory"


def test_required_stops_a_candidate_without_one(rows: pd.DataFrame, model: Any) -> None:
    required = spec_with("required")
    without = make_twin(required, FakeTwins(), model, rows).body
    (finding,) = judge_twin(required, without)
    assert (finding.gate, finding.outcome) == ("onnx_twin", Outcome.FAILED)
    assert finding.reason == "the spec requires an ONNX twin: nothing is converted in memory"
    assert with_twin_judged(required, without, Verdict()).outcome is Outcome.FAILED
    assert judge_twin(required, make_twin(required, OnnxTwins(), model, rows).body)[0].outcome is Outcome.PASSED
    assert judge_twin(required, None)[0].outcome is Outcome.INCONCLUSIVE
    assert judge_twin(spec_with(), without) == []
