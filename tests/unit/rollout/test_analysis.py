"""The canary's verdict: caught when it hurts, left alone when it does not, silent when it cannot know."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest

from steward.gates import Outcome
from steward.rollout.analysis import ALPHA, Arm, Observation, judge, log_wealth
from steward.spec import Guardrails

RAILS = Guardrails.model_validate(
    {"error_rate": {"max": 0.01}, "p99_latency": {"max": "250ms"}, "prediction_psi": {"max": 0.25}}
)


def seen(canary: Arm, champion: Arm | None = None, psi: float | None = 0.02, noise: float = 0.05) -> Observation:
    return Observation(canary, champion, psi, noise, timedelta(minutes=1))


def outcome(observation: Observation, needed: int = 200) -> Outcome:
    return judge(RAILS, observation, needed).outcome


def test_a_sound_canary_passes_once_it_has_its_requests() -> None:
    assert outcome(seen(Arm(200, 0, 0.02), Arm(800, 3, 0.02))) is Outcome.PASSED
    assert outcome(seen(Arm(199, 0, 0.02), Arm(800, 3, 0.02))) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("canary", "psi"),
    [(Arm(300, 60, 0.02), 0.02), (Arm(300, 0, 0.9), 0.02), (Arm(300, 0, 0.02), 1.4)],
    ids=["errors", "slow", "skewed"],
)
def test_each_kind_of_harm_fails(canary: Arm, psi: float) -> None:
    assert outcome(seen(canary, Arm(900, 1, 0.02), psi)) is Outcome.FAILED


def test_proven_errors_fail_before_the_requests_are_in() -> None:
    assert outcome(seen(Arm(40, 20, 0.02), Arm(160, 0, 0.02), None)) is Outcome.FAILED


def test_a_shift_in_a_handful_of_answers_is_no_proof() -> None:
    """Sixteen answers in ten bins: a sound canary once showed PSI 3.3."""
    assert outcome(seen(Arm(16, 0, 0.02), Arm(30, 0, 0.02), psi=3.3, noise=2.1)) is Outcome.INCONCLUSIVE


def test_a_few_unlucky_errors_are_not_proof() -> None:
    assert outcome(seen(Arm(200, 3, 0.02), Arm(800, 8, 0.02))) is Outcome.INCONCLUSIVE


def test_no_traffic_never_passes() -> None:
    assert outcome(seen(Arm(0, 0), Arm(0, 0), None), needed=0) is Outcome.INCONCLUSIVE


def test_a_shift_that_chance_explains_is_not_held_against_it() -> None:
    assert outcome(seen(Arm(200, 0, 0.02), Arm(800, 0, 0.02), psi=0.3, noise=0.4)) is Outcome.PASSED


def test_a_first_release_is_judged_alone() -> None:
    assert outcome(seen(Arm(200, 0, 0.02))) is Outcome.PASSED
    assert outcome(seen(Arm(200, 50, 0.02))) is Outcome.FAILED


def test_healthy_canaries_are_rarely_stopped_however_often_one_looks() -> None:
    """0.5 % base errors under a 1 % objective, looked at after every request for 3,600 requests."""
    draw, rounds, stopped = np.random.default_rng(1), 400, 0
    for _ in range(rounds):
        hits = np.cumsum(draw.random(3600) < 0.005)
        stopped += any(
            log_wealth(int(h), n, 0.01) >= math.log(1 / ALPHA)
            for n, h in zip(range(20, 3601, 20), hits[19::20], strict=True)
        )
    assert stopped / rounds <= ALPHA + 0.01


def test_tenfold_errors_are_caught_within_two_minutes_at_two_requests_a_second() -> None:
    """5 % errors against a 0.5 % objective in 240 requests, looked at every 10, 95 times in a hundred."""
    draw, rounds, caught = np.random.default_rng(2), 300, 0
    for _ in range(rounds):
        hits = np.cumsum(draw.random(240) < 0.05)
        caught += any(log_wealth(int(hits[n - 1]), n, 0.005) >= math.log(1 / ALPHA) for n in range(10, 241, 10))
    assert caught / rounds >= 0.95


def test_wealth_does_not_grow_in_expectation_under_the_null() -> None:
    """E[e] <= 1 at the boundary rate, by exact enumeration."""
    trials, rate = 30, 0.1
    expectation = sum(
        math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) * math.exp(log_wealth(k, trials, rate))
        for k in range(trials + 1)
    )
    assert expectation == pytest.approx(1.0, abs=1e-9)
