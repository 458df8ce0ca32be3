"""Performance before outcomes are in, from what a version said of itself: it sees covariate shift, not concept shift.

Of a binary model the confidence-based estimate: with the chance p that a score means yes (by the calibration of the
hold-out), TP = Σ p·ŷ, FP = Σ (1−p)·ŷ, FN = Σ p·(1−ŷ), TN = Σ (1−p)(1−ŷ); ranking metrics read p and 1−p as the weights
of a positive and a negative. Of a multiclass model the accuracy, a straight line in the mean confidence. Of a
regression the error that each tenth of the predictions had on the hold-out.

An estimator reads a set of answers as a vector that adds up; a day, a week and the hold-out are read alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from steward.gates.confusion import DECISION_METRICS
from steward.gates.measurement import resampled
from steward.monitoring.performance.calibrator import Calibrator
from steward.monitoring.performance.measuring import MIDDLES, spread
from steward.monitoring.tallies import AnswerTally, Moments, OutcomeTally
from steward.types import JsonObject

Floats = NDArray[np.float64]

DRAWS = 100
_BINARY = DECISION_METRICS - {"macro_f1"} | {
    "accuracy",
    "average_precision",
    "brier",
    "calibration_gap",
    "log_loss",
    "roc_auc",
}


class Estimator(Protocol):
    @property
    def metrics(self) -> frozenset[str]:
        """What it can estimate."""
        ...

    def rows(self, vector: Floats) -> int: ...

    def read(self, answers: AnswerTally) -> Floats: ...

    def read_labelled(self, outcomes: OutcomeTally) -> Floats:
        """Of the answers whose outcome is known, as if it were not."""
        ...

    def values(self, metric: str, vectors: Floats) -> Floats:
        """(r,) of (r, m); NaN of an empty one."""
        ...

    def error(self, metric: str, vector: Floats) -> float:
        """Standard error of the change since the hold-out, for independent rows: of both sets of rows and of the map
        between them, which is the same map on both sides."""
        ...


def estimator(calibration: JsonObject | None) -> Estimator | None:
    """Of the profile's calibration; None where the hold-out had too few outcomes to learn from."""
    found = (calibration or {}).get("estimate")
    return _KINDS[found["kind"]](found) if found else None


