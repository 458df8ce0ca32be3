"""Rollouts whose requests are drawn by lot and judged as live ones are: by the real judge, at the real intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steward.actions.releases.observing import BLOCK
from steward.gates import Outcome, Verdict
from steward.gates.alarms import alpha_each, requests_needed
from steward.monitoring.statistics.score_shift import Shift, shift_of
from steward.plan.rollout_steps import poll_interval
from steward.rollout.analysis import Arm, Course, Observation, judge
from steward.spec import Deployment

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Behaviour:
    """Of one version: shares of its requests. After `sound_until` requests of both arms `errors` begins."""

    errors: float = 0.0
    late: float = 0.0
    moved: float = 0.0  # of its scores, in standard deviations
    sound_until: int = 0


@dataclass(frozen=True)
class Traffic:
    """Requests a second; `bursts`: seconds of traffic, then as many of silence."""

    rate: float
    bursts: float | None = None

    def arrivals(self, draw: np.random.Generator, seconds: float) -> NDArray[np.float64]:
        times = np.cumsum(draw.exponential(1 / self.rate, int(self.rate * seconds * 1.5) + 50))
        if self.bursts is not None:
            times += times // self.bursts * self.bursts
        return times[times < seconds]


@dataclass
class Ending:
    """`outcome` INCONCLUSIVE: it was given up. `seconds` of the last step, until it ended."""

    outcome: Outcome
    percent: int
    seconds: float
    canary_requests: int
    reasons: tuple[str, ...] = field(default=())


def roll_out(
    deployment: Deployment, traffic: Traffic, canary: Behaviour, champion: Behaviour, draw: np.random.Generator
) -> Ending:
    """Step by step as `analyse_canary` does; ends at the first step that does not pass."""
    ending = Ending(Outcome.INCONCLUSIVE, 0, 0.0, 0)
    for percent in deployment.judged_steps:
        ending = _step(deployment, percent, traffic, canary, champion, draw)
        if ending.outcome is not Outcome.PASSED:
            break
    return ending


def _step(
    deployment: Deployment,
    percent: int,
    traffic: Traffic,
    canary: Behaviour,
    champion: Behaviour,
    draw: np.random.Generator,
) -> Ending:
    bake = deployment.bake
    assert bake is not None
    every, most = poll_interval(bake).total_seconds(), bake.at_most.total_seconds()
    drawn = _Drawn(deployment, percent, traffic.arrivals(draw, most), canary, champion, draw)
    seen, verdict, now = 0, Verdict.of([]), 0.0
    for now in np.arange(every, most + every, every):
        seen = int(np.searchsorted(drawn.times, now))
        verdict = judge(deployment, drawn.until(seen, timedelta(seconds=float(now))))
        early = verdict.passed and now < bake.at_least.total_seconds()
        if verdict.outcome is not Outcome.INCONCLUSIVE and not early:
            break
    return Ending(verdict.outcome, percent, float(now), int(drawn.mine[:seen].sum()), verdict.reasons)


class _Drawn:
    """Every request of a step at once; a look sees those that came until then."""

    def __init__(
        self,
        deployment: Deployment,
        percent: int,
        times: NDArray[np.float64],
        canary: Behaviour,
        champion: Behaviour,
        draw: np.random.Generator,
    ) -> None:
        count = len(times)
        self.deployment, self.percent, self.times = deployment, percent, times
        self.mine = draw.random(count) * 100 < percent
        begun = np.arange(count) >= canary.sound_until
        self.faulty = draw.random(count) < np.where(self.mine, canary.errors * begun, champion.errors)
        self.late = draw.random(count) < np.where(self.mine, canary.late, champion.late)
        self.scores = draw.normal(np.where(self.mine, canary.moved, champion.moved))
        self.shifts = deployment.guardrails.prediction_psi is not None

    def until(self, count: int, baked: timedelta) -> Observation:
        mine, faulty, late = self.mine[:count], self.faulty[:count], self.late[:count]
        counted = [_blocks(flags) for flags in (mine, mine & faulty, mine & late, ~mine, ~mine & faulty)]
        asked, errors, slow, others, their_errors = (int(blocks.sum()) for blocks in counted)
        shift = self._shift(count, asked - errors)
        return Observation(
            canary=Arm(asked, errors, _p99(asked, slow), slow),
            champion=Arm(others, their_errors, 0.02),
            psi=shift.psi,
            psi_noise=shift.by_chance,
            baked=baked,
            percent=self.percent,
            psi_proof=shift.proof,
            course=Course(*counted),
        )

    def _shift(self, count: int, answered: int) -> Shift:
        """Not looked at before the step has its requests, so not computed either."""
        needed, limit = requests_needed(self.deployment), self.deployment.guardrails.prediction_psi
        if limit is None or answered < needed:
            return Shift.unknown()
        mine, sound, scores = self.mine[:count], ~self.faulty[:count], self.scores[:count]
        alpha = alpha_each(self.deployment)
        return shift_of(scores[mine & sound], scores[~mine & sound], limit.max, alpha, needed)


def _p99(asked: int, late: int) -> float | None:
    return None if not asked else 0.3 if late > 0.01 * asked else 0.02


def _blocks(flags: Flags) -> NDArray[np.int64]:
    if not len(flags):
        return np.zeros(0, np.int64)
    return np.add.reduceat(flags.astype(np.int64), np.arange(0, len(flags), BLOCK))


def deployed(**given: Any) -> Deployment:
    """Three guardrails at two shares."""
    rails = {"error_rate": {"max": 0.01}, "p99_latency": {"max": "250ms"}, "prediction_psi": {"max": 0.25}}
    base = {"steps": [10, 50, 100], "bake": {"finds": 0.1, "at_most": "10m"}, "smoke": "model:examples"}
    return Deployment.model_validate({**base, "guardrails": rails, **given})


def many(
    rounds: int, deployment: Deployment, traffic: Traffic, canary: Behaviour, champion: Behaviour, seed: int
) -> Iterator[Ending]:
    draw = np.random.default_rng(seed)
    for _ in range(rounds):
        yield roll_out(deployment, traffic, canary, champion, draw)
