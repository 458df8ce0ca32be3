"""Judging a step on live answers, at any moment, without crying wolf.

Damage is reported as soon as it is proven; a pass needs the requests of the step; what is neither holds. Proof is by
betting (`steward.gates.betting`), so that it does not matter how often one looks; the chance to stop a sound version is
shared out over every alarm of the rollout (`steward.gates.alarms`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from steward.gates import Finding, Outcome, Verdict
from steward.gates.alarms import (
    BETA,
    DISAGREEMENT,
    ERROR_RATE,
    ERROR_SHARE,
    LATENCY,
    OUTCOME,
    PREDICTIONS,
    alpha_each,
    gates_at,
    requests_needed,
)
from steward.gates.betting import log_proof, log_proof_of_mean, log_wealth, log_wealth_of_mean, proven
from steward.spec import Deployment, Strategy
from steward.spec.limits import Limit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

BESIDE = (ERROR_SHARE, PREDICTIONS, DISAGREEMENT, OUTCOME)  # what is judged against a champion of the same hours
LATE_SHARE = 0.01  # of requests above a limit on the 99th percentile
LATE_ZONE = 0.05  # where the 95th percentile is within the limit too, a step need not wait to tell 1 % from 2 %


@dataclass(frozen=True)
class Arm:
    """What one version did during a step. `errors` are requests that failed or were answered with no finite number,
    `kinds` how many of which; `late` took longer than the limit; `p99` in seconds, None without answers."""

    requests: int
    errors: int
    p99: float | None = None
    late: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """The same requests in their order, counted in blocks of both arms together: arrays of one length.

    The champion's are 0 where it does not answer beside.
    """

    requests: ArrayLike
    errors: ArrayLike
    late: ArrayLike
    champion_requests: ArrayLike
    champion_errors: ArrayLike


@dataclass(frozen=True)
class Pairs:
    """Requests that both versions answered, in blocks: how many were compared, and how many were decided otherwise."""

    compared: ArrayLike
    differing: ArrayLike


@dataclass(frozen=True)
class Contrast:
    """What became of the decisions. `worse`: by how much the canary did worse than the champion, block by block of the
    same time, in units of `scale` (so from -1 to 1); the means in the measure's own units."""

    worse: ArrayLike
    scale: float
    canary_rows: int
    champion_rows: int
    canary_mean: float | None
    champion_mean: float | None


@dataclass(frozen=True)
class Observation:
    """A step so far. `champion` is None where none answers beside: a first release, a switch at 100 %.

    `psi` is of the canary's scores against the champion's, `psi_noise` what sampling alone may reach at these counts,
    `psi_proof` what it must exceed to prove a shift beyond the limit (by default the noise).
    """

    canary: Arm
    champion: Arm | None
    psi: float | None
    psi_noise: float
    baked: timedelta
    percent: int = 50
    psi_proof: float | None = None
    course: Course | None = None
    pairs: Pairs | None = None
    contrast: Contrast | None = None

    @property
    def in_order(self) -> Course:
        """Totals alone are one block."""
        beside = self.champion or Arm(0, 0)
        mine = self.canary
        counts = ([mine.requests], [mine.errors], [mine.late], [beside.requests], [beside.errors])
        return self.course or Course(*counts)

    @property
    def answered(self) -> int:
        return self.canary.requests - self.canary.errors


def judge(deployment: Deployment, seen: Observation, *, alpha: float | None = None) -> Verdict:
    """One finding per guardrail that applies to the step. `alpha` of each; None: its share of a rollout's.

    Answers are compared only with a champion that answered the same hours: a first release's early requests are no fair
    sample of anything stored, and would be called skewed for the time of day.
    """
    return Verdict.of(_Judge(deployment, seen, alpha).findings())


