from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.isotonic import IsotonicRegression
from tests.unit.monitoring.served_days import expit

from steward.monitoring.performance.calibrator import MOST_KNOTS, Calibrator, pooled

GRID = np.linspace(0, 1, 1001)


def overconfident(rows: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What is said has twice the log odds of what is so."""
    draw = np.random.default_rng(seed)
    odds = draw.normal(scale=1.2, size=rows) - 1
    return expit(2 * odds), (draw.random(rows) < expit(odds)).astype(float)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, 12, elements=st.floats(0, 1)), arrays(np.float64, 12, elements=st.floats(1, 50)))
def test_pooling_is_isotonic_regression(shares: np.ndarray, weights: np.ndarray) -> None:
    expected = IsotonicRegression().fit_transform(np.arange(12), shares, sample_weight=weights)
    assert pooled(shares, weights) == pytest.approx(expected, abs=1e-9)


def test_it_brings_an_overconfident_model_back() -> None:
    fitted = Calibrator.fit(*overconfident())
    assert fitted is not None
    odds = np.linspace(-3, 1.5, 50)
    assert fitted(expit(2 * odds)) == pytest.approx(expit(odds), abs=0.04)


def test_a_calibrated_model_is_left_as_it_is_beyond_the_bins_too() -> None:
    draw = np.random.default_rng(1)
    scores = 0.3 + 0.4 * draw.random(50_000)
    fitted = Calibrator.fit(scores, (draw.random(50_000) < scores).astype(float))
    assert fitted is not None
    assert fitted(GRID) == pytest.approx(GRID, abs=0.03)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(100, 2000))
def test_it_rises_and_stays_a_chance(seed: int, rows: int) -> None:
    draw = np.random.default_rng(seed)
    fitted = Calibrator.fit(np.round(draw.random(rows), 2), (draw.random(rows) < 0.5).astype(float))
    assert fitted is not None
    found = np.concatenate([fitted(GRID)[None], fitted.shaken(GRID, draw, 5)])
    assert (np.diff(found, axis=1) >= -1e-12).all()
    assert (found >= 0).all()
    assert (found <= 1).all()


def test_it_is_small_and_reads_back_the_same() -> None:
    fitted = Calibrator.fit(*overconfident())
    assert fitted is not None
    text = json.dumps(fitted.to_json())
    assert len(text) < 2000
    assert len(fitted.said) == MOST_KNOTS
    assert Calibrator.from_json(json.loads(text)) == fitted


def test_other_holdouts_would_have_taught_as_differently_as_it_says() -> None:
    """The spread of `shaken` is that of maps fitted on other rows."""
    fitted = Calibrator.fit(*overconfident(4000))
    assert fitted is not None
    at = expit(2 * np.array([-2.0, -1.0, 0.0]))
    others = [Calibrator.fit(*overconfident(4000, seed)) for seed in range(1, 60)]
    spread = np.std([other(at) for other in others if other], axis=0)
    assert fitted.shaken(at, np.random.default_rng(0), 300).std(axis=0) == pytest.approx(spread, rel=0.5)


def test_too_little_is_not_learned_from() -> None:
    scores, outcomes = overconfident(99)
    assert Calibrator.fit(scores, outcomes) is None
    assert Calibrator.fit(np.linspace(0, 1, 500), np.zeros(500)) is None


def test_a_bin_without_a_yes_is_rare_and_not_impossible() -> None:
    scores = np.linspace(0, 1, 2000)
    fitted = Calibrator.fit(scores, (scores > 0.7).astype(float))
    assert fitted is not None
    assert 0 < fitted(np.array([0.0]))[0] < 0.01
