"""Judging a canary on live answers, at any moment, without crying wolf.

Error rates are judged by a betting e-process: a wealth that cannot grow in expectation while the canary is sound, so
it may be looked at after every request (Ville's inequality: false abort at most ALPHA). Source: Waudby-Smith and
Ramdas, "Estimating means of bounded random variables by betting" (2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from steward.gates import Finding, Outcome, Verdict, at_most
from steward.spec import Guardrails

ALPHA = 0.01
_BETS = tuple(0.9 / 2**i for i in range(9))  # of the wealth, on the next request being an error


@dataclass(frozen=True)
class Arm:
    """What one version did during a step. `p99` in seconds, None without answers."""

    requests: int
    errors: int
    p99: float | None = None


@dataclass(frozen=True)
class Observation:
    """A step so far. `psi` of the canary's scores against the champion's; `psi_noise` is the value
    sampling alone may reach at these counts."""

    canary: Arm
    champion: Arm | None
    psi: float | None
    psi_noise: float
    baked: timedelta


def log_wealth(hits: int, trials: int, rate: float) -> float:
    """Log e-value against "each of `trials` is a hit with probability at most `rate`", averaged over fixed bets."""
    if trials == 0 or rate >= 1:
        return 0.0
    rate = max(rate, 1e-6)
    logs = [hits * math.log1p(bet / rate * (1 - rate)) + (trials - hits) * math.log1p(-bet) for bet in _BETS]
    top = max(logs)
    return top + math.log(sum(math.exp(value - top) for value in logs) / len(logs))


def judge(guardrails: Guardrails, seen: Observation, needed: int) -> Verdict:
    """One finding per guardrail. Damage is reported as soon as it is proven; a pass needs `needed` canary requests.

    Few answers leave bins empty, which PSI takes for a shift: it waits for `needed` too. And answers are compared only
    with a champion that answered the same hours: a first release's early requests are no fair sample of anything
    stored, and would be called skewed for the time of day.
    """
    findings = [_enough(seen, needed)]
    if guardrails.error_rate is not None:
        findings.append(_errors_absolute(seen.canary, guardrails.error_rate.max))
        if seen.champion is not None:
            findings.append(_errors_against(seen.canary, seen.champion))
    ready = seen.canary.requests >= needed
    if guardrails.p99_latency is not None:
        limit = guardrails.p99_latency.max.total_seconds()
        findings.append(_when(ready, at_most("canary.p99_latency", seen.canary.p99, limit, "p99 latency in seconds")))
    if guardrails.prediction_psi is not None and seen.champion is not None:
        findings.append(_when(ready, _answers(seen, guardrails.prediction_psi.max)))
    return Verdict.of(findings)


def _enough(seen: Observation, needed: int) -> Finding:
    count = seen.canary.requests
    outcome = Outcome.PASSED if count >= needed else Outcome.INCONCLUSIVE
    return Finding(
        "canary.requests",
        outcome,
        f"the canary answered {count} of the {needed} requests a verdict needs",
        count,
        needed,
    )


def _errors_absolute(canary: Arm, limit: float) -> Finding:
    rate = canary.errors / canary.requests if canary.requests else None
    proven = log_wealth(canary.errors, canary.requests, limit) >= math.log(1 / ALPHA)
    finding = at_most("canary.error_rate", rate, limit, "error rate", rows=canary.requests)
    if finding.outcome is Outcome.FAILED and not proven:
        return Finding(
            finding.gate,
            Outcome.INCONCLUSIVE,
            f"{finding.reason}, but too few requests prove it",
            rate,
            limit,
            rows=canary.requests,
        )
    return finding


def _errors_against(canary: Arm, champion: Arm) -> Finding:
    """Which arm did each error come from? A sound canary gets its share of the traffic, no more."""
    total, errors = canary.requests + champion.requests, canary.errors + champion.errors
    if not canary.requests or not champion.requests:
        return Finding("canary.error_share", Outcome.INCONCLUSIVE, "one arm has no requests to compare", None, None)
    share = canary.requests / total
    seen = canary.errors / errors if errors else 0.0
    proven = log_wealth(canary.errors, errors, share) >= math.log(1 / ALPHA)
    said = f"{canary.errors} of {errors} errors came from the canary, which had {share:.0%} of the requests"
    return Finding("canary.error_share", Outcome.FAILED if proven else Outcome.PASSED, said, seen, share, rows=total)


def _answers(seen: Observation, limit: float) -> Finding:
    finding = at_most(
        "canary.prediction_psi", seen.psi, limit, "PSI of the canary's answers", rows=seen.canary.requests
    )
    if finding.outcome is Outcome.FAILED and seen.psi is not None and seen.psi <= seen.psi_noise:
        said = f"{finding.reason}, but sampling alone may reach {seen.psi_noise:.3g}"
        return Finding(finding.gate, Outcome.PASSED, said, seen.psi, limit, rows=seen.canary.requests)
    return finding


def _when(ready: bool, finding: Finding) -> Finding:
    if ready:
        return finding
    return Finding(finding.gate, Outcome.INCONCLUSIVE, "too few requests to judge yet", finding.value, finding.limit)
