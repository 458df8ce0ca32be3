"""Is the candidate no worse than the champion? A paired bootstrap of the difference on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steward.gates import Finding, Outcome
from steward.gates.measurement import Floats, find_problem, resampled, resamples
from steward.gates.metrics import METRICS
from steward.types import JsonObject, to_json

CONFIDENCE = 0.95
Pair = tuple[float, float]
_CHUNK_CELLS = 750_000  # resamples are drawn in blocks of about 6 MB


@dataclass(frozen=True)
class Comparison:
    """Candidate minus champion, oriented so that more is better.

    `lower` and `upper` are one-sided 95 % bounds.
    """

    metric: str
    difference: float
    lower: float
    upper: float
    rows: int
    resamples: int

    def to_json(self) -> JsonObject:
        return dict(vars(self))


def compare(
    metric: str,
    labels: Floats,
    candidate: Floats,
    champion: Floats,
    *,
    count: int,
    seed: int,
    thresholds: Pair = (0.5, 0.5),
) -> Comparison | str:
    """Resample rows, keeping each row's two scores together; or the sentence why there is no comparison.

    `thresholds` are the candidate's and the champion's: each is judged by the decisions it makes itself.
    """
    beside = zip(("the candidate", "the champion"), (candidate, champion), thresholds, strict=True)
    for who, scores, threshold in beside:
        if problem := find_problem(metric, labels, scores, threshold=threshold):
            return f"{who}: {problem}"
    sign = METRICS[metric].better.sign
    whole = np.ones((1, len(labels)))
    difference = sign * float(_difference(metric, labels, (candidate, champion), thresholds, whole)[0])
    spread = sign * _resampled_differences(metric, labels, (candidate, champion), thresholds, count, seed)
    usable = spread[~np.isnan(spread)]
    if len(usable) < 0.9 * count:
        return f"{count - len(usable)} of {count} resamples have one class only: too few rows of the rarer class"
    lower, upper = np.quantile(usable, [1 - CONFIDENCE, CONFIDENCE])
    return Comparison(metric, difference, float(lower), float(upper), len(labels), count)


def _difference(
    metric: str, labels: Floats, scores: tuple[Floats, Floats], thresholds: Pair, weights: Floats
) -> Floats:
    ours, theirs = (
        resampled(metric, labels, each, weights, threshold=threshold)
        for each, threshold in zip(scores, thresholds, strict=True)
    )
    return ours - theirs


def _resampled_differences(
    metric: str, labels: Floats, scores: tuple[Floats, Floats], thresholds: Pair, count: int, seed: int
) -> Floats:
    draw, block = np.random.default_rng(seed), max(1, _CHUNK_CELLS // len(labels))
    return np.concatenate(
        [
            _difference(metric, labels, scores, thresholds, resamples(len(labels), min(block, count - done), draw))
            for done in range(0, count, block)
        ]
    )


def judge_non_inferiority(metric: str, found: Comparison | str, margin: float, champion: str) -> Finding:
    """PASSED when the interval lies above −margin, FAILED when below, INCONCLUSIVE when it straddles."""
    gate, what = f"champion.{metric}", METRICS[metric].title
    if isinstance(found, str):
        return Finding(gate, Outcome.INCONCLUSIVE, f"{what} cannot be compared with {champion}: {found}", limit=-margin)
    outcome = _outcome(found, margin)
    said = {
        Outcome.PASSED: "not worse by more than the margin",
        Outcome.FAILED: "worse by more than the margin",
        Outcome.INCONCLUSIVE: "which may be worse by more than the margin: more hold-out rows would tell",
    }[outcome]
    side = "better" if found.difference >= 0 else "worse"
    reason = (
        f"{what} is {abs(found.difference):.4g} {side} than {champion}'s "
        f"(one-sided 95 % bounds {found.lower:+.4f} and {found.upper:+.4f}, better is positive), "
        f"{said} {margin:g}"
    )
    return Finding(gate, outcome, reason, to_json(found.lower), -margin, rows=found.rows)


def _outcome(found: Comparison, margin: float) -> Outcome:
    if found.lower > -margin:
        return Outcome.PASSED
    return Outcome.FAILED if found.upper < -margin else Outcome.INCONCLUSIVE
