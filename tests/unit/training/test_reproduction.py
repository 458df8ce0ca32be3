"""What a repetition is called, and what may have changed since."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steward.training.reproduction import Reproduction, changed_packages, compare, judge, packages_of

LABELS = (np.arange(400) % 3 == 0).astype(float)
SCORES = np.linspace(0.1, 0.9, 400)


@pytest.mark.parametrize(
    ("again", "verdict"),
    [
        (SCORES, Reproduction.BIT_EXACT),
        (np.nextafter(SCORES, 1), Reproduction.WITHIN_TOLERANCE),
        (SCORES + 0.0009, Reproduction.WITHIN_TOLERANCE),
        (SCORES + 0.0011, Reproduction.NOT_REPRODUCIBLE),
        (SCORES[::-1], Reproduction.NOT_REPRODUCIBLE),
    ],
)
def test_the_verdict_on_scores(again: np.ndarray, verdict: Reproduction) -> None:
    assert judge(compare(LABELS, SCORES, again, ["roc_auc"], 0.5))[0] is verdict


def test_a_metric_may_differ_more_than_any_score() -> None:
    """A thousandth moves every score across its neighbour: the ranking is another."""
    close = np.where(LABELS > 0, 0.5, 0.5005)
    found = compare(LABELS, close, np.where(LABELS > 0, 0.5005, 0.5), ["roc_auc"], 0.5)
    assert found["largest"] < 1e-3
    assert found["metrics"]["roc_auc"] == {"stored": 0.0, "again": 1.0, "difference": 1.0}
    assert judge(found)[0] is Reproduction.NOT_REPRODUCIBLE


def test_predicted_values_are_measured_in_their_own_spread() -> None:
    minutes = SCORES * 1000
    found = compare(LABELS, minutes, minutes + 0.1, ["mae"], 0.5)
    assert found["largest"] == pytest.approx(0.1 / minutes.std())
    assert found["decisions_differing"] is None
    assert judge(found)[0] is Reproduction.WITHIN_TOLERANCE


def test_decisions_are_counted_at_the_versions_own_threshold() -> None:
    again = SCORES.copy()
    again[200] = 0.1
    assert compare(LABELS, SCORES, again, [], 0.5)["decisions_differing"] == 1
    assert compare(LABELS, SCORES, again, [], 0.95)["decisions_differing"] == 0


def test_packages_that_a_fit_goes_through_are_named_the_others_counted() -> None:
    then = {"scikit-learn": "1.5", "rich": "13", "gone": "1", "lightgbm": "4"}
    now = {"scikit-learn": "1.7", "rich": "14", "lightgbm": "4.1", "python": "3.11.7"}
    found = changed_packages(then, now, {"lightgbm"})
    assert found == {"matter": {"lightgbm": ["4", "4.1"], "scikit-learn": ["1.5", "1.7"]}, "others": 2}
    assert changed_packages({**now, "python": "3.10"}, now, ())["matter"] == {"python": ["3.10", "3.11.7"]}


def test_packages_behind_imports_are_found_without_running_anything(tmp_path: Path) -> None:
    module = tmp_path / "model.py"
    module.write_text("import yaml.nodes\nfrom sklearn import tree\nfrom . import near\nraise SystemExit\n")
    assert packages_of(module) >= {"pyyaml", "scikit-learn"}
    assert packages_of(tmp_path / "absent.py") == set()
