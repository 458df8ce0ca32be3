"""Is the version still good, as far as its answers tell before outcomes are in?

`drift.estimated:<metric>` is FAILED when the estimate is worse than that of the hold-out by more than a limit of
`monitoring.estimated`, or beyond an absolute one, and beyond chance. It sees covariate shift and no concept shift, so
it is a hint and never by itself a reason to train. Where outcomes of earlier days are known it is held against them,
each day's estimate against that day's truth; an estimate that was off by more than the limit is INCONCLUSIVE.
`steward.monitoring.performance.estimating` has the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steward.gates import Finding, Outcome
from steward.gates.metrics import Metric, metric_named
from steward.monitoring.checks.performance import Bound, bounds, outcome_of
from steward.monitoring.due import alike, is_ready
from steward.monitoring.performance.estimating import Estimator, estimator
from steward.monitoring.performance.measuring import jackknife, measure_tally
from steward.monitoring.reading import Reading
from steward.monitoring.statistics.chance import ALPHA, alpha_each
from steward.monitoring.statistics.day_errors import MIN_DAYS, Error, block_days, blocks_of, day_error, larger
from steward.monitoring.statistics.psi import normal_quantile
from steward.monitoring.tallies import OutcomeTally
from steward.types import JsonObject

Floats = NDArray[np.float64]

BLIND_TO = "it sees covariate shift, not concept shift"


@dataclass(frozen=True)
class BackTest:
    """Of the estimate of one day less what that day's outcomes said, over days that have them. `noise`: standard errors
    of what they said."""

    off: tuple[float, ...]
    noise: tuple[float, ...]

    @property
    def days(self) -> int:
        return len(self.off)

    @property
    def mean_absolute(self) -> float:
        return float(np.abs(self.off).mean())

    @property
    def covered(self) -> int:
        """Days whose estimate lies in the 95 % interval of what their outcomes said."""
        return int((np.abs(self.off) <= normal_quantile(0.975) * np.asarray(self.noise)).sum())

    def over(self, days: int) -> float:
        """What it is off by over so many days: the lasting part, and the rest as far as days do not cancel out."""
        return math.sqrt(float(np.mean(self.off)) ** 2 + float(np.var(self.off)) / days)


@dataclass(frozen=True)
class _Estimate:
    metric: Metric
    value: float
    before: float
    error: Error
    rows: int
    past: BackTest
    days: int


def judge_estimates(reading: Reading) -> list[Finding]:
    """One finding per limit of `monitoring.estimated`."""
    rules = reading.spec.monitoring.estimated
    tests = sum(len(bounds(rule)) for rule in rules.values())
    found = estimator(reading.profile.get("calibration")) if rules else None
    findings: list[Finding] = []
    for name, rule in rules.items():
        metric = metric_named(name, reading.spec.task)
        made = _estimate(reading, found, metric)
        if isinstance(made, str):
            findings.append(Finding(_gate(metric), Outcome.INCONCLUSIVE, made, rows=reading.tally.answers.rows))
        else:
            findings += [_judge(made, bound, alpha_each(reading, tests)) for bound in bounds(rule)]
    return findings


def _gate(metric: Metric) -> str:
    return f"drift.estimated:{metric.name}"


def _estimate(reading: Reading, found: Estimator | None, metric: Metric) -> _Estimate | str:
    """Or the sentence why there is none."""
    cannot = f"{metric.title} cannot be estimated before outcomes are in"
    if found is None:
        return f"{cannot}: the hold-out had too few outcomes to learn from, or the version is older than estimates are"
    if metric.name not in found.metrics:
        return f"{cannot}: of a {reading.spec.task} model {', '.join(sorted(found.metrics))} can"
    vector = found.read(reading.tally.answers)
    value = float(found.values(metric.name, vector[None])[0])
    before = reading.profile["calibration"]["estimated"].get(metric.name)
    if before is None or before["value"] is None or not math.isfinite(value):
        return f"{cannot}: there are no scores to read it from"
    days = block_days(reading.window)
    error = larger(found.error(metric.name, vector), _between(reading, found, metric, vector, before))
    past = back_test(reading, found, metric)
    return _Estimate(metric, value, before["value"], error, reading.tally.answers.rows, past, days)


def _between(reading: Reading, found: Estimator, metric: Metric, vector: Floats, before: JsonObject) -> Error | None:
    """Error of the change since the hold-out by how days differ, here and there."""
    vectors = [found.read(counted.tally.answers) for counted in alike(reading)]
    apart = day_error(
        blocks_of(vectors, block_days(reading.window)),
        lambda block: _jackknife(found, metric, np.stack(list(block))),
        found.rows,
        found.rows(vector),
    )
    then = Error(before["error"] or 0.0, max(before.get("days", 1) - 1, 0))
    return None if apart is None else apart.beside(then)


def _jackknife(found: Estimator, metric: Metric, vectors: Floats) -> float | None:
    whole = vectors.sum(axis=0)
    value = float(found.values(metric.name, whole[None])[0])
    return jackknife(value, found.values(metric.name, whole - vectors), [found.rows(each) for each in vectors])


# --- back-test ----------------------------------------------------------------------------------------


def back_test(reading: Reading, found: Estimator, metric: Metric) -> BackTest:
    """Over the days of the reading whose outcomes are due."""
    days = (counted.tally.overall for counted in alike(reading) if is_ready(counted, reading))
    compared = [pair for day in days for pair in _compared(reading, found, metric, day)]
    return BackTest(tuple(off for off, _ in compared), tuple(noise for _, noise in compared))


def _compared(reading: Reading, found: Estimator, metric: Metric, day: OutcomeTally) -> Iterator[tuple[float, float]]:
    """Of the rows with an outcome alone, on both sides."""
    classes = len(reading.spec.data.label.classes or (0, 1))
    truth = measure_tally(metric.name, day, reading.profile.get("threshold", 0.5), classes)
    said = float(found.values(metric.name, found.read_labelled(day)[None])[0])
    if truth.value is not None and truth.error is not None and math.isfinite(said):
        yield said - truth.value, truth.error


# --- judgement ----------------------------------------------------------------------------------------


def _judge(made: _Estimate, bound: Bound, alpha: float) -> Finding:
    """An absolute limit is as far away as the hold-out's estimate is from it."""
    sign, chance, usual = made.metric.better.sign, made.error.quantile(alpha), made.error.quantile(ALPHA)
    worse = sign * (made.before - made.value)
    room = bound.limit if not bound.absolute else abs(bound.limit - made.before)
    beyond = worse if not bound.absolute else bound.absolute * (made.value - bound.limit)
    limit = bound.limit if not bound.absolute else 0.0
    untested = made.past.days < MIN_DAYS
    if not untested and made.past.over(made.days) > room:
        outcome = Outcome.INCONCLUSIVE
    else:
        blind = not bound.absolute and usual > limit and worse + usual > limit
        outcome = outcome_of(beyond > limit, beyond > chance, blind=blind)
    reason = f"{_said(made, bound, chance)}; {_tested(made, untested, room)}; {BLIND_TO}"
    value = made.value if bound.absolute else worse
    return Finding(_gate(made.metric), outcome, reason, value, bound.limit, rows=made.rows)


def _said(made: _Estimate, bound: Bound, chance: float) -> str:
    sign = made.metric.better.sign
    worse = sign * (made.before - made.value)
    allowed = {0: "at most {:g} worse", 1: "at most {:g}", -1: "at least {:g}"}[bound.absolute].format(bound.limit)
    return (
        f"{made.metric.title} is estimated at {made.value:.4g} for {made.rows} answers, {made.before:.4g} for the "
        f"hold-out: {abs(worse):.4g} {'worse' if worse > 0 else 'better'}, {allowed} is allowed and chance gives up to "
        f"{chance:.2g}{made.error.said}"
    )


def _tested(made: _Estimate, untested: bool, room: float) -> str:
    past = made.past
    if untested:
        return f"never tested: {past.days} earlier days have outcomes, {MIN_DAYS} are needed"
    over = past.over(made.days)
    trust = f", more than the {room:.2g} it is asked about" if over > room else ""
    return (
        f"on {past.days} days with outcomes it was off by {past.mean_absolute:.2g} a day, within chance on "
        f"{past.covered}, and by {over:.2g} over {made.days} days{trust}"
    )
