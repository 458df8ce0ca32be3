"""Judges one window of one version; the part of a gate's name before the first dot is the cause of the trouble.

Families are asked in this order: those that speak at any size of window, those that need `monitoring.min_rows`, and
last those that need rows and not only counts, which are dear and therefore declared. What is not declared is not
judged, and one that could not decide says so with its reason: a window without a failed finding is not a sound one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from steward.gates import Finding, Outcome, Verdict
from steward.monitoring.checks.attribution import judge_attribution
from steward.monitoring.checks.business import judge_business
from steward.monitoring.checks.calibration import judge_calibration
from steward.monitoring.checks.confidence import judge_confidence
from steward.monitoring.checks.domain import judge_domain
from steward.monitoring.checks.estimation import judge_estimates
from steward.monitoring.checks.fairness import judge_fairness
from steward.monitoring.checks.inputs import judge_inputs
from steward.monitoring.checks.operation import judge_operation
from steward.monitoring.checks.performance import judge_performance
from steward.monitoring.checks.text import judge_words
from steward.monitoring.checks.traffic import judge_traffic
from steward.monitoring.checks.trends import judge_trends
from steward.monitoring.checks.watch import has_enough, judge_monitor
from steward.monitoring.reading import Check, Reading
from steward.monitoring.windows import Cause

AT_ANY_SIZE: tuple[Check, ...] = (judge_monitor, judge_traffic, judge_operation)
"""Speak of a window however few its rows are: of the monitor, of data that did not come, of failed requests."""

FAMILIES: tuple[Check, ...] = (
    judge_inputs,
    judge_words,
    judge_trends,
    judge_confidence,
    judge_estimates,
    judge_performance,
    judge_calibration,
    judge_fairness,
    judge_business,
)
"""Compare shares and means: only of windows with rows enough. From counts alone."""

FROM_ROWS: tuple[Check, ...] = (judge_domain, judge_attribution)
"""Ask for rows of the window, and of the reference."""


def judge(reading: Reading, *, from_rows: bool = True) -> Verdict:
    """`from_rows=False` leaves out the families that need rows, for windows that are caught up: they cannot be told."""
    findings = [finding for check in AT_ANY_SIZE for finding in check(reading)]
    if not has_enough(reading):
        return Verdict.of(map(_unproven, findings))
    for check in (*FAMILIES, *(FROM_ROWS if from_rows else (_left_out,))):
        findings += check(reading)
    return Verdict.of(findings)


def _left_out(reading: Reading) -> Iterator[Finding]:
    """Silence would pass for a sound night, and end an incident that such a check has opened."""
    drift = reading.spec.monitoring.drift
    for name in ("domain_classifier", "attribution"):
        if getattr(drift, name) is not None:
            reason = "a window that is caught up is judged from counts alone, and this asks for rows"
            yield Finding(f"{Cause.DRIFT.value}.{name}", Outcome.INCONCLUSIVE, reason, rows=reading.tally.rows)


def _unproven(finding: Finding) -> Finding:
    """So few answers that none of them failed prove nothing; that too many failed they may well prove."""
    if finding.outcome is not Outcome.PASSED or not finding.gate.startswith(f"{Cause.OPERATION.value}."):
        return finding
    return replace(finding, outcome=Outcome.INCONCLUSIVE, reason=f"too few rows to rely on: {finding.reason}")


def causes(verdict: Verdict) -> tuple[Cause, ...]:
    """Every cause with a failed check, in the order of `Cause`."""
    return tuple(cause for cause, outcome in outcome_by_cause(verdict).items() if outcome is Outcome.FAILED)


def outcome_by_cause(verdict: Verdict) -> dict[Cause, Outcome]:
    """Of every cause that was judged at all."""
    by_cause: dict[Cause, list[Finding]] = {cause: [] for cause in Cause}
    for finding in verdict.findings:
        by_cause[cause_of(finding)].append(finding)
    return {cause: Verdict.of(findings).outcome for cause, findings in by_cause.items() if findings}


def cause_of(finding: Finding) -> Cause:
    return Cause(finding.gate.split(".", 1)[0])
