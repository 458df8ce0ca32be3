"""Predicted against seen, in bins of the prediction; of several classes, confidence against how often it was right."""

from __future__ import annotations

import numpy as np

from steward.gates.measurement import Floats
from steward.types import JsonObject

BINS = 10


def calibration_table(labels: Floats, scores: Floats) -> list[JsonObject]:
    """Up to BINS groups of about equal size by score; for a good model `predicted` ≈ `seen` in each.

    Rows whose score is not finite are left out: a gate reports them.
    """
    if scores.ndim == 2:
        labels, scores = (scores.argmax(axis=1) == labels).astype(np.float64), scores.max(axis=1, initial=0.0)
    usable = np.isfinite(scores)
    labels, scores = labels[usable], scores[usable]
    if len(scores) == 0:
        return []
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, BINS + 1)[1:-1]))
    group = np.searchsorted(edges, scores, side="right")
    return [_row(labels[group == g], scores[group == g]) for g in np.unique(group)]


def _row(labels: Floats, scores: Floats) -> JsonObject:
    return {
        "from": float(scores.min()),
        "to": float(scores.max()),
        "rows": len(scores),
        "predicted": float(scores.mean()),
        "seen": float(labels.mean()),
    }
