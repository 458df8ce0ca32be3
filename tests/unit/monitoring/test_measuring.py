"""Metrics of counts are the metrics of the rows behind them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.unit.monitoring.served_days import binary, classified, multiclass, regression, scored

from steward.gates.measurement import measure, resampled, resamples
from steward.monitoring.performance.measuring import between_days, error_of_mean, jackknife, measure_tally, values
from steward.monitoring.tallies import CELLS, Moments, OutcomeTally
from steward.monitoring.tallies.counting import tally_of
from steward.spec import ModelSpec, metrics_of

STUB = {"features": {}, "score": None, "threshold": 0.5, "calibration": {"edges": []}}
RANKING = {"roc_auc", "average_precision"}


def outcomes_of(spec: ModelSpec, frame: pd.DataFrame, threshold: float = 0.5) -> OutcomeTally:
    return tally_of(spec, {**STUB, "threshold": threshold}, "p", frame).overall


def of_cells(scores: np.ndarray) -> np.ndarray:
    return np.minimum(np.floor(scores * CELLS) / CELLS, 1 - 1 / CELLS)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, 60, elements=st.floats(0, 1)), st.integers(1, 59), st.sampled_from([0.25, 0.5, 0.7345]))
def test_binary_metrics_of_counts_are_those_of_rows(scores: np.ndarray, cut: int, threshold: float) -> None:
    labels = (np.arange(60) < cut).astype(float)
    outcome = outcomes_of(binary(), pd.DataFrame({"score": scores, "label": labels}), threshold)
    for name in metrics_of("binary_classification"):
        read = of_cells(scores) if name in RANKING else scores
        found, expected = measure_tally(name, outcome, threshold), measure(name, labels, read, threshold=threshold)
        assert (found.value is None) == (expected.value is None), name
        assert (found.value or 0) == pytest.approx(expected.value or 0, abs=1e-9), name
        if name != "average_precision":  # resampled, with other draws
            assert (found.error or 0) == pytest.approx(expected.error or 0, abs=1e-9), name


def test_a_threshold_within_a_cell_decides_as_the_version_did() -> None:
    scores, labels = np.tile([0.7341, 0.7349], 25), np.tile([0.0, 1.0], 25)
    outcome = outcomes_of(binary(), pd.DataFrame({"score": scores, "label": labels}), 0.7345)
    assert measure_tally("precision", outcome, 0.7345).value == 1.0
    assert measure_tally("recall", outcome, 0.7345).value == 1.0


def test_ties_within_a_cell_cost_ranking_next_to_nothing() -> None:
    frame = scored(np.random.default_rng(0), 5000)
    outcome, labels, scores = outcomes_of(binary(), frame), frame["label"].to_numpy(), frame["score"].to_numpy()
    for name in RANKING:
        found, exact = measure_tally(name, outcome), measure(name, labels, scores)
        assert found.value == pytest.approx(exact.value, abs=5e-4)
        assert found.error == pytest.approx(exact.error, rel=0.2)


@settings(max_examples=20, deadline=None)
@given(arrays(np.float64, (50, 2), elements=st.floats(-1e6, 1e6)))
def test_regression_metrics_of_counts_are_those_of_rows(pairs: np.ndarray) -> None:
    frame = pd.DataFrame({"score": pairs[:, 0], "label": pairs[:, 1]})
    outcome = outcomes_of(regression(), frame)
    for name in metrics_of("regression"):
        found, expected = measure_tally(name, outcome), measure(name, pairs[:, 1], pairs[:, 0])
        assert found.value == pytest.approx(expected.value, rel=1e-9, abs=1e-9)
        assert found.error == pytest.approx(expected.error, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_multiclass_metrics_of_counts_are_those_of_rows(seed: int) -> None:
    frame = classified(np.random.default_rng(seed), 400)
    outcome, chances = outcomes_of(multiclass(), frame), np.stack(frame["probabilities"].to_list())
    for name in metrics_of("multiclass_classification"):
        found, expected = measure_tally(name, outcome, classes=3), measure(name, frame["label"].to_numpy(), chances)
        assert found.value == pytest.approx(expected.value, abs=1e-9), name
        assert found.error == pytest.approx(expected.error, abs=1e-9), name


def test_a_day_can_be_left_out_without_its_rows() -> None:
    draw = np.random.default_rng(0)
    frames = [scored(draw, 300) for _ in range(3)]
    parts = [outcomes_of(binary(), frame) for frame in frames]
    for name in metrics_of("binary_classification"):
        apart = values(name, parts, 1 - np.eye(3))
        for out in range(3):
            rest = outcomes_of(binary(), pd.concat([f for place, f in enumerate(frames) if place != out]))
            assert apart[out] == pytest.approx(measure_tally(name, rest).value, abs=1e-9), name


@pytest.mark.parametrize(
    ("name", "labels", "said"),
    [
        ("roc_auc", np.ones(50), "all 50 outcomes are 1: ranking needs both classes"),
        ("recall", np.zeros(50), "no outcome is positive"),
        ("accuracy", np.ones(5), "5 rows with a known outcome, 30 are needed"),
        ("mae", np.full(50, np.nan), "0 rows with a known outcome"),
    ],
)
def test_no_value_comes_with_the_reason(name: str, labels: np.ndarray, said: str) -> None:
    outcome = outcomes_of(binary(), pd.DataFrame({"score": np.full(len(labels), 0.3), "label": labels}))
    found = measure_tally(name, outcome)
    assert (found.value, found.error) == (None, None)
    assert said in (found.problem or "")


def test_without_probabilities_a_model_of_classes_has_no_log_loss() -> None:
    frame = classified(np.random.default_rng(0), 100).drop(columns="probabilities")
    found = measure_tally("log_loss", outcomes_of(multiclass(), frame), classes=3)
    assert "too few of 100 rows hold what it is computed from" in (found.problem or "")


def test_leaving_groups_of_one_row_out_is_the_error_of_a_mean() -> None:
    drawn = np.random.default_rng(0).normal(size=200)
    apart = (drawn.sum() - drawn) / 199
    assert jackknife(drawn.mean(), apart, [1] * 200) == pytest.approx(drawn.std(ddof=1) / np.sqrt(200), rel=1e-9)


def test_independent_days_say_what_independent_rows_say() -> None:
    """And so does a bootstrap of whole days, when days are uneven."""
    draw = np.random.default_rng(3)
    parts = [outcomes_of(binary(), scored(draw, rows)) for rows in draw.integers(200, 1200, 40)]
    whole = measure_tally("roc_auc", sum(parts[1:], parts[0]))
    assert between_days("roc_auc", parts) == pytest.approx(whole.error, rel=0.25)


def test_days_that_differ_say_more_than_their_rows() -> None:
    draw = np.random.default_rng(4)
    parts = [outcomes_of(binary(), scored(draw, 500, said=draw.normal(scale=0.5))) for _ in range(30)]
    rows = measure_tally("calibration_gap", sum(parts[1:], parts[0])).error or 0
    drawn = values("calibration_gap", parts, resamples(30, 400, seed=0)).std(ddof=1)
    apart = between_days("calibration_gap", parts) or 0
    assert apart > 3 * rows
    # |gap| is bent at nought, so the bootstrap of days is only near
    assert apart == pytest.approx(drawn, rel=0.5)


def test_a_day_that_cannot_be_left_out_gives_no_error() -> None:
    draw = np.random.default_rng(5)
    only = outcomes_of(binary(), scored(draw, 300))
    empty = outcomes_of(binary(), scored(draw, 300).assign(label=0.0))
    assert between_days("roc_auc", [only, empty]) is None
    assert between_days("roc_auc", [only]) is None


def test_the_error_of_a_mean_between_days() -> None:
    means = np.array([0.1, 0.4, 0.2, 0.5, 0.3])
    days = [Moments(100, float(mean), 1.0) for mean in means]
    assert error_of_mean(days) == pytest.approx(means.std(ddof=1) / np.sqrt(5))
    assert error_of_mean(days[:1]) is None


def test_resamples_of_cells_are_those_of_rows() -> None:
    """What the estimate of average precision's error rests on."""
    frame = scored(np.random.default_rng(6), 1500)
    labels, scores = frame["label"].to_numpy(), frame["score"].to_numpy()
    spread = resampled("average_precision", labels, scores, resamples(1500, 300, seed=1)).std(ddof=1)
    assert measure_tally("average_precision", outcomes_of(binary(), frame)).error == pytest.approx(spread, rel=0.2)
