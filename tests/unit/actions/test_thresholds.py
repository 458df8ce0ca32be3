"""A threshold tried by hand goes from the form into the artefact, the evaluation and the profile."""

from __future__ import annotations

from typing import Any

import pytest

from steward.errors import ConflictError, DataError
from steward.training import LoggedModel
from steward.training.fitting import decision_threshold
from steward.types import JsonObject


def evidence(life: Any, digest: str) -> JsonObject:
    with life.services.database.begin() as tx:
        body: JsonObject = tx.evidence.get(digest).body
        return body


def judged(life: Any, run: str, threshold: float | None) -> tuple[JsonObject, JsonObject]:
    """→ the evidence of training and of evaluation."""
    snapshot = life.do("take_snapshot", run)["snapshot"]
    training = life.do("train", run, snapshot=snapshot, threshold=threshold)["training"]
    evaluation = life.do("evaluate", run, training=training)["evaluation"]
    return evidence(life, training), evidence(life, evaluation)


def test_the_artefact_the_evaluation_and_the_profile_agree(life: Any) -> None:
    training, evaluation = judged(life, "run9", 0.8)
    assert training["threshold"] == {"value": 0.8, "chosen_by": "run"}
    assert decision_threshold(life.services.models.load(LoggedModel(**training["logged"]))) == 0.8
    assert evaluation["threshold"] == 0.8
    assert evidence(life, evaluation["profile"])["threshold"] == 0.8
    _, plain = judged(life, "run10", None)
    assert plain["threshold"] == 0.5
    assert plain["metrics"]["roc_auc"] == evaluation["metrics"]["roc_auc"]
    assert plain["metrics"]["accuracy"]["value"] > evaluation["metrics"]["accuracy"]["value"]


def test_the_champion_is_measured_at_its_own(life: Any) -> None:
    first = life.train()
    life.approve(first)
    life.release(first)
    _, evaluation = judged(life, "run9", 0.8)
    assert (evaluation["threshold"], evaluation["beside"]["threshold"]) == (0.8, 0.5)
    assert (evaluation["champion"], evaluation["beside"]["name"]) == (1, "toy@1")
    measured = [each["metrics"]["accuracy"]["value"] for each in (evaluation["beside"], evaluation)]
    assert measured[0] > measured[1]


def test_one_run_tries_one_threshold(life: Any) -> None:
    snapshot = life.do("take_snapshot", "run9")["snapshot"]
    trained = life.do("train", "run9", snapshot=snapshot, threshold=0.8)
    assert life.do("train", "run9", snapshot=snapshot, threshold=0.8) == trained
    with pytest.raises(ConflictError):
        life.do("train", "run9", snapshot=snapshot, threshold=0.7)


def test_a_threshold_that_is_no_probability_leaves_nothing_behind(life: Any) -> None:
    snapshot = life.do("take_snapshot", "run9")["snapshot"]
    with pytest.raises(DataError, match="is no probability"):
        life.do("train", "run9", snapshot=snapshot, threshold=1.5)
    assert not life.events("model.trained")
