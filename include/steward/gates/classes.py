"""The classes of a multiclass model: names where people and estimators are, their places in the spec's list in numbers.

Numbered by the order of the spec (`data.label.classes`), never by an estimator's own, which is alphabetical and changes
with the classes its training rows happened to hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from steward.errors import DataError
from steward.gates.groups import group_text
from steward.gates.verdict import Finding, Outcome

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

UNSEEN_CLASSES = "metric.classes"  # the gate of a candidate that was never shown a class


def class_texts(labels: Iterable[Any]) -> list[str | None]:
    """Labels by name, None where missing; 1 and 1.0 are the class `1`."""
    return [None if label is None or label != label else group_text(label) for label in labels]  # noqa: PLR0124  (NaN)


def label_numbers(labels: ArrayLike, classes: Sequence[str] | None, where: str = "") -> Floats:
    """Outcomes as the metrics take them, NaN where unknown: places of `classes`, or the numbers they are without.

    Raises DataError for a label that is none of the classes.
    """
    if classes is None:
        return np.asarray(labels, np.float64)
    places = {name: float(place) for place, name in enumerate(classes)}
    names = class_texts(np.asarray(labels, dtype=object).tolist())
    if strange := sorted({name for name in names if name is not None and name not in places}):
        said = f"{', '.join(map(repr, strange[:5]))} is none of the classes"
        raise DataError(said, where=where, hint=f"the classes are {', '.join(classes)}")
    return np.array([np.nan if name is None else places[name] for name in names], np.float64)


def places_of(known: Iterable[Any], classes: Sequence[str]) -> Places:
    """Where each class of an estimator stands in the spec. Raises DataError for one that the spec does not name."""
    names = [group_text(name) for name in known]
    if strange := [name for name in names if name not in classes]:
        hint = "classes are added at the end of data.label.classes, and never taken out"
        raise DataError(f"the model tells {', '.join(strange[:5])}, which the spec does not name", hint=hint)
    return np.array([classes.index(name) for name in names], np.intp)


def in_spec_order(shares: Floats, places: Places, count: int) -> Floats:
    """(rows, count) probabilities; a class that the estimator was never shown has none."""
    if len(places) == count and (places == np.arange(count)).all():
        return shares
    ordered = np.zeros((len(shares), count), np.float64)
    ordered[:, places] = shares
    return ordered


def unseen_classes(known: Iterable[Any], classes: Sequence[str]) -> list[Finding]:
    """An estimator that was not shown a class never decides for it: nobody wants to learn that from users."""
    seen = {group_text(name) for name in known}
    if not (unseen := [name for name in classes if name not in seen]):
        return []
    said = f"no row it learned from is {' or '.join(unseen)}: it never decides for what it was not shown"
    return [Finding(UNSEEN_CLASSES, Outcome.INCONCLUSIVE, said, len(unseen), 0)]


def by_class(shares: Floats, classes: Sequence[str]) -> list[Mapping[str, float]]:
    """Row by row, for whoever does not know the order."""
    return [dict(zip(classes, row, strict=True)) for row in np.asarray(shares, np.float64).tolist()]
