from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from steward.errors import SpecError
from steward.gates.measurement import measure, resampled, resamples
from steward.gates.metrics import METRICS, metric_named
from steward.spec import metrics_of

REFERENCE = {
    "roc_auc": sk.roc_auc_score,
    "average_precision": sk.average_precision_score,
    "brier": sk.brier_score_loss,
    "log_loss": sk.log_loss,
    "accuracy": lambda y, p: sk.accuracy_score(y, p >= 0.5),
    "calibration_gap": lambda y, p: abs(p.mean() - y.mean()),
    "balanced_accuracy": lambda y, p: sk.balanced_accuracy_score(y, p >= 0.5),
    "precision": lambda y, p: sk.precision_score(y, p >= 0.5),
    "recall": lambda y, p: sk.recall_score(y, p >= 0.5),
    "f1": lambda y, p: sk.f1_score(y, p >= 0.5),
    "macro_f1": lambda y, p: sk.f1_score(y, p >= 0.5, average="macro"),
    "mae": sk.mean_absolute_error,
    "rmse": sk.root_mean_squared_error,
}


OF_CLASSES = {
    "accuracy": lambda y, p: sk.accuracy_score(y, p.argmax(axis=1)),
    "balanced_accuracy": lambda y, p: sk.balanced_accuracy_score(y, p.argmax(axis=1)),
    "macro_f1": lambda y, p: sk.f1_score(y, p.argmax(axis=1), average="macro"),
    "log_loss": lambda y, p: sk.log_loss(y, p, labels=range(p.shape[1])),
}


