"""Judges a candidate on its hold-out: absolute gates overall and on every slice, and the champion beside it.

Gates of the verdict: `metric.<name>` (bounds), `champion.<name>` (non-inferiority), `fairness.<name>` (groups of the
protected columns), `slice.rows` and `fairness.rows` (a slice or a group too small to judge: named, never dropped).
`steward.evaluation.decision` says what a verdict means for a tier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from steward.errors import DataError
from steward.evaluation.bootstrap import Comparison, Pair, compare, judge_non_inferiority
from steward.evaluation.calibration import calibration_table
from steward.evaluation.decision import SMALL_SLICE
from steward.evaluation.fairness import assess_fairness
from steward.gates import OVERALL, Finding, Outcome, Verdict, at_least, at_most
from steward.gates.measurement import Floats, Measurement, known_rows, measure
from steward.gates.metrics import METRICS, metric_named
from steward.gates.slices import Slice, cut
from steward.spec.model import MetricGate, ModelSpec
from steward.types import JsonObject, to_json

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class _Holdout:
    """Rows with a known outcome, and what was predicted for them."""

    frame: pd.DataFrame
    labels: Floats
    scores: Floats
    champion_scores: Floats | None
    champion: str | None
    thresholds: Pair


def evaluate(
    spec: ModelSpec,
    frame: pd.DataFrame,
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    champion_scores: ArrayLike | None = None,
    champion_name: str | None = None,
    seed: int,
    thresholds: Pair = (0.5, 0.5),
) -> tuple[JsonObject, Verdict]:
    """→ the evidence body (the verdict in it) and the verdict. All vectors align with the rows of `frame`.

    Rows with an unknown outcome (NaN) are left out and counted. From its threshold on (the candidate's, the champion's)
    a score is a yes. Of a multiclass model labels are indices of classes, scores (rows, classes). Raises SpecError for
    a metric that does not exist, DataError when vectors do not align or a slice cannot be cut.
    """
    holdout = _known(frame, labels, scores, champion_scores, champion_name, thresholds)
    slices = [s for text in spec.evaluation.slices for s in cut(text, holdout.frame)]
    overall = _measure_all(spec, holdout, None)
    by_slice = [(s, _measure_all(spec, holdout, s)) for s in slices]
    compared = _compare_all(spec, holdout, seed)
    fairness, disparities = assess_fairness(spec, holdout.frame, holdout.labels, holdout.scores, thresholds[0])
    beside = _non_inferiority(spec, compared, holdout.champion)
    verdict = Verdict.of([*_bounds(spec, overall, by_slice), *beside, *disparities])
    body = {
        "rows": len(frame),
        "labelled": len(holdout.labels),
        "label_mean": _label_mean(holdout),
        "threshold": thresholds[0],
        "metrics": {name: found.to_json() for name, found in overall.items()},
        "slices": [_slice_json(s, found) for s, found in by_slice],
        "champion": _champion_json(spec, holdout, compared),
        "fairness": fairness,
        "calibration": calibration_table(holdout.labels, holdout.scores),
        "verdict": verdict.to_json(),
    }
    return to_json(body), verdict


def _known(
    frame: pd.DataFrame,
    labels: ArrayLike,
    scores: ArrayLike,
    champion_scores: ArrayLike | None,
    champion: str | None,
    thresholds: Pair,
) -> _Holdout:
    outcome = _aligned("labels", labels, len(frame))
    known = known_rows(outcome)
    beside = None
    if champion_scores is not None:
        beside = _aligned("champion scores", champion_scores, len(frame), per_row=2)[known]
    return _Holdout(
        frame=frame[known].reset_index(drop=True),
        labels=outcome[known],
        scores=_aligned("scores", scores, len(frame), per_row=2)[known],
        champion_scores=beside,
        champion=champion or ("the champion" if beside is not None else None),
        thresholds=thresholds,
    )


def _label_mean(holdout: _Holdout) -> float | None:
    """Of a multiclass model a mean says nothing."""
    return float(holdout.labels.mean()) if len(holdout.labels) and holdout.scores.ndim == 1 else None


def _aligned(what: str, values: ArrayLike, rows: int, per_row: int = 1) -> Floats:
    """`per_row`: the most dimensions there may be."""
    vector = np.asarray(values, dtype=np.float64)
    if vector.shape[:1] != (rows,) or vector.ndim > per_row:
        raise DataError(
            f"{what} have shape {vector.shape}, the hold-out has {rows} rows", hint="give one number per row"
        )
    return vector


def _measure_all(spec: ModelSpec, holdout: _Holdout, part: Slice | None) -> dict[str, Measurement]:
    rows = slice(None) if part is None else part.rows.to_numpy()
    labels, scores = holdout.labels[rows], holdout.scores[rows]
    about: dict[str, Any] = {"threshold": holdout.thresholds[0]}
    if part is not None:
        about["min_rows"] = spec.evaluation.slice_min_rows
    return {name: measure(name, labels, scores, **about) for name in _reported(spec)}


def _reported(spec: ModelSpec) -> list[str]:
    """The gated metrics, and every other one of the task as evidence."""
    gated = [metric_named(name, spec.task).name for name in spec.evaluation.metrics]
    return gated + [m.name for m in METRICS.values() if spec.task in m.tasks and m.name not in gated]


def _bounds(
    spec: ModelSpec, overall: dict[str, Measurement], by_slice: list[tuple[Slice, dict[str, Measurement]]]
) -> list[Finding]:
    gates, needed = spec.evaluation.metrics.items(), spec.evaluation.slice_min_rows
    findings = [finding for name, gate in gates for finding in _bound(gate, overall[name], OVERALL)]
    for part, found in by_slice:
        rows = int(part.rows.sum())
        if rows < needed:
            findings.append(_too_small(part.name, rows, needed))
        else:
            findings += [finding for name, gate in gates for finding in _bound(gate, found[name], part.name)]
    return findings


def _too_small(name: str, rows: int, needed: int) -> Finding:
    reason = f"slice {name} has {rows} rows with a known outcome, {needed} are needed: not judged"
    return Finding(SMALL_SLICE, Outcome.INCONCLUSIVE, reason, rows, needed, name, rows)


def _bound(gate: MetricGate, found: Measurement, where: str) -> list[Finding]:
    name, what = f"metric.{found.metric}", METRICS[found.metric].title
    if found.problem is not None and (gate.min is not None or gate.max is not None):
        on = "" if where == OVERALL else f" on {where}"
        limit = gate.min if gate.min is not None else gate.max
        reason = f"{what}{on} could not be computed: {found.problem}"
        return [Finding(name, Outcome.INCONCLUSIVE, reason, None, limit, where, found.rows)]
    findings = []
    if gate.min is not None:
        findings.append(at_least(name, found.value, gate.min, what, slice=where, rows=found.rows))
    if gate.max is not None:
        findings.append(at_most(name, found.value, gate.max, what, slice=where, rows=found.rows))
    return findings


def _compare_all(spec: ModelSpec, holdout: _Holdout, seed: int) -> dict[str, Comparison | str]:
    if holdout.champion_scores is None:
        return {}
    return {
        name: compare(
            name,
            holdout.labels,
            holdout.scores,
            holdout.champion_scores,
            count=spec.evaluation.bootstrap,
            seed=seed,
            thresholds=holdout.thresholds,
        )
        for name, gate in spec.evaluation.metrics.items()
        if gate.not_worse_than_champion is not None
    }


def _non_inferiority(spec: ModelSpec, compared: dict[str, Comparison | str], champion: str | None) -> list[Finding]:
    """Without a champion an absolute bound must carry the gate; a gate with neither judged nothing."""
    findings = []
    for name, gate in spec.evaluation.metrics.items():
        margin = gate.not_worse_than_champion
        if margin is None:
            continue
        if champion is not None:
            findings.append(judge_non_inferiority(name, compared[name], margin, champion))
        elif gate.min is None and gate.max is None:
            what = METRICS[name].title
            reason = f"{what} has no champion to be compared with and no bound of its own: give min or max"
            findings.append(Finding(f"champion.{name}", Outcome.INCONCLUSIVE, reason, limit=-margin))
    return findings


def _slice_json(part: Slice, found: dict[str, Measurement]) -> JsonObject:
    return {
        "slice": part.name,
        "rows": int(part.rows.sum()),
        "metrics": {name: one.to_json() for name, one in found.items()},
    }


def _champion_json(spec: ModelSpec, holdout: _Holdout, compared: dict[str, Comparison | str]) -> JsonObject | None:
    if holdout.champion_scores is None:
        return None
    threshold = holdout.thresholds[1]
    measured = {
        name: measure(name, holdout.labels, holdout.champion_scores, threshold=threshold) for name in _reported(spec)
    }
    return {
        "name": holdout.champion,
        "threshold": threshold,
        "metrics": {name: found.to_json() for name, found in measured.items()},
        "comparison": {k: {"problem": c} if isinstance(c, str) else c.to_json() for k, c in compared.items()},
    }
