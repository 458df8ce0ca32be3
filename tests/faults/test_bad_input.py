"""What people and sources hand in wrong, at the level of the verbs: said, lost nowhere, and repeatable once mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.actions.conftest import MODEL_PY, Life, build_life

from steward.errors import ConflictError, DataError, ModelCodeError
from steward.testing.data_validator import FakeDataValidator
from steward.training import code as boundary

pytestmark = pytest.mark.faults

Rewrite = Callable[[str], None]


@pytest.fixture
def life(tmp_path: Path) -> Life:
    made = build_life(tmp_path)
    made.services = replace(made.services, validator=FakeDataValidator())
    return made


@pytest.fixture
def rewrite(life: Life) -> Rewrite:
    """Replace the model's code, as its team does with the next deployment."""
    return life.services.specs.module_path("toy").write_text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"raise RuntimeError('no licence')\n{MODEL_PY}", r"model\.py:1: importing it raised RuntimeError: no licence"),
        (f"while True: pass\n{MODEL_PY}", r"importing .*model\.py was still running after"),
        (f"raise SystemExit(3)\n{MODEL_PY}", r"model\.py:1: importing it raised SystemExit: 3"),
    ],
    ids=["raises", "loops", "exits"],
)
def test_code_that_cannot_be_imported_stops_its_run_only_until_it_is_mended(
    life: Life, rewrite: Rewrite, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setattr(boundary, "IMPORT_LIMIT", timedelta(seconds=0.3))
    rewrite(text)
    with pytest.raises(ModelCodeError, match=said) as caught:
        life.do("take_snapshot", "run1")
    assert caught.value.hint
    assert life.events() == []
    monkeypatch.undo()
    rewrite(MODEL_PY)
    assert life.do("take_snapshot", "run1")["rows"] == 960


def test_a_window_without_rows_is_said_and_taken_once_they_are_there(life: Life, rewrite: Rewrite) -> None:
    rewrite(MODEL_PY.replace('"y": y})', '"y": y}).head(0)'))
    with pytest.raises(DataError, match=r"has no rows\n→ check that the data has arrived; a later run"):
        life.do("take_snapshot", "run1")
    assert life.events() == []
    rewrite(MODEL_PY)
    assert life.do("take_snapshot", "run1")["rows"] == 960


def test_late_data_is_not_trained_on(life: Life, rewrite: Rewrite) -> None:
    """The source answers, but what it has ends five days before the window does."""
    rewrite(MODEL_PY.replace('"y": y})', '"y": y}).head(-240)'))
    snapshot = life.do("take_snapshot", "run1")["snapshot"]
    judged = life.do("validate_data", "run1", snapshot=snapshot)
    assert judged["outcome"] == "FAILED"
    assert any("the data is late or absent" in reason for reason in judged["reasons"]), judged["reasons"]


def test_features_that_became_nan_are_not_trained_on(life: Life, rewrite: Rewrite) -> None:
    rewrite(MODEL_PY.replace('"x": x', '"x": np.where(x > 0, np.nan, x)'))
    snapshot = life.do("take_snapshot", "run1")["snapshot"]
    judged = life.do("validate_data", "run1", snapshot=snapshot)
    assert judged["outcome"] == "FAILED"
    assert any("x is missing in" in reason and "0.00% is allowed" in reason for reason in judged["reasons"])


def test_labels_that_never_arrive_keep_the_champion_and_are_said(life: Life, rewrite: Rewrite) -> None:
    release(life)
    rewrite(MODEL_PY.replace('"y": y})', '"y": np.nan})'))
    with pytest.raises(DataError, match="no labelled rows") as caught:
        life.train()
    assert "check that the labels have arrived" in str(caught.value)
    assert life.champion() == 1


def test_outcomes_that_never_arrive_are_no_loss_and_no_consent(life: Life) -> None:
    """Nobody retrains for want of labels, and nobody takes the silence for a good window."""
    release(life)
    life.clock.advance(timedelta(days=10))
    draw = np.random.default_rng(4)
    x = draw.normal(size=400)
    life.log(1, 9, "champion", 1 / (1 + np.exp(-2 * x)), f_x=x)
    life.clock.advance(timedelta(days=2))
    judged = life.do("judge_window", "night1")
    assert judged["outcome"] == "INCONCLUSIVE"
    assert any("0% of the answers whose outcome is due have one" in reason for reason in judged["reasons"])
    assert any("not one of 300 outcomes that were due has come" in reason for reason in judged["reasons"])
    decided = life.do("decide_retraining", "night1", evidence=judged["evidence"])
    assert not decided["requested"]
    assert "performance was lost in 0 of the last 1 windows" in decided["reason"]


def test_a_second_candidate_on_its_way_to_the_throne_is_told_who_is_ahead(life: Life) -> None:
    release(life)
    ahead, behind = life.train(), life.train({"C": 0.5})
    for each in (ahead, behind):
        life.approve(each)
    started = life.do("start_rollout", ahead["run"], version=2)
    with pytest.raises(ConflictError, match="rollout") as caught:
        life.do("start_rollout", behind["run"], version=3)
    assert caught.value.hint
    for percent in (20, 50):
        life.bake(started["rollout"], ahead["run"], percent)
    assert life.do("complete_rollout", ahead["run"], rollout=started["rollout"])["version"] == 2
    assert (life.champion(), life.state(3)) == (2, "challenger")


def release(life: Life) -> Any:
    trained = life.train()
    life.approve(trained)
    return life.release(trained)