def scored(rows: int = 2000, seed: int = 0, decimals: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores with many ties."""
    draw = np.random.default_rng(seed)
    labels = (draw.random(rows) < 0.25).astype(float)
    scores = 1 / (1 + np.exp(1 - labels - draw.normal(size=rows)))
    return labels, np.round(scores, decimals)


def classified(rows: int = 2000, seed: int = 0, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes of uneven classes, and probabilities that know something of them."""
    draw = np.random.default_rng(seed)
    labels = draw.choice(classes, rows, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    odds = draw.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    return labels.astype(float), np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)


def test_every_metric_of_the_table_is_held_to_scikit_learn() -> None:
    assert REFERENCE.keys() == METRICS.keys()
    assert OF_CLASSES.keys() == set(metrics_of("multiclass_classification"))


@pytest.mark.parametrize("name", sorted(OF_CLASSES))
@pytest.mark.parametrize("seed", range(3))
def test_of_several_classes_too_value_is_scikit_learns_and_error_the_spread_of_resamples(name: str, seed: int) -> None:
    labels, scores = classified(seed=seed)
    found = measure(name, labels, scores)
    assert found.value == pytest.approx(OF_CLASSES[name](labels, scores), abs=1e-12)
    spread = resampled(name, labels, scores, resamples(2000, 500, seed=2)).std(ddof=1)
    assert found.error == pytest.approx(spread, rel=0.15)


def test_a_class_nobody_met_is_left_out_as_scikit_learn_does() -> None:
    labels, scores = classified()
    wider = np.c_[scores, np.zeros(len(scores))]
    for name in ("balanced_accuracy", "macro_f1"):
        assert measure(name, labels, wider).value == pytest.approx(OF_CLASSES[name](labels, wider), abs=1e-12)


def test_an_outcome_beyond_the_classes_that_are_scored_is_named() -> None:
    labels, scores = classified()
    found = measure("accuracy", labels, scores[:, :3])
    assert found.problem == "an outcome is none of the 3 classes that are scored"


@pytest.mark.parametrize(
    ("name", "label", "score", "said"),
    [
        ("precision", 1.0, 0.1, "nothing was decided a yes"),
        ("recall", 0.0, 0.9, "no outcome is positive"),
        ("f1", 0.0, 0.1, "nothing is positive"),
        ("balanced_accuracy", 1.0, 0.1, "all 50 outcomes are of one class"),
    ],
)
def test_a_rate_of_nothing_has_no_value(name: str, label: float, score: float, said: str) -> None:
    found = measure(name, np.full(50, label), np.full(50, score))
    assert (found.value, found.error) == (None, None)
    assert said in (found.problem or "")


def test_two_decisions_that_were_both_right_are_not_certain() -> None:
    labels, scores = np.zeros(100), np.zeros(100)
    labels[:2], scores[:2] = 1, 1
    found = measure("precision", labels, scores)
    assert found.value == 1
    assert (found.error or 0) > 0.1


@pytest.mark.parametrize("name", sorted(REFERENCE))
@pytest.mark.parametrize("seed", range(3))
def test_value_is_scikit_learns(name: str, seed: int) -> None:
    labels, scores = scored(seed=seed)
    assert measure(name, labels, scores).value == pytest.approx(REFERENCE[name](labels, scores), abs=1e-12)


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_weights_count_rows_as_often_as_they_were_drawn(name: str) -> None:
    labels, scores = scored(300)
    weights = resamples(300, 4, seed=1)
    values = resampled(name, labels, scores, weights)
    for value, counts in zip(values, weights.astype(int), strict=True):
        drawn = np.repeat(np.arange(300), counts)
        assert value == pytest.approx(REFERENCE[name](labels[drawn], scores[drawn]), abs=1e-12)


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_standard_error_is_the_spread_of_resamples(name: str) -> None:
    labels, scores = scored(1500, decimals=4)
    spread = resampled(name, labels, scores, resamples(1500, 600, seed=2)).std(ddof=1)
    assert measure(name, labels, scores).error == pytest.approx(spread, rel=0.15)


def test_auc_error_agrees_with_hanley_and_mcneil_1982() -> None:
    """Their formula assumes exponential scores, so give it those."""
    labels = (np.arange(20_000) % 4 == 0).astype(float)
    scores = np.random.default_rng(0).exponential(1 + labels)
    auc, positives = sk.roc_auc_score(labels, scores), labels.sum()
    q1, q2, negatives = auc / (2 - auc), 2 * auc**2 / (1 + auc), len(labels) - labels.sum()
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    expected = math.sqrt(variance / (positives * negatives))
    assert measure("roc_auc", labels, scores).error == pytest.approx(expected, rel=0.05)


@given(arrays(np.float64, 50, elements=st.floats(0, 1)), st.integers(1, 49))
def test_auc_ignores_any_rising_change_of_scale_and_flips_with_the_sign(scores: np.ndarray, cut: int) -> None:
    labels = (np.arange(50) < cut).astype(float)
    value = measure("roc_auc", labels, scores).value
    ranks = np.unique(scores, return_inverse=True)[1].astype(float)
    assert value == pytest.approx(measure("roc_auc", labels, ranks).value)
    assert value == pytest.approx(1 - measure("roc_auc", labels, -ranks).value)


@pytest.mark.parametrize(
    ("labels", "scores", "said"),
    [
        (np.ones(100), np.full(100, 0.5), "all 100 outcomes are 1: ranking needs both classes"),
        (np.ones(5), np.ones(5), "5 rows with a known outcome, 30 are needed"),
        (np.eye(1, 100)[0], np.full(100, np.nan), "100 of 100 scores are not finite numbers"),
        (np.full(100, np.nan), np.full(100, 0.5), "100 of 100 outcomes are unknown"),
    ],
)
def test_no_value_comes_with_the_reason(labels: np.ndarray, scores: np.ndarray, said: str) -> None:
    found = measure("roc_auc", labels, scores)
    assert (found.value, found.error, found.problem) == (None, None, said)


def test_accuracy_is_of_the_decisions_at_the_threshold() -> None:
    labels, scores = np.tile([0.0, 0.0, 1.0, 1.0], 10), np.tile([0.3, 0.6, 0.6, 0.9], 10)
    assert [measure("accuracy", labels, scores, threshold=t).value for t in (0.5, 0.7, 0.3)] == [0.75, 0.75, 0.5]
    assert measure("accuracy", labels, scores, threshold=0.6).value == 0.75  # a score at the threshold is a yes
    weights = np.ones((2, 40))
    assert resampled("accuracy", labels, scores, weights, threshold=0.3).tolist() == [0.5, 0.5]
    assert measure("brier", labels, scores, threshold=0.7) == measure("brier", labels, scores)


def test_a_metric_of_another_task_is_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean roc_auc"):
        metric_named("roc_au", "binary_classification")
    with pytest.raises(SpecError, match="mae does not measure a binary_classification model"):
        metric_named("mae", "binary_classification")
