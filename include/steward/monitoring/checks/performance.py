"""Is the version still as good as its evaluation said? Judged once outcomes are in, with the sampling error.

The error is that of independent rows; rows that share an hour or a day vary more, so limits should leave
room.
"""

from __future__ import annotations

import math

import numpy as np

from steward.gates import Finding, Outcome
from steward.gates.measurement import Floats, Measurement, known_rows, measure
from steward.gates.metrics import Metric, metric_named
from steward.monitoring.psi import ALPHA, normal_quantile
from steward.spec.model import ModelSpec
from steward.spec.monitoring import PerformanceRule
from steward.types import JsonObject

MIN_LABELLED_SHARE = 0.5  # outcomes that come early are not like those that come late


def judge_performance(spec: ModelSpec, profile: JsonObject, labels: Floats, scores: Floats) -> list[Finding]:
    """One finding per limit of `monitoring.performance`. Rows without an outcome or a score are left out."""
    answered = np.isfinite(scores)
    usable = answered & known_rows(labels)
    share = float(usable.sum() / answered.sum()) if answered.any() else 0.0
    findings = []
    for name, rule in spec.monitoring.performance.items():
        metric = metric_named(name, spec.task)
        found = measure(name, labels[usable], scores[usable], threshold=profile.get("threshold", 0.5))
        if share < MIN_LABELLED_SHARE:
            findings.append(_too_few(metric, share, found.rows))
        elif found.value is None or found.error is None:
            reason = f"{metric.title} could not be computed: {found.problem}"
            findings.append(Finding(_gate(metric), Outcome.INCONCLUSIVE, reason, rows=found.rows))
        else:
            findings += _judge_rule(metric, rule, found, profile["performance"].get(name))
    return findings


def _gate(metric: Metric) -> str:
    return f"performance.{metric.name}"


def _too_few(metric: Metric, share: float, rows: int) -> Finding:
    reason = (
        f"{metric.title} waits for outcomes: {share:.0%} of the answers have one ({rows} rows), "
        f"{MIN_LABELLED_SHARE:.0%} are needed"
    )
    return Finding(_gate(metric), Outcome.INCONCLUSIVE, reason, share, MIN_LABELLED_SHARE, rows=rows)


def _judge_rule(
    metric: Metric, rule: PerformanceRule, found: Measurement, baseline: JsonObject | None
) -> list[Finding]:
    findings = []
    if rule.max_drop is not None:
        findings.append(_judge_drop(metric, rule.max_drop, found, baseline))
    if rule.max is not None:
        findings.append(_judge_limit(metric, rule.max, found, sign=1))
    if rule.min is not None:
        findings.append(_judge_limit(metric, rule.min, found, sign=-1))
    return findings


def _judge_drop(metric: Metric, max_drop: float, found: Measurement, baseline: JsonObject | None) -> Finding:
    """FAILED when the fall from the evaluation exceeds both the limit and what chance gives.

    INCONCLUSIVE when chance alone may give a fall of the limit, whatever was seen within it.
    """
    if found.value is None or found.error is None or baseline is None or baseline["value"] is None:
        reason = f"{metric.title} has no value in the version's profile to be compared with"
        return Finding(_gate(metric), Outcome.INCONCLUSIVE, reason, limit=max_drop, rows=found.rows)
    drop = metric.better.sign * (baseline["value"] - found.value)
    chance = normal_quantile(1 - ALPHA) * math.hypot(found.error, baseline["error"])
    said = (
        f"{metric.title} is {found.value:.4g} on {found.rows} rows, {baseline['value']:.4g} at evaluation: "
        f"{abs(drop):.4g} {'worse' if drop > 0 else 'better'}, at most {max_drop:g} worse is allowed "
        f"and chance gives up to {chance:.2g}"
    )
    outcome = _outcome(drop > max_drop, drop > chance, chance > max_drop)
    return Finding(_gate(metric), outcome, said, drop, max_drop, rows=found.rows)


def _outcome(beyond_limit: bool, beyond_chance: bool, blind: bool) -> Outcome:
    if beyond_limit and beyond_chance:
        return Outcome.FAILED
    return Outcome.INCONCLUSIVE if beyond_limit or blind else Outcome.PASSED


def _judge_limit(metric: Metric, limit: float, found: Measurement, *, sign: int) -> Finding:
    """FAILED when beyond an absolute limit by more than the sampling error, INCONCLUSIVE when by less.

    `sign` is 1 for an upper limit, −1 for a lower one.
    """
    if found.value is None or found.error is None:
        return Finding(
            _gate(metric), Outcome.INCONCLUSIVE, f"{metric.title} has no value", limit=limit, rows=found.rows
        )
    excess, chance = sign * (found.value - limit), normal_quantile(1 - ALPHA) * found.error
    outcome = _outcome(excess > 0, excess > chance, False)
    bound = "at most" if sign > 0 else "at least"
    reason = (
        f"{metric.title} is {found.value:.4g} on {found.rows} rows, {bound} {limit:g} is allowed "
        f"and chance gives ± {chance:.2g}"
    )
    return Finding(_gate(metric), outcome, reason, found.value, limit, rows=found.rows)
