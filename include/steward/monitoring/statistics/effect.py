"""How large a trouble is, apart from what the model may do to people: "low", "medium" or "high", by cause.

| cause | measured by | medium from | high from |
|---|---|---|---|
| data | importance of the broken features × the share of rows that came broken | 5 % | 30 % |
| drift | importance of what moved further than weeks of the reference do; PSI of the answers | 10 % | 40 % |
| performance, fairness | how far beyond its limit, relative to the limit | a tenth | the limit again |
| operation | how many times the limit | 1.5 × | 5 × |
| monitor | nobody looks | always | never |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from steward.gates import Finding, Verdict
from steward.monitoring.importance import importances
from steward.monitoring.reading import Reading
from steward.monitoring.summary import LITTLE, MUCH, carried_by, moved_features
from steward.monitoring.tallies.counting import counted_features
from steward.monitoring.windows import Cause

Effect = Literal["low", "medium", "high"]
LARGE_PSI = 0.25
"""Where the convention says: act."""


def effect(reading: Reading, verdict: Verdict, cause: Cause) -> Effect:
    """Of the failed findings of this cause; "low" without any."""
    failed = [finding for finding in verdict.failed() if finding.gate.partition(".")[0] == cause.value]
    if not failed:
        return "low"
    if cause is Cause.DATA:
        return _of_data(reading, failed)
    if cause is Cause.DRIFT:
        return _of_drift(reading, verdict, failed)
    if cause is Cause.OPERATION:
        return _largest(_grade(_times(finding), 1.5, 5.0) for finding in failed)
    if cause is Cause.MONITOR:
        return "medium"
    return _largest(_grade(_beyond(finding), 0.1, 1.0) for finding in failed)


def _of_data(reading: Reading, failed: Sequence[Finding]) -> Effect:
    """A finding of no feature (old data, a clock that jumped) is medium. Unmeasured, all features matter alike."""
    names = counted_features(reading.spec)
    shares = importances(reading.profile) or dict.fromkeys(names, 1 / max(len(names), 1))
    broken: dict[str, float] = {}
    for finding in failed:
        name = finding.gate.partition(":")[2]
        if name in reading.spec.data.features:
            broken[name] = max(broken.get(name, 0.0), min(finding.value or 0.0, 1.0))
    lost = _grade(sum(shares.get(name, 0.0) * share for name, share in broken.items()), 0.05, 0.3)
    whole = any(finding.gate.partition(":")[2] not in broken for finding in failed)
    return _largest([lost, "medium" if whole else "low"])


def _of_drift(reading: Reading, verdict: Verdict, failed: Sequence[Finding]) -> Effect:
    news = [each for each in moved_features(reading, verdict) if not each.usual]
    carried = carried_by(reading, [each.name for each in news])
    large = any((each.psi or 0.0) > LARGE_PSI for each in news)
    if carried is None:
        inputs: Effect = "medium" if large else "low"
    else:
        inputs = _grade(carried, LITTLE, MUCH)
        inputs = "medium" if inputs == "high" and not large else inputs
    return _largest([inputs, *map(_of_whole, failed)])


def _of_whole(finding: Finding) -> Effect:
    """Of drift that is not one feature's distribution: the answers, the joint distribution, a trend, the ranking."""
    kind = finding.gate.partition(":")[0]
    if kind == "drift.prediction_psi":
        return "high" if (finding.value or 0.0) > LARGE_PSI else "medium"
    return "medium" if kind in ("drift.domain_classifier", "drift.attribution", "drift.trend_confidence") else "low"


def _times(finding: Finding) -> float:
    """How many times its limit; of a limit of nothing, a percent counts as once."""
    return (finding.value or 0.0) / max(finding.limit or 0.0, 0.01)


def _beyond(finding: Finding) -> float:
    if finding.value is None or finding.limit is None:
        return 0.1
    return abs(finding.value - finding.limit) / max(abs(finding.limit), 0.01)


def _grade(size: float, medium: float, high: float) -> Effect:
    return "high" if size >= high else "medium" if size >= medium else "low"


def _largest(effects: Iterable[Effect]) -> Effect:
    order: tuple[Effect, ...] = ("low", "medium", "high")
    return max(effects, key=order.index)
