"""What became of the decisions: each measure in its own range, the two versions of one hour beside each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from steward.actions.releases.contrasting import contrast_of_arms, contrast_of_pairs
from steward.rollout.analysis import Contrast
from steward.spec import OutcomeRule

HALF = (0.5, 0.5)


def rule(measure: str, **given: Any) -> OutcomeRule:
    return OutcomeRule.model_validate({"measure": measure, **given})


def told(given: OutcomeRule, scores: list[float], labels: list[float], canary: list[int], at: Any = HALF) -> Contrast:
    return contrast_of_arms(given, np.array(scores), pd.Series(labels), np.array(canary, bool), at)


def test_accuracy_is_of_each_version_at_its_own_threshold() -> None:
    contrast = told(rule("accuracy"), [0.4, 0.4], [1.0, 1.0], [1, 0], (0.3, 0.5))
    assert (contrast.canary_mean, contrast.champion_mean) == (1.0, 0.0)
    assert np.asarray(contrast.worse).tolist() == [-1.0]


def test_brier_is_a_mean_square() -> None:
    contrast = told(rule("brier"), [0.5, 1.0], [1.0, 1.0], [1, 0])
    assert (contrast.canary_mean, contrast.champion_mean, contrast.scale) == (0.25, 0.0, 1.0)
    assert np.asarray(contrast.worse).tolist() == [0.25]


@pytest.mark.parametrize(("better", "worse"), [("higher", 1.0), ("lower", -1.0)])
def test_a_mean_outcome_has_a_better_side(better: str, worse: float) -> None:
    contrast = told(rule("mean_outcome", better=better), [0.5, 0.5], [0.0, 1.0], [1, 0])
    assert (contrast.canary_mean, contrast.champion_mean) == (0.0, 1.0)
    assert np.asarray(contrast.worse).tolist() == [worse]


def test_errors_without_a_range_are_cut_at_the_champions_outermost() -> None:
    """One absurd miss of the canary counts as the largest that the champion makes, and no more."""
    scores = [5.0, 3.0] * 1000
    scores[0] = 1e9
    contrast = told(rule("absolute_error"), scores, [3.0, 0.0] * 1000, [1, 0] * 1000)
    assert contrast.scale == 3.0
    assert np.asarray(contrast.worse).max() <= 0.0
    assert np.asarray(contrast.worse).min() == pytest.approx(-1 / 3)
    wide = told(rule("absolute_error", max_drop=7.0), [1.0, 1.0], [0.0, 0.0], [1, 0])
    assert wide.scale == 14.0  # or the drop asked about could never be seen


def test_a_mean_outcome_that_is_no_share_is_cut_on_both_sides() -> None:
    labels = np.random.default_rng(1).normal(100, 10, 4000)
    contrast = told(rule("mean_outcome", better="higher"), [0.0] * 4000, labels.tolist(), [1, 0] * 2000)
    assert 50 < contrast.scale < 80
    assert np.abs(contrast.worse).max() <= 1.0


def test_answers_without_an_outcome_are_left_out() -> None:
    contrast = told(rule("brier"), [0.5] * 4, [1.0, np.nan, np.nan, 0.0], [1, 1, 0, 0])
    assert (contrast.canary_rows, contrast.champion_rows) == (1, 1)


@pytest.mark.parametrize("canary", [[1] * 5, [0] * 5, []], ids=["no champion", "no canary", "nothing"])
@pytest.mark.parametrize("measure", ["brier", "accuracy", "absolute_error", "mean_outcome"])
def test_one_arm_alone_is_no_contrast(measure: str, canary: list[int]) -> None:
    given = rule(measure, better="lower") if measure == "mean_outcome" else rule(measure)
    contrast = told(given, [0.5] * len(canary), [1.0] * len(canary), canary)
    assert np.asarray(contrast.worse).tolist() == []
    assert min(contrast.canary_rows, contrast.champion_rows) == 0


def test_a_rare_canary_is_compared_with_the_champions_mean_of_its_hour() -> None:
    """5 % canary: each block holds five of its answers and some ninety-five of the champion's."""
    draw = np.random.default_rng(2)
    mine = draw.random(4000) < 0.05
    labels = np.where(np.arange(4000) < 2000, 1.0, 0.0)  # an hour of ones, an hour of zeros: the same for both
    contrast = told(rule("mean_outcome", better="higher"), [0.0] * 4000, labels.tolist(), mine.astype(int).tolist())
    worse = np.asarray(contrast.worse)
    assert len(worse) == int(np.ceil(mine.sum() / 5))
    assert np.abs(worse).sum() <= 1.0  # only the block in which the hours change can differ


def test_pairs_are_compared_one_by_one() -> None:
    pairs = pd.DataFrame(
        {
            "score_shadow": [0.9, 0.1, np.nan, 0.5],
            "score_champion": [0.5, 0.5, 0.5, 0.5],
            "label": [1.0, 1.0, 1.0, np.nan],
        }
    )
    contrast = contrast_of_pairs(rule("brier"), pairs, HALF)
    assert (contrast.canary_rows, contrast.champion_rows) == (2, 2)
    assert np.asarray(contrast.worse) == pytest.approx([-0.24, 0.56])


def test_accuracy_of_classes_is_the_share_of_the_right_class() -> None:
    """By the numbers of classes, which no threshold splits: 2 for 1 is as wrong as 0 for 1."""
    contrast = told(rule("accuracy"), [2.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1, 0, 1], None)
    assert (contrast.canary_mean, contrast.champion_mean) == (0.0, 1.0)
    pairs = pd.DataFrame({"score_shadow": [2.0, 0.0], "score_champion": [2.0, 1.0], "label": [2.0, 1.0]})
    found = contrast_of_pairs(rule("accuracy"), pairs, None)
    assert (found.canary_mean, found.champion_mean) == (0.5, 1.0)
