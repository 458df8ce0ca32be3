"""A candidate on its hold-out, beside the champion: scores, verdict, importance, and the profile for monitoring."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from steward.evaluation.importance import permutation_importance
from steward.evaluation.judgement import evaluate
from steward.gates import Verdict
from steward.gates.classes import label_numbers, unseen_classes
from steward.monitoring.profiles.attribution import attribute
from steward.monitoring.profiles.profile import build_profile
from steward.spec import ModelSpec
from steward.training.fitting import Split, decision_threshold, fitted_on, score
from steward.types import JsonObject, VersionRef

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judged:
    body: JsonObject
    verdict: Verdict
    metrics: dict[str, float]
    profile: JsonObject


def judge_candidate(
    spec: ModelSpec, parts: Split, candidate: Any, incumbent: Any | None, champion: VersionRef | None
) -> Judged:
    """`incumbent` is the champion's estimator, scored on the same rows; both None before a first release.

    The profile takes features from the rows the model learned from, and scores and performance from the hold-out:
    answers on rows a model has seen flatter it, and a monitor held to them would alarm every night.
    """
    features, threshold = list(spec.data.features), decision_threshold(candidate)
    classes, holdout = spec.data.label.classes, parts.holdout
    labels = label_numbers(holdout[spec.data.label.column].to_numpy(), classes, spec.model)
    scores = score(candidate, holdout[features], classes)
    beside = score(incumbent, holdout[features], classes) if incumbent is not None else None
    body, verdict = evaluate(
        spec,
        holdout,
        labels,
        scores,
        champion_scores=beside,
        champion_name=str(champion) if champion else None,
        seed=spec.training.seed,
        thresholds=(threshold, decision_threshold(incumbent)),
    )
    if classes is not None:
        verdict = Verdict.of([*verdict.findings, *unseen_classes(candidate.classes_, classes)])
    importance = permutation_importance(
        spec,
        lambda frame: score(candidate, frame[features], classes),
        holdout,
        labels,
        seed=spec.training.seed,
        threshold=threshold,
    )
    profile = build_profile(
        spec,
        parts.fit,
        scores,
        labels,
        importance=importance["features"],
        threshold=threshold,
        holdout=holdout,
    )
    profile["attribution"] = _attribution(spec, candidate, holdout, profile["reference"])
    values = {name: found["value"] for name, found in body["metrics"].items() if found["value"] is not None}
    return Judged({**body, "importance": importance}, verdict, values, profile)


def _attribution(spec: ModelSpec, candidate: Any, holdout: Any, reference: JsonObject) -> JsonObject | None:
    """What later windows are held to. A candidate that cannot answer such rows is judged all the same, without."""
    classes = spec.data.label.classes
    wanted = fitted_on(candidate, spec.data.features)
    try:
        return attribute(spec, lambda rows: score(candidate, rows[wanted], classes), holdout, reference).to_json()
    except Exception as error:  # noqa: BLE001  # a model that refuses a row raises what it likes
        log.warning("%s: no attributions for its profile, %s: %s", spec.model, type(error).__name__, error)
        return None