def expected(metric: str, scores: Floats, chances: Floats, counts: Floats, threshold: float = 0.5) -> Floats:
    """(r,) for `counts` of (r, n): rows with each of n scores, which mean yes with these chances, (n,) or (r, n)."""
    labels, both = np.repeat([0.0, 1.0], len(scores)), np.tile(scores, 2)
    weights = np.concatenate([counts * (1 - chances), counts * chances], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return resampled(metric, labels, both, weights, threshold=threshold)


@dataclass(frozen=True)
class _OfScores:
    """Binary: rows by cell of the score."""

    about: JsonObject
    metrics = frozenset(_BINARY)

    @cached_property
    def calibrator(self) -> Calibrator:
        return Calibrator.from_json(self.about)

    @cached_property
    def chances(self) -> Floats:
        return self.calibrator(MIDDLES)

    def rows(self, vector: Floats) -> int:
        return int(vector.sum())

    @cached_property
    def reference(self) -> Floats:
        return spread({int(cell): count for cell, count in self.about["cells"].items()})

    def read(self, answers: AnswerTally) -> Floats:
        return spread(answers.cells)

    def read_labelled(self, outcomes: OutcomeTally) -> Floats:
        return spread(outcomes.negatives) + spread(outcomes.positives)

    def values(self, metric: str, vectors: Floats) -> Floats:
        return self._expected(metric, vectors, self.chances)

    def error(self, metric: str, vector: Floats) -> float:
        draw = np.random.default_rng(0)
        chances = self.calibrator.shaken(MIDDLES, draw, DRAWS)
        now, then = (self._expected(metric, _redrawn(each, draw), chances) for each in (vector, self.reference))
        return float(np.nanstd(now - then, ddof=1))

    def _expected(self, metric: str, vectors: Floats, chances: Floats) -> Floats:
        there = vectors.any(axis=0)
        if not there.any():
            return np.full(len(vectors), np.nan)
        return expected(metric, MIDDLES[there], chances[..., there], vectors[:, there], self.about["threshold"])


def _redrawn(vector: Floats, draw: np.random.Generator) -> Floats:
    rows = int(vector.sum())
    return draw.multinomial(rows, vector / rows, DRAWS).astype(np.float64)


@dataclass(frozen=True)
class _OfConfidence:
    """Multiclass: rows, and the sum of their confidences."""

    about: JsonObject
    metrics = frozenset({"accuracy"})

    @property
    def _confidence(self) -> Moments:
        return Moments.from_json(self.about["confidence"])

    def rows(self, vector: Floats) -> int:
        return int(vector[0])

    def read(self, answers: AnswerTally) -> Floats:
        return _summed([answers.confidence])

    def read_labelled(self, outcomes: OutcomeTally) -> Floats:
        return _summed([said for said, _ in outcomes.calibration])

    def values(self, metric: str, vectors: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = vectors[:, 1] / vectors[:, 0]
        return np.clip(self.about["intercept"] + self.about["slope"] * mean, 0.0, 1.0)

    def error(self, metric: str, vector: Floats) -> float:
        """Rows vary about the mean as they did on the hold-out; the slope is as sure as the hold-out made it."""
        then = self._confidence
        sampling = self.about["slope"] ** 2 * then.variance * (1 / vector[0] + 1 / then.n)
        moved = vector[1] / vector[0] - then.mean
        return float(np.sqrt(sampling + (moved * self.about["slope_error"]) ** 2))


def _summed(parts: list[Moments]) -> Floats:
    return np.array([float(sum(each.n for each in parts)), sum(each.n * each.mean for each in parts)])


@dataclass(frozen=True)
class _OfPredictions:
    """Regression: rows by bin of the prediction."""

    about: JsonObject
    metrics = frozenset({"mae", "rmse"})

    def rows(self, vector: Floats) -> int:
        return int(vector.sum())

    @property
    def reference(self) -> Floats:
        return np.asarray(self.about["rows"], np.float64)

    def read(self, answers: AnswerTally) -> Floats:
        """Empty where the profile's score has other bins: of so few distinct predictions that each has its own."""
        bins = len(self.about["rows"])
        return np.asarray(answers.counts if len(answers.counts) == bins else [0] * bins, np.float64)

    def read_labelled(self, outcomes: OutcomeTally) -> Floats:
        return np.array([float(said.n) for said, _ in outcomes.calibration] or [0.0] * len(self.about["rows"]))

    def values(self, metric: str, vectors: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._shape(metric, vectors @ self._means(metric) / vectors.sum(axis=1))

    def error(self, metric: str, vector: Floats) -> float:
        means, then = self._means(metric), self.reference
        shares = [each / each.sum() for each in (vector, then)]
        drawn = sum(
            (w @ means**2 - (w @ means) ** 2) / n for w, n in zip(shares, (vector.sum(), then.sum()), strict=True)
        )
        unsure = ((shares[0] - shares[1]) ** 2) @ np.asarray(self.about[f"{_LOSS[metric]}_variance"])
        error = float(np.sqrt(drawn + unsure))
        root = float(self.values("rmse", vector[None])[0])
        return error / (2 * root) if metric == "rmse" and root > 0 else error

    def _means(self, metric: str) -> Floats:
        return np.asarray(self.about[_LOSS[metric]], np.float64)

    def _shape(self, metric: str, means: Floats) -> Floats:
        return np.sqrt(means) if metric == "rmse" else means


_LOSS = {"mae": "absolute_error", "rmse": "squared_error"}
_KINDS: dict[str, type[_OfScores] | type[_OfConfidence] | type[_OfPredictions]] = {
    "scores": _OfScores,
    "confidence": _OfConfidence,
    "predictions": _OfPredictions,
}