class _Judge:
    def __init__(self, deployment: Deployment, seen: Observation, alpha: float | None) -> None:
        self.deployment, self.rails, self.seen = deployment, deployment.guardrails, seen
        self.needed = max(1, requests_needed(deployment))
        self.alpha = alpha_each(deployment) if alpha is None else alpha
        self.finds = deployment.bake.finds if deployment.bake else None
        self.ready = seen.answered >= self.needed

    def findings(self) -> list[Finding]:
        judges = {
            ERROR_RATE: self._errors_absolute,
            ERROR_SHARE: self._errors_against,
            LATENCY: self._latency,
            PREDICTIONS: self._answers,
            DISAGREEMENT: self._disagreement,
            OUTCOME: self._outcome,
        }
        alone = self.seen.champion is None
        named = gates_at(self.deployment, self.seen.percent)
        return [self._enough(), *(_compared_with_nobody(g) if alone and g in BESIDE else judges[g]() for g in named)]

    def _enough(self) -> Finding:
        count, needed, beside = self.seen.answered, self.needed, self.seen.champion
        said, outcome = f"the canary answered {count} of the {needed} requests a verdict needs", Outcome.PASSED
        if beside is not None and not beside.requests:
            said, outcome = (
                f"{said}, and the champion beside it none: there is nothing to compare",
                Outcome.INCONCLUSIVE,
            )
        if not self.ready:
            outcome = Outcome.INCONCLUSIVE
        return Finding("canary.requests", outcome, said, count, needed)

    def _errors_absolute(self) -> Finding:
        limit, course, mine = _max(self.rails.error_rate), self.seen.in_order, self.seen.canary
        rate = mine.errors / mine.requests if mine.requests else None
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(mine.kinds.items()))
        shown = "error rate could not be computed" if rate is None else f"error rate is {rate:.4g}"
        shown += f" ({kinds})" if kinds else ""
        evidence = log_proof(course.errors, course.requests, limit)
        outcome, why = self._bounded(mine.errors, mine.requests, limit, evidence, self.finds)
        return Finding(ERROR_RATE, outcome, f"{shown}, {why}", rate, limit, rows=mine.requests)

    def _errors_against(self) -> Finding:
        """Which arm did each error come from? A sound canary gets its share of each block's, no more: so errors that
        befall both in one hour prove nothing. (Given their number, a block's errors are drawn without replacement,
        which a bet on draws with replacement only overestimates: Hoeffding 1963, theorem 4.)
        """
        import numpy as np

        course, mine, champion = self.seen.in_order, self.seen.canary, self.seen.champion or Arm(0, 0)
        errors, total = mine.errors + champion.errors, mine.requests + champion.requests
        if not mine.requests or not champion.requests:
            said = "one arm has no requests to compare"
            return Finding(ERROR_SHARE, Outcome.INCONCLUSIVE, said, rows=total)
        share, part = mine.requests / total, mine.errors / errors if errors else 0.0
        requests, hits = np.asarray(course.requests, float), np.asarray(course.errors, float)
        both = requests + course.champion_requests
        evidence = log_proof(hits, hits + course.champion_errors, requests / np.maximum(both, 1))
        said = f"{mine.errors} of {errors} errors came from the canary, which had {share:.0%} of the requests"
        outcome = Outcome.FAILED if proven(evidence, self.alpha) else Outcome.PASSED
        return Finding(ERROR_SHARE, outcome, said, part, share, rows=total)

    def _latency(self) -> Finding:
        """A 99th percentile is beyond its limit when more than 1 % of the requests take longer: that is counted."""
        rail, course, mine = self.rails.p99_latency, self.seen.in_order, self.seen.canary
        limit = rail.max.total_seconds() if rail else math.inf
        p99 = "unknown" if mine.p99 is None else f"{mine.p99:.4g} s"
        shown = f"p99 latency is {p99}, {mine.late} of {mine.requests} requests took longer than {limit:g} s"
        evidence = log_proof(course.late, course.requests, LATE_SHARE)
        outcome, why = self._bounded(mine.late, mine.requests, LATE_SHARE, evidence, max(LATE_ZONE, self.finds or 0))
        if outcome is Outcome.PASSED and (mine.p99 is None or not self.ready):
            outcome, why = Outcome.INCONCLUSIVE, "too few requests to judge yet"
        return Finding(LATENCY, outcome, f"{shown}: {why}", mine.p99, limit, rows=mine.requests)

    def _bounded(
        self, hits: int, trials: int, limit: float, evidence: float, zone: float | None
    ) -> tuple[Outcome, str]:
        """`zone`: between the limit and this a step with its requests may pass, once that much is disproved."""
        if proven(evidence, self.alpha):
            whole = trials and hits / trials > limit
            return Outcome.FAILED, f"above the limit {limit:.4g}" if whole else _in_a_stretch(limit)
        if not trials:
            return Outcome.INCONCLUSIVE, "too few requests to judge yet"
        if hits / trials <= limit:
            return Outcome.PASSED, f"within the limit {limit:.4g}"
        if zone is not None and self.ready and proven(log_wealth(trials - hits, trials, 1 - zone), BETA):
            return Outcome.PASSED, f"beyond the limit {limit:.4g} by no more than chance, and surely below {zone:g}"
        return Outcome.INCONCLUSIVE, f"above the limit {limit:.4g}, but too few requests prove it"

    def _answers(self) -> Finding:
        """Few answers leave bins empty, which PSI takes for a shift: it waits for the step's requests."""
        limit, seen, noise = _max(self.rails.prediction_psi), self.seen, self.seen.psi_noise
        outcome, said = Outcome.INCONCLUSIVE, "too few requests to judge yet"
        if self.ready and (seen.psi is None or math.isnan(seen.psi)):
            said = "PSI of the canary's answers could not be computed"
        elif self.ready and seen.psi is not None:
            outcome, why = _shifted(seen.psi, limit, noise, noise if seen.psi_proof is None else seen.psi_proof)
            said = f"PSI of the canary's answers is {seen.psi:.4g}, {why}"
        return Finding(PREDICTIONS, outcome, said, seen.psi, limit, rows=seen.canary.requests)

    def _disagreement(self) -> Finding:
        limit, pairs = _max(self.rails.disagreement), self.seen.pairs or Pairs([], [])
        compared, differing = _total(pairs.compared), _total(pairs.differing)
        said = f"{differing} of {compared} requests were decided otherwise than by the champion"
        evidence = log_proof(pairs.differing, pairs.compared, limit)
        outcome, why = self._bounded(differing, compared, limit, evidence, None)
        if outcome is Outcome.PASSED and compared < self.needed:
            outcome, why = Outcome.INCONCLUSIVE, f"{self.needed} must be compared"
        value = differing / compared if compared else None
        return Finding(DISAGREEMENT, outcome, f"{said}: {why}", value, limit, rows=compared)

    def _outcome(self) -> Finding:
        """An A/B test is there to settle it; elsewhere a step passes unless the canary is proven to do worse."""
        rule, seen = self.rails.outcome, self.seen.contrast
        assert rule is not None  # `gates_at` names this finding only where the rule is given
        rows = min(seen.canary_rows, seen.champion_rows) if seen else 0
        if seen is None or rows < rule.min_rows:
            said = f"{rows} of the {rule.min_rows} labelled answers of each version that {rule.measure} needs"
            return Finding(OUTCOME, Outcome.INCONCLUSIVE, said, None, rule.max_drop, rows=rows)
        outcome, why = self._settled(seen, rule.max_drop)
        said = f"{rule.measure} is {seen.canary_mean:.4g} against the champion's {seen.champion_mean:.4g}, {why}"
        value = abs((seen.canary_mean or 0.0) - (seen.champion_mean or 0.0))
        return Finding(OUTCOME, outcome, said, value, rule.max_drop, rows=rows)

    def _settled(self, seen: Contrast, drop: float) -> tuple[Outcome, str]:
        import numpy as np

        worse, limit = np.asarray(seen.worse, np.float64), drop / seen.scale
        if proven(log_proof_of_mean(worse, limit), self.alpha):
            return Outcome.FAILED, f"worse by more than {drop:g}, and no chance"
        if proven(log_wealth_of_mean(-worse, -limit), BETA):
            return Outcome.PASSED, f"surely not worse by more than {drop:g}"
        if self.deployment.strategy is Strategy.AB_TEST:
            return Outcome.INCONCLUSIVE, f"which does not settle whether it is worse by more than {drop:g}"
        return Outcome.PASSED, f"not proven to be worse by more than {drop:g}"


def _compared_with_nobody(gate: str) -> Finding:
    return Finding(gate, Outcome.PASSED, "not judged: no champion answers beside to compare with")


def _max(limit: Limit | None) -> float:
    return math.inf if limit is None else limit.max


def _in_a_stretch(limit: float) -> str:
    return f"within the limit {limit:.4g} on the whole, but beyond it for a stretch that is no chance"


def _shifted(psi: float, limit: float, noise: float, proof: float) -> tuple[Outcome, str]:
    if psi <= limit:
        return Outcome.PASSED, f"within the limit {limit:.4g}"
    if psi <= noise:
        return Outcome.PASSED, f"above the limit {limit:.4g}, but sampling alone may reach {noise:.3g}"
    if psi <= proof:
        return Outcome.INCONCLUSIVE, f"above the limit {limit:.4g}; {proof:.3g} would prove it at these counts"
    return Outcome.FAILED, f"above the limit {limit:.4g}"


def _total(counts: ArrayLike) -> int:
    import numpy as np

    return int(np.asarray(counts).sum())
