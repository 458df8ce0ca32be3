"""Classes by name and by place: what is not in the spec's list is refused, whoever brings it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from steward.errors import DataError, ModelCodeError
from steward.gates import Outcome
from steward.gates.classes import (
    by_class,
    class_texts,
    in_spec_order,
    label_numbers,
    places_of,
    unseen_classes,
)
from steward.training.fitting import score

CLASSES = ("small", "medium", "large")


def fitted(*names: str) -> LogisticRegression:
    return LogisticRegression().fit([[float(place)] for place in range(len(names))], list(names))


def test_labels_become_places_and_the_missing_stay_unknown() -> None:
    found = label_numbers(np.array(["large", None, "small", float("nan")], dtype=object), CLASSES)
    assert found[[0, 2]].tolist() == [2.0, 0.0]
    assert np.isnan(found[[1, 3]]).all()


def test_numbers_may_name_classes() -> None:
    assert class_texts([1, 2.0, "3", None]) == ["1", "2", "3", None]
    assert label_numbers(np.array([3, 1]), ("3", "2", "1")).tolist() == [0.0, 2.0]


def test_without_classes_labels_are_numbers() -> None:
    assert label_numbers([1.5, 0.0], None).tolist() == [1.5, 0.0]


def test_a_label_that_is_no_class_is_named_with_the_classes() -> None:
    with pytest.raises(DataError, match="'Large' is none of the classes") as refused:
        label_numbers(np.array(["Large"], dtype=object), CLASSES, "boxes")
    assert refused.value.hint == "the classes are small, medium, large"


def test_probabilities_are_in_the_order_of_the_spec_not_of_the_alphabet() -> None:
    model = fitted("small", "medium", "large")
    own, ordered = model.predict_proba([[0.0]]), score(model, [[0.0]], CLASSES)  # type: ignore[arg-type]
    assert list(model.classes_) == ["large", "medium", "small"]
    assert ordered.tolist() == own[:, ::-1].tolist()


def test_a_class_that_was_not_shown_has_no_probability_and_is_named() -> None:
    model = fitted("small", "large")
    found = score(model, [[0.0], [1.0]], CLASSES)  # type: ignore[arg-type]
    assert found[:, 1].tolist() == [0.0, 0.0]
    assert np.allclose(found.sum(axis=1), 1)
    (finding,) = unseen_classes(model.classes_, CLASSES)
    assert (finding.gate, finding.outcome) == ("metric.classes", Outcome.INCONCLUSIVE)
    assert "medium" in finding.reason
    assert unseen_classes(CLASSES, CLASSES) == []


def test_a_class_that_the_spec_does_not_name_is_refused() -> None:
    with pytest.raises(DataError, match="tells huge, which the spec does not name"):
        score(fitted("small", "huge"), [[0.0]], CLASSES)  # type: ignore[arg-type]


def test_an_estimator_without_probabilities_is_refused() -> None:
    from sklearn.linear_model import RidgeClassifier

    with pytest.raises(ModelCodeError, match="RidgeClassifier gives no probabilities"):
        score(RidgeClassifier().fit([[0.0], [1.0]], ["small", "large"]), [[0.0]], CLASSES)  # type: ignore[arg-type]


def test_shares_in_order_are_handed_on_as_they_are() -> None:
    shares = np.array([[0.2, 0.3, 0.5]])
    assert in_spec_order(shares, places_of(CLASSES, CLASSES), 3) is shares
    assert by_class(shares, CLASSES) == [{"small": 0.2, "medium": 0.3, "large": 0.5}]
