"""Is the version still as good as its evaluation said? Judged once outcomes are due, overall and per slice.

`performance.<metric>` is FAILED when it is worse than at evaluation by more than `max_drop` or `max_rise`, or beyond
`max` or `min`, and by more than chance. It is INCONCLUSIVE while outcomes are awaited, when the metric has no value,
when it is beyond the limit but perhaps by chance, and when so few rows came that a loss of the limit would not be seen.

Chance has two sources and the larger counts: rows that differ, and days that differ (`day_errors`). Half of the
family's chance of a false alarm is for the whole, half is shared by the slices. A slice that fails has a finding of its
own; one with too few rows, or too noisy to be told, is named in the finding of the whole and changes no outcome: a
small slice would otherwise keep every incident open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from steward.gates import OVERALL, Finding, Outcome
from steward.gates.measurement import Measurement
from steward.gates.metrics import Metric, metric_named
from steward.monitoring.due import DueOutcomes, due_outcomes, summed
from steward.monitoring.performance.measuring import between_days, measure_tally
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import ALPHA, alpha_each
from steward.monitoring.statistics.day_errors import Error, day_error, larger
from steward.spec.fields import format_duration
from steward.spec.monitoring import PerformanceRule
from steward.types import JsonObject


@dataclass(frozen=True)
class Bound:
    """One limit of a rule: `worse` than the baseline by at most so much, or an absolute one (1 upper, −1 lower)."""

    limit: float
    absolute: int = 0


def bounds(rule: PerformanceRule) -> list[Bound]:
    relative = [Bound(limit) for limit in (rule.max_drop, rule.max_rise) if limit is not None]
    upper = [Bound(rule.max, 1)] if rule.max is not None else []
    return [*relative, *upper, *([Bound(rule.min, -1)] if rule.min is not None else [])]


@dataclass(frozen=True)
class _Part:
    """One metric of one slice: what was found, with its error, and what it was at evaluation."""

    metric: Metric
    name: str
    found: Measurement
    error: Error
    baseline: JsonObject | None


def judge_performance(reading: Reading) -> list[Finding]:
    """One finding per limit of `monitoring.performance`, and one per slice that can be told."""
    rules = reading.spec.monitoring.performance
    if not rules:
        return []
    due = due_outcomes(reading)
    reason = due.unsound(format_duration(reading.spec.data.label.arrives_after))
    found: list[Finding] = []
    for name, rule in rules.items():
        metric = metric_named(name, reading.spec.task)
        if reason is not None:
            waits = f"{metric.title} waits for outcomes: {reason}"
            found.append(Finding(_gate(metric), Outcome.INCONCLUSIVE, waits, due.share, rows=due.overall.rows))
        else:
            found += _judge_metric(reading, due, metric, rule)
    return found


def _gate(metric: Metric) -> str:
    return f"performance.{metric.name}"


def _judge_metric(reading: Reading, due: DueOutcomes, metric: Metric, rule: PerformanceRule) -> Iterator[Finding]:
    limits, slices = bounds(rule), due.slices
    tests = sum(len(bounds(each)) for each in reading.spec.monitoring.performance.values()) * (2 if slices else 1)
    whole = _measured(reading, due, metric, OVERALL)
    told: list[Finding] = []
    untold: list[str] = []
    for part in (_measured(reading, due, metric, name) for name in slices):
        alpha = alpha_each(reading, tests * len(slices))
        judged = [judge_bound(_gate(metric), part, bound, alpha) for bound in limits]
        told += [finding for finding in judged if finding.outcome is not Outcome.INCONCLUSIVE]
        if any(finding.outcome is Outcome.INCONCLUSIVE for finding in judged):
            untold.append(f"{part.name} ({part.found.rows} rows)")
    for bound in limits:
        yield _naming(judge_bound(_gate(metric), whole, bound, alpha_each(reading, tests)), untold)
    yield from told


def _naming(finding: Finding, untold: list[str]) -> Finding:
    if not untold:
        return finding
    more = f" and {len(untold) - 5} more" if len(untold) > 5 else ""
    reason = f"{finding.reason}; cannot be told apart from chance on {', '.join(untold[:5])}{more}"
    return replace(finding, reason=reason)


def _measured(reading: Reading, due: DueOutcomes, metric: Metric, part: str) -> _Part:
    spec, profile = reading.spec, reading.profile
    threshold, classes = profile.get("threshold", 0.5), len(spec.data.label.classes or (0, 1))
    needed = {} if part == OVERALL else {"min_rows": spec.evaluation.slice_min_rows}
    found = measure_tally(metric.name, summed(due.by_day(part)), threshold, classes, **needed)
    apart = day_error(
        due.by_block(part),
        lambda block: between_days(metric.name, block, threshold, classes),
        lambda day: day.rows,
        found.rows,
    )
    known = profile.get("performance") if part == OVERALL else (profile.get("slices") or {}).get(part)
    return _Part(metric, part, found, larger(found.error or 0.0, apart), (known or {}).get(metric.name))


def judge_bound(gate: str, part: _Part, bound: Bound, alpha: float) -> Finding:
    """FAILED when beyond the limit and beyond chance; INCONCLUSIVE when it cannot be told."""
    title, on = part.metric.title, "" if part.name == OVERALL else f" on {part.name}"
    about: JsonObject = {"limit": bound.limit, "slice": part.name, "rows": part.found.rows}
    if part.found.value is None:
        reason = f"{title}{on} could not be computed: {part.found.problem}"
        return Finding(gate, Outcome.INCONCLUSIVE, reason, **about)
    if bound.absolute:
        return _judge_absolute(gate, part, bound, alpha, about)
    if part.baseline is None or part.baseline["value"] is None:
        reason = f"{title}{on} has no value in the version's profile to be compared with"
        return Finding(gate, Outcome.INCONCLUSIVE, reason, **about)
    return _judge_change(gate, part, bound, alpha, about)


def _judge_change(gate: str, part: _Part, bound: Bound, alpha: float, about: JsonObject) -> Finding:
    value, before = part.found.value, part.baseline
    assert value is not None
    assert before is not None
    worse = part.metric.better.sign * (before["value"] - value)
    error = part.error.beside(Error(before["error"] or 0.0, max(before.get("days", 1) - 1, 0)))
    chance, usual = error.quantile(alpha), error.quantile(ALPHA)
    on = "" if part.name == OVERALL else f" of {part.name}"
    reason = (
        f"{part.metric.title} is {value:.4g} on {part.found.rows} rows{on}, {before['value']:.4g} at evaluation: "
        f"{abs(worse):.4g} {'worse' if worse > 0 else 'better'}, at most {bound.limit:g} worse is allowed "
        f"and chance gives up to {chance:.2g}{error.said}"
    )
    blind = usual > bound.limit and worse + usual > bound.limit
    outcome = outcome_of(worse > bound.limit, worse > chance, blind=blind)
    return Finding(gate, outcome, reason, worse, **about)


def _judge_absolute(gate: str, part: _Part, bound: Bound, alpha: float, about: JsonObject) -> Finding:
    value = part.found.value
    assert value is not None
    excess, chance = bound.absolute * (value - bound.limit), part.error.quantile(alpha)
    on = "" if part.name == OVERALL else f" of {part.name}"
    reason = (
        f"{part.metric.title} is {value:.4g} on {part.found.rows} rows{on}, "
        f"{'at most' if bound.absolute > 0 else 'at least'} {bound.limit:g} is allowed "
        f"and chance gives ± {chance:.2g}{part.error.said}"
    )
    return Finding(gate, outcome_of(excess > 0, excess > chance, blind=False), reason, value, **about)


def outcome_of(beyond_limit: bool, beyond_chance: bool, *, blind: bool) -> Outcome:
    """`blind`: chance hides a loss of the limit in more than one window of twenty, so that within it is no proof."""
    if beyond_limit and beyond_chance:
        return Outcome.FAILED
    return Outcome.INCONCLUSIVE if beyond_limit or blind else Outcome.PASSED
