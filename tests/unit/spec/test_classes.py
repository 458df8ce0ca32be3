"""What the spec of a model of several classes may say, and what would mean nothing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.specs import SOUND, a_spec

CLASSES = ["small", "medium", "large"]


def of_classes(**sections: Any) -> Any:
    data = {**SOUND["data"], "label": {"column": "size", "classes": CLASSES}}
    evaluation = {**SOUND["evaluation"], "metrics": {"macro_f1": {"min": 0.5}}}
    return a_spec(**{"task": "multiclass_classification", "data": data, "evaluation": evaluation, **sections})


def test_a_sound_spec_keeps_the_order_of_its_classes() -> None:
    assert of_classes().data.label.classes == tuple(CLASSES)


def labelled(**label: Any) -> dict[str, Any]:
    return {"data": {**SOUND["data"], "label": {"column": "size", **label}}}


RAILS = {"error_rate": {"max": 0.01}}
CANARY = {"steps": [20, 100], "bake": {"requests": 100, "at_most": "1h"}, "smoke": "model:examples"}


def guarded(measure: str, **more: Any) -> dict[str, Any]:
    rule = {"measure": measure, "max_drop": 0.1, **more}
    return {"deployment": {**CANARY, "guardrails": {**RAILS, "outcome": rule}}}


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        (labelled(), "name the classes it tells apart"),
        (labelled(classes=["a", "b"]), "tells three classes apart, or more"),
        (labelled(classes=["a", "b", "a"]), "a class is listed twice"),
        ({"training": {"window": {"days": 90}, "threshold": {"at": 0.7}}}, "decides at no threshold"),
        ({"training": {"window": {"days": 90}, "threshold": {"parity": 0.8}}}, "no yes-or-no decision"),
        ({"monitoring": {"business": {"correlation": {"min": 0.1}}}}, "a class is no score"),
        ({"monitoring": {"performance": {"roc_auc": {"max_drop": 0.1}}}}, "no metric for multiclass_classification"),
        (guarded("brier"), "brier does not measure a multiclass_classification"),
        (guarded("absolute_error"), "absolute_error does not measure a multiclass"),
        (guarded("mean_outcome", better="higher"), "mean_outcome does not measure a multiclass"),
    ],
)
def test_what_means_nothing_of_classes_is_refused(sections: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        of_classes(**sections)


def test_accuracy_of_outcomes_may_guard_a_canary() -> None:
    assert of_classes(**guarded("accuracy")).deployment.guardrails.outcome.measure == "accuracy"


def test_models_of_other_tasks_have_no_classes() -> None:
    with pytest.raises(ValueError, match="a binary_classification model has no list of classes"):
        a_spec(**labelled(classes=CLASSES))


def test_an_application_of_a_language_model_is_still_refused() -> None:
    with pytest.raises(ValueError, match="none is known for it yet"):
        a_spec(task="llm_application")
