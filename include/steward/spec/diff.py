"""What changed between two specs, and which of it weakens a control."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from steward.spec.controls import CONTROLS
from steward.spec.model import ModelSpec
from steward.types import JsonObject

# Below these, keys are names a person chose.
_NAMED = (
    "data.features",
    "evaluation.metrics",
    "monitoring.performance",
    "monitoring.estimated",
    "retraining.at_once",
)
_STRICTNESS = {"keep": 0, "hash": 1, "drop": 2}


@dataclass(frozen=True)
class Change:
    """`old` and `new` are plain JSON values, None where not given. `weakened` says what is lost by it."""

    path: str
    old: Any
    new: Any
    weakened: str | None = None

    def to_json(self) -> JsonObject:
        return {"path": self.path, "old": self.old, "new": self.new, "weakened": self.weakened}

    def __str__(self) -> str:
        text = f"{self.path}: {_shown(self.old)} → {_shown(self.new)}"
        return f"{text}  WEAKENED: {self.weakened}" if self.weakened else text


def diff(old: ModelSpec, new: ModelSpec) -> list[Change]:
    """Every change, in the order of the old spec. Defaults count: what is not written is compared too."""
    changes = [
        Change(path, before, after, _weakening(path, before, after))
        for path, before, after in _pairs("", old.model_dump(mode="json"), new.model_dump(mode="json"))
        if not path.startswith(("data.privacy", "monitoring.drift.features"))
    ]
    return [*changes, *_drift_changes(old, new), *_privacy_changes(old, new)]


def _pairs(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if old == new:
        return
    if not (isinstance(old, dict) and isinstance(new, dict)):
        yield path, old, new
        return
    for key in dict.fromkeys((*old, *new)):
        yield from _pairs(f"{path}.{key}".removeprefix("."), old.get(key), new.get(key))


def _weakening(path: str, old: Any, new: Any) -> str | None:
    pattern = _pattern(path)
    rule = CONTROLS.get(pattern) or CONTROLS.get(pattern.removesuffix(".max").removesuffix(".min"))
    return rule(old, new) if rule is not None else None


def _pattern(path: str) -> str:
    """`data.features.distance.min` → `data.features.*.min`."""
    for named in _NAMED:
        if path.startswith(named + "."):
            _, _, rest = path.removeprefix(named + ".").partition(".")
            return f"{named}.*.{rest}" if rest else f"{named}.*"
    return path


def _drift_changes(old: ModelSpec, new: ModelSpec) -> Iterator[Change]:
    """A limit of a feature's own stands beside the general one: giving it a wider one weakens, taking it may too."""
    before, after = old.monitoring.drift, new.monitoring.drift
    for name in dict.fromkeys((*before.features, *after.features)):
        own, given = before.features.get(name), after.features.get(name)
        if own == given:
            continue
        wider = (given or after.psi).max > (own or before.psi).max
        path = f"monitoring.drift.features.{name}.max"
        sentence = f"more drift of {name} is tolerated" if wider else None
        yield Change(path, own.max if own else None, given.max if given else None, sentence)


def _privacy_changes(old: ModelSpec, new: ModelSpec) -> Iterator[Change]:
    """Of columns that either spec names."""
    before, after = old.data.privacy, new.data.privacy
    for column in dict.fromkeys((*before, *after)):
        if before.get(column) == after.get(column):
            continue
        was, now = old.data.logged_as(column), new.data.logged_as(column)
        sentence = f"{column} is {_PAST[now]} in the prediction log, no longer {_PAST[was]}"
        weakened = sentence if _STRICTNESS[now] < _STRICTNESS[was] else None
        yield Change(f"data.privacy.{column}", before.get(column), after.get(column), weakened)


_PAST = {"keep": "kept", "hash": "hashed", "drop": "dropped"}


def _shown(value: Any) -> str:
    return "(not given)" if value is None else str(value)
