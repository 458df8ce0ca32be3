"""Judges one served window of one version; a gate's name tells the cause of the trouble.

| gate | cause |
|---|---|
| `data.column:x` `data.type:x` `data.missing:x` `data.range:x` `data.levels:x` | DATA |
| `drift.psi:x` `drift.missing:x` `drift.levels:x` `drift.prediction_psi` | DRIFT |
| `performance.<metric>` | PERFORMANCE |
| `operation.error_rate` `operation.p99_latency` `operation.unscored` | OPERATION |
| `window.rows` | none: nothing could be judged |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from steward.errors import DataError
from steward.gates import Finding, Outcome, Verdict
from steward.gates.measurement import Floats
from steward.monitoring.bins import Bins
from steward.monitoring.checks.inputs import judge_inputs, looked_at_together
from steward.monitoring.checks.operation import judge_operation
from steward.monitoring.checks.performance import judge_performance
from steward.monitoring.checks.shift import judge_shift
from steward.monitoring.profile import FORMAT
from steward.monitoring.windows import Cause
from steward.spec.model import ModelSpec
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd


def judge(spec: ModelSpec, profile: JsonObject, served: pd.DataFrame) -> Verdict:
    """`served` holds one row per answer of one version: features as `f_<feature>` (or by plain name),
    `score`, `label` (NaN while unknown), `latency_ms`, `error`.

    Below `monitoring.min_rows` nothing is judged. Raises DataError for a profile of another format.
    """
    if profile.get("format") != FORMAT:
        raise DataError(
            f"the version's profile has format {profile.get('format')!r}, this release reads {FORMAT}",
            hint="retrain the model: its new version gets a profile of this format",
        )
    rows, needed = len(served), spec.monitoring.min_rows
    if rows < needed:
        reason = f"{rows} rows were answered in the window, {needed} are needed: nothing was judged"
        return Verdict.of([Finding("window.rows", Outcome.INCONCLUSIVE, reason, rows, needed, rows=rows)])
    scores, labels = _vector(served, "score"), _vector(served, "label")
    return Verdict.of(
        [
            *judge_inputs(spec, profile, feature_frame(served, spec)),
            _judge_predictions(spec, profile, scores),
            *judge_performance(spec, profile, labels, scores),
            *judge_operation(spec, served),
        ]
    )


def feature_frame(served: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    """The declared features that are there, by plain name.

    From `f_<feature>` columns when the frame has any.
    """
    logged = {f"f_{name}": name for name in spec.data.features if f"f_{name}" in served.columns}
    if logged:
        return served[list(logged)].rename(columns=logged)
    return served[[name for name in spec.data.features if name in served.columns]]


def causes(verdict: Verdict) -> tuple[Cause, ...]:
    """Every cause with a failed check, in the order of `Cause`."""
    kinds = {finding.gate.split(".", 1)[0] for finding in verdict.failed()}
    return tuple(cause for cause in Cause if cause.value in kinds)


def _vector(served: pd.DataFrame, column: str) -> Floats:
    """NaN everywhere when the column is absent."""
    if column not in served.columns:
        return np.full(len(served), np.nan)
    return served[column].to_numpy(np.float64, na_value=np.nan)


def _judge_predictions(spec: ModelSpec, profile: JsonObject, scores: Floats) -> Finding:
    bins = Bins.from_json(profile["score"]["bins"])
    return judge_shift(
        "drift.prediction_psi",
        "the prediction",
        bins,
        scores[np.isfinite(scores)],
        limit=spec.monitoring.drift.psi.max,
        checks=looked_at_together(spec),
    )
