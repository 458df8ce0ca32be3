"""Rows with expected answers, tried on a version before it meets any traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from steward.gates import Finding, Outcome, Verdict
from steward.spec import FeatureType, ModelSpec
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd


def smoke_frame(rows: Sequence[JsonObject], spec: ModelSpec) -> pd.DataFrame:
    """The rows' features in declared order; a feature a row leaves out is missing."""
    import pandas as pd

    frame = pd.DataFrame([row["row"] for row in rows]).reindex(columns=list(spec.data.features))
    numeric = [n for n, f in spec.data.features.items() if f.type in (FeatureType.NUMBER, FeatureType.INTEGER)]
    frame[numeric] = frame[numeric].astype(float)
    return frame


def judge_smoke(rows: Sequence[JsonObject], answers: Sequence[float | Mapping[str, float]]) -> Verdict:
    """One finding per row: its score lies in `expect: {min, max}`. No rows: PASSED, and says so.

    Of a multiclass model an answer is the probability of each class: `expect: {label, min, max}` is about the class
    decided for and its probability; without a label, whichever it is.
    """
    if not rows:
        return Verdict.of([Finding("smoke", Outcome.PASSED, "the model declares no smoke rows")])
    return Verdict.of(
        _judge_row(i, row["expect"], answer) for i, (row, answer) in enumerate(zip(rows, answers, strict=True))
    )


def _judge_row(position: int, expect: JsonObject, answer: float | Mapping[str, float]) -> Finding:
    if isinstance(answer, Mapping):
        return _judge_class(position, expect, answer)
    if (label := expect.get("label")) is not None:
        said = f"smoke row {position} expects the class {label}, and the model tells no classes apart"
        return Finding(f"smoke:{position}", Outcome.FAILED, said, float(answer))
    return _judge_score(position, expect, float(answer))


def _judge_class(position: int, expect: JsonObject, answer: Mapping[str, float]) -> Finding:
    decided = max(answer, key=lambda name: answer[name])
    wanted = expect.get("label", decided)
    if decided == wanted:
        return _judge_score(position, expect, answer[decided], f" for {decided}")
    said = f"smoke row {position} is {decided} ({answer[decided]:.4g}), expected {wanted}"
    return Finding(f"smoke:{position}", Outcome.FAILED, f"{said} ({answer.get(wanted, 0.0):.4g})", answer[decided])


def _judge_score(position: int, expect: JsonObject, score: float, what: str = "") -> Finding:
    low, high = expect.get("min", float("-inf")), expect.get("max", float("inf"))
    outcome = Outcome.PASSED if low <= score <= high else Outcome.FAILED
    said = f"smoke row {position} scored {score:.4g}{what}, expected {low:g} to {high:g}"
    return Finding(f"smoke:{position}", outcome, said, score, high)
