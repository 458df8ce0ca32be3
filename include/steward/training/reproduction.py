"""Is a model that was trained again the one on record? The comparison, and what it is called.

| verdict | holds when |
|---|---|
| bit-exact | every score on the hold-out is equal to the last bit |
| within tolerance | no score differs by more than `SCORES`, no metric by more than `METRICS` |
| not reproducible | more than that; or rows, code, artefact or spec of the record are gone or altered |

A score that is no probability is measured in standard deviations of the recorded scores, a metric above 1 in parts of
its own value.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steward.gates.measurement import measure
from steward.types import JsonObject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SCORES = 1e-3
METRICS = 1e-3
# What every fit goes through, whatever the model's own code imports.
_ALWAYS = frozenset({"python", "scikit-learn", "numpy", "scipy", "pandas", "joblib", "threadpoolctl"})


class Reproduction(StrEnum):
    BIT_EXACT = "bit-exact"
    WITHIN_TOLERANCE = "within tolerance"
    NOT_REPRODUCIBLE = "not reproducible"


def compare(labels: Floats, recorded: Floats, again: Floats, metrics: Iterable[str], at: float) -> JsonObject:
    """The scores of the stored model beside those of the new one, on the same rows. `at` is where a score is a yes; of
    a multiclass model scores are (rows, classes)."""
    import numpy as np

    from steward.gates.measurement import decided

    distance = np.abs(recorded - again).reshape(len(recorded), -1).max(axis=1)
    inside = bool(recorded.min() >= 0 and recorded.max() <= 1)
    scale = 1.0 if inside else float(recorded.std()) or 1.0
    return {
        "rows": len(recorded),
        "differing": int((distance > 0).sum()),
        "largest": float(distance.max()) / scale,
        "decisions_differing": int((decided(recorded, at) != decided(again, at)).sum()) if inside else None,
        "metrics": {name: _metric(name, labels, recorded, again, at) for name in metrics},
    }


def _metric(name: str, labels: Floats, recorded: Floats, again: Floats, at: float) -> JsonObject:
    then, now = (measure(name, labels, scores, threshold=at).value for scores in (recorded, again))
    difference = None if then is None or now is None else abs(then - now) / max(1.0, abs(then))
    return {"stored": then, "again": now, "difference": difference}


def judge(compared: JsonObject) -> tuple[Reproduction, str]:
    """The verdict on a comparison, and the sentence for it."""
    rows, differing, largest = compared["rows"], compared["differing"], compared["largest"]
    if differing == 0:
        return Reproduction.BIT_EXACT, f"all {rows} hold-out scores are equal to the last bit"
    gaps = [found["difference"] for found in compared["metrics"].values() if found["difference"] is not None]
    furthest = max(gaps, default=0.0)
    said = f"{differing} of {rows} hold-out scores differ, by {largest:.2g} at most; metrics by {furthest:.2g}"
    if largest <= SCORES and furthest <= METRICS:
        return Reproduction.WITHIN_TOLERANCE, f"{said}; {SCORES:g} is tolerated"
    return Reproduction.NOT_REPRODUCIBLE, f"the fit differs: {said}; {SCORES:g} is tolerated"


def changed_packages(then: Mapping[str, str], now: Mapping[str, str], matter: Iterable[str]) -> JsonObject:
    """`matter`: name → [then, now] of the packages a fit goes through; `others`: how many more differ."""
    names = {name for name in then.keys() | now.keys() if then.get(name) != now.get(name)}
    if "python" not in then:  # a record made before it was noted
        names.discard("python")
    told = sorted(names & {*_ALWAYS, *matter})
    return {"matter": {name: [then.get(name), now.get(name)] for name in told}, "others": len(names) - len(told)}


def packages_of(module: Path) -> set[str]:
    """Distributions behind the imports of a model.py, found without running it."""
    from importlib.metadata import packages_distributions

    known = packages_distributions()
    return {name.lower() for top in _imported(module) for name in known.get(top, ())}


def _imported(module: Path) -> set[str]:
    try:
        tree = ast.parse(module.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        names: list[Any] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        found |= {name.partition(".")[0] for name in names}
    return found
