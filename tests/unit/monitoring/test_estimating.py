from __future__ import annotations

import json

import numpy as np
import pytest
from tests.unit.monitoring.served_days import (
    binary,
    classified,
    multiclass,
    predicted,
    profile_on,
    regression,
    scored,
)

from steward.monitoring.performance.estimating import Estimator, estimator, expected
from steward.monitoring.performance.measuring import measure_tally
from steward.monitoring.tallies import AnswerTally
from steward.monitoring.tallies.counting import tally_of
from steward.spec import ModelSpec
from steward.types import JsonObject


def an_estimator(profile: JsonObject) -> Estimator:
    """As it reads back from the stored profile."""
    found = estimator(json.loads(json.dumps(profile["calibration"])))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("metric", "value"),
    [("accuracy", 0.825), ("precision", 0.85), ("recall", 0.8095238), ("f1", 0.8292683)],
)
def test_the_confidence_based_estimate_is_the_pinned_one(metric: str, value: float) -> None:
    """ORACLES 3: TP 1.7, FP 0.3, FN 0.4, TN 1.6."""
    chances = np.array([0.9, 0.8, 0.3, 0.1])
    found = expected(metric, chances, chances, np.ones((1, 4)))
    assert found[0] == pytest.approx(value, abs=5e-8)


def test_cells_of_the_score_say_the_same_within_their_width() -> None:
    chances = np.array([0.9, 0.8, 0.3, 0.1])
    middles = (np.floor(chances * 1000) + 0.5) / 1000
    for metric, value in (("accuracy", 0.825), ("precision", 0.85), ("recall", 0.8095238), ("f1", 0.8292683)):
        assert expected(metric, middles, middles, np.ones((1, 4)))[0] == pytest.approx(value, abs=1e-3)


@pytest.fixture(scope="module")
def profile() -> JsonObject:
    return profile_on(binary(), scored)


def test_on_the_holdout_the_estimate_is_what_was_measured(profile: JsonObject) -> None:
    for name, found in profile["calibration"]["estimated"].items():
        assert found["value"] == pytest.approx(profile["performance"][name]["value"], abs=0.012), name


@pytest.mark.parametrize("level", [-2.5, -1.0, 0.5])
@pytest.mark.parametrize("metric", ["accuracy", "precision", "recall", "roc_auc", "brier", "log_loss"])
def test_it_follows_a_covariate_shift(profile: JsonObject, level: float, metric: str) -> None:
    """The scores move, what a score means stays: what ranks and decides well changes, and is foreseen."""
    frame = scored(np.random.default_rng(5), 40_000, level=level)
    tally = tally_of(binary(), profile, "p", frame)
    found, truth = an_estimator(profile), measure_tally(metric, tally.overall).value
    assert found.values(metric, found.read(tally.answers)[None])[0] == pytest.approx(truth, abs=0.03)


def test_it_does_not_see_a_concept_shift(profile: JsonObject) -> None:
    draw = np.random.default_rng(6)
    frame = scored(draw, 10_000)
    turned = frame.assign(label=(draw.random(10_000) < 0.3).astype(float))
    tally, found = tally_of(binary(), profile, "p", turned), an_estimator(profile)
    estimate = found.values("roc_auc", found.read(tally.answers)[None])[0]
    assert estimate == pytest.approx(profile["performance"]["roc_auc"]["value"], abs=0.03)
    assert measure_tally("roc_auc", tally.overall).value == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy"])
def test_its_error_is_the_spread_of_its_change_over_other_rows(metric: str) -> None:
    """Other hold-outs and other windows of the same model, unmoved."""
    changes, said = [], []
    for seed in range(24):
        profile = profile_on(binary(), scored, days=3, rows=500, seed=seed)
        found = an_estimator(profile)
        vector = found.read(tally_of(binary(), profile, "p", scored(np.random.default_rng(1000 + seed), 1500)).answers)
        changes.append(found.values(metric, vector[None])[0] - profile["calibration"]["estimated"][metric]["value"])
        said.append(found.error(metric, vector))
    assert np.mean(said) == pytest.approx(np.std(changes), rel=0.4)


def test_a_threshold_of_the_version_is_its_decision() -> None:
    profile = profile_on(binary(), scored)
    profile["calibration"]["estimate"]["threshold"] = 0.2
    found = an_estimator(profile)
    frame = scored(np.random.default_rng(7), 20_000)
    truth = measure_tally("recall", tally_of(binary(), {**profile, "threshold": 0.2}, "p", frame).overall, 0.2)
    vector = found.read(tally_of(binary(), profile, "p", frame).answers)
    assert found.values("recall", vector[None])[0] == pytest.approx(truth.value, abs=0.02)


def test_of_several_classes_accuracy_follows_the_confidence() -> None:
    spec = multiclass()
    profile = profile_on(spec, lambda draw, rows: classified(draw, rows, sure=1.6))
    found = an_estimator(profile)
    assert found.metrics == {"accuracy"}
    harder = classified(np.random.default_rng(8), 20_000, knows=1.0, sure=1.6)
    tally = tally_of(spec, profile, "p", harder)
    truth = measure_tally("accuracy", tally.overall, classes=3).value
    vector = found.read(tally.answers)
    assert found.values("accuracy", vector[None])[0] == pytest.approx(truth, abs=0.03)
    assert 0 < found.error("accuracy", vector) < 0.02
    assert tally.answers.confidence.mean > (truth or 0) + 0.05  # it says more than is so: the line brings it back


def by_size(draw: np.random.Generator, rows: int, centre: float = 100.0) -> object:
    """The error of a regression grows with its prediction."""
    frame = predicted(draw, rows)
    score = draw.normal(centre, 30, rows)
    return frame.assign(score=score, label=score + draw.normal(size=rows) * np.abs(score) / 10)


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_of_a_regression_the_error_of_each_tenth_is_weighed_anew(metric: str) -> None:
    spec = regression()
    profile = profile_on(spec, by_size)  # type: ignore[arg-type]
    found = an_estimator(profile)
    tally = tally_of(spec, profile, "p", by_size(np.random.default_rng(9), 20_000, 120.0))  # type: ignore[arg-type]
    before, truth = profile["performance"][metric]["value"], measure_tally(metric, tally.overall).value or 0
    vector = found.read(tally.answers)
    estimate = found.values(metric, vector[None])[0]
    assert truth > before * 1.1
    assert before * 1.05 < estimate < truth * 1.05
    assert 0 < found.error(metric, vector) < truth / 20


@pytest.mark.parametrize("spec", [binary(), multiclass(), regression()])
def test_no_answers_have_no_estimate(spec: ModelSpec) -> None:
    served = {"binary_classification": scored, "regression": predicted}.get(spec.task, classified)
    found = an_estimator(profile_on(spec, served))
    vector = found.read(AnswerTally())
    assert all(np.isnan(found.values(metric, vector[None])).all() for metric in found.metrics)
    assert found.rows(vector) == 0


def test_too_small_a_holdout_teaches_nothing() -> None:
    assert estimator(profile_on(binary(), scored, days=1, rows=60)["calibration"]) is None
    assert estimator(None) is None
