"""Thousands of rollouts by lot: sound versions go through, bad ones are caught in time, and silence never passes.

The judge is the real one, looked at as often as its sensor looks. Traffic is Poisson; `LIMIT` is that of the spec.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from tests.faults.rollouts_by_lot import Behaviour, Ending, Traffic, deployed, many

from steward.actions.releases.contrasting import contrast_of_arms
from steward.gates import Outcome
from steward.gates.alarms import ALPHA, requests_needed
from steward.gates.betting import log_proof
from steward.rollout.analysis import Arm, Observation, judge

pytestmark = pytest.mark.faults

LIMIT = 0.01
STEADY = Traffic(4.0)
BRISK = Traffic(8.0)
SPARSE = {"finds": 0.1, "at_most": "20m"}  # looked at every 30 s
DENSE = {"finds": 0.1, "at_most": "10m"}  # looked at every 6 s
AT_EVERY_LIMIT = Behaviour(errors=LIMIT, late=0.01)


def outcomes(endings: Sequence[Ending]) -> Counter[Outcome]:
    return Counter(ending.outcome for ending in endings)


@pytest.mark.parametrize(
    ("rounds", "behaviour", "bake"),
    [
        (300, Behaviour(), SPARSE),
        (500, Behaviour(errors=LIMIT / 2, late=0.005), SPARSE),
        (1200, AT_EVERY_LIMIT, SPARSE),
        (100, AT_EVERY_LIMIT, DENSE),
    ],
    ids=["no errors", "half the limits", "at every limit", "at every limit, looked at often"],
)
def test_sound_versions_go_through(rounds: int, behaviour: Behaviour, bake: dict[str, object]) -> None:
    """2,100 rollouts of two steps, three guardrails each; neither stopped nor given up in more than 1 in 100."""
    endings = list(many(rounds, deployed(bake=bake), BRISK, behaviour, behaviour, seed=rounds))
    stopped = rounds - outcomes(endings)[Outcome.PASSED]
    print(f"\n{rounds} sound rollouts: {stopped} stopped or given up")
    assert stopped <= ALPHA * rounds, Counter(ending.reasons for ending in endings)


def test_a_version_at_the_limit_may_be_given_up_where_no_effect_is_declared_but_is_not_called_bad() -> None:
    """With `requests` alone nothing says how much beyond the limit is harmless: the step holds while it is beyond."""
    given = deployed(bake={"requests": 300, "at_most": "1h"})
    ended = outcomes(list(many(100, given, STEADY, AT_EVERY_LIMIT, AT_EVERY_LIMIT, seed=11)))
    assert ended[Outcome.FAILED] <= 1
    assert ended[Outcome.PASSED] >= 60


def test_scores_shifted_as_far_as_the_limit_are_not_called_bad() -> None:
    """Half a standard deviation is a PSI of about 0.24 in ten bins; the limit is 0.25, and sampling adds to it."""
    moved = Behaviour(moved=0.5)
    assert outcomes(list(many(120, deployed(bake=SPARSE), STEADY, moved, Behaviour(), seed=4)))[Outcome.FAILED] <= 1


@pytest.mark.parametrize("bad", [Behaviour(errors=10 * LIMIT), Behaviour(late=0.1)], ids=["errors", "slow"])
def test_tenfold_faults_are_caught_within_two_minutes_at_two_canary_requests_a_second(bad: Behaviour) -> None:
    """4 requests a second of which the canary has half, and the champion at the limit: 99 times in a hundred."""
    endings = list(many(500, deployed(steps=[50, 100], bake=DENSE), STEADY, bad, AT_EVERY_LIMIT, seed=5))
    caught = sum(ending.outcome is Outcome.FAILED and ending.seconds <= 120 for ending in endings)
    taken = sorted(ending.seconds for ending in endings if ending.outcome is Outcome.FAILED)
    median, late = np.quantile(taken, [0.5, 0.99])
    print(f"\n{caught} of {len(endings)} caught in time: median {median:.0f} s, 99 in 100 within {late:.0f} s")
    assert caught >= 0.99 * len(endings)


def test_scores_shifted_twice_beyond_the_limit_are_caught() -> None:
    moved = Behaviour(moved=1.5)
    endings = list(many(100, deployed(steps=[50, 100], bake=DENSE), STEADY, moved, Behaviour(), seed=6))
    assert outcomes(endings)[Outcome.FAILED] >= 99


def test_a_fault_that_begins_after_a_thousand_good_answers_is_caught_as_soon() -> None:
    """The first 2,000 requests (1,000 of the canary) are sound: they take 500 s. Then every tenth fails."""
    long = deployed(steps=[50, 100], bake={"requests": 5000, "at_most": "2h"})
    endings = list(many(200, long, STEADY, Behaviour(errors=0.1, sound_until=2000), Behaviour(), seed=7))
    asked_after = [ending.canary_requests - 1000 for ending in endings]
    assert outcomes(endings)[Outcome.FAILED] == len(endings)
    assert np.quantile(asked_after, 0.99) <= 400


@pytest.mark.parametrize("seconds", [30.0, 240.0])
def test_traffic_that_comes_and_goes_changes_nothing(seconds: float) -> None:
    bursts = replace(STEADY, bursts=seconds)
    sound = list(many(100, deployed(bake={"finds": 0.1, "at_most": "1h"}), bursts, Behaviour(), Behaviour(), seed=8))
    assert outcomes(sound)[Outcome.PASSED] == 100
    bad = list(many(100, deployed(bake=SPARSE), bursts, Behaviour(errors=0.1), Behaviour(), seed=9))
    assert outcomes(bad)[Outcome.FAILED] >= 99


@pytest.mark.parametrize(
    ("canary", "traffic"),
    [
        (Behaviour(errors=1.0), STEADY),
        (Behaviour(), Traffic(0.0001)),
        (Behaviour(), Traffic(0.05)),
    ],
    ids=["no number ever", "nobody asks", "hardly anybody asks"],
)
def test_silence_never_passes(canary: Behaviour, traffic: Traffic) -> None:
    for rails in ({"error_rate": {"max": 0.01}}, {"p99_latency": {"max": "250ms"}}, {"prediction_psi": {"max": 0.25}}):
        given = deployed(guardrails=rails, bake={"requests": 100, "at_most": "10m"})
        assert Outcome.PASSED not in outcomes(list(many(20, given, traffic, canary, Behaviour(), seed=10)))


def test_the_step_needs_what_finds_the_declared_effect() -> None:
    """A tenth of the requests failing is proven, 95 times in a hundred, by the request at which a step may pass (and
    the look after it: they are 6 s apart)."""
    given = deployed(steps=[50, 100], bake=DENSE, guardrails={"error_rate": {"max": LIMIT}})
    needed = requests_needed(given)
    endings = list(many(400, given, STEADY, Behaviour(errors=0.1), Behaviour(errors=LIMIT), seed=12))
    in_time = sum(e.outcome is Outcome.FAILED and e.canary_requests <= needed * 1.1 + 12 for e in endings)
    assert in_time >= 0.95 * len(endings)


AB = deployed(
    strategy="ab_test",
    bake={"requests": 100, "at_most": "1h"},
    guardrails={"outcome": {"measure": "brier", "max_drop": 0.03, "min_rows": 100}},
)


def ab_tests(rounds: int, worse: float, seed: int) -> Counter[Outcome]:
    """Scores of 0.3 and 0.7 about labels that agree with them so often; looked at every 100 labelled answers."""
    draw = np.random.default_rng(seed)
    ended: Counter[Outcome] = Counter()
    for _ in range(rounds):
        mine = draw.random(4000) < 0.5
        high = draw.random(4000) < 0.5
        right = draw.random(4000) < np.where(mine, 0.8 - worse / 0.4, 0.8)
        labels = pd.Series((high == right).astype(float))
        scores = np.where(high, 0.7, 0.3)
        outcome = Outcome.INCONCLUSIVE
        for count in range(200, 4001, 100):
            told = contrast_of_arms(AB.guardrails.outcome, scores[:count], labels[:count], mine[:count], (0.5, 0.5))
            asked = Arm(told.canary_rows, 0, 0.02), Arm(told.champion_rows, 0, 0.02)
            outcome = judge(AB, Observation(*asked, None, 0.0, timedelta(minutes=1), 50, contrast=told)).outcome
            if outcome is not Outcome.INCONCLUSIVE:
                break
        ended[outcome] += 1
    return ended


def test_an_ab_test_settles_by_outcome() -> None:
    """Brier scores by lot: equal versions pass, those worse by the allowed drop are hardly ever called worse or no
    worse, those worse by four times as much fail.
    """
    equal, at_the_drop, worse = ab_tests(60, 0.0, 1), ab_tests(150, 0.03, 2), ab_tests(60, 0.12, 3)
    assert equal[Outcome.PASSED] >= 54
    assert equal[Outcome.FAILED] == 0
    assert at_the_drop[Outcome.FAILED] <= 2
    assert at_the_drop[Outcome.PASSED] <= 0.05 * 150 + 4
    assert worse[Outcome.FAILED] >= 57


def stopped_at_the_limit(rounds: int) -> int:
    """Of steps that take some fifty looks."""
    long = deployed(steps=[50, 100], bake={"requests": 800, "at_most": "14m"})
    return outcomes(list(many(rounds, long, STEADY, AT_EVERY_LIMIT, AT_EVERY_LIMIT, seed=13)))[Outcome.FAILED]


def test_a_long_step_at_every_limit_is_not_stopped() -> None:
    """What the broken detectors below are compared with."""
    assert stopped_at_the_limit(60) <= 1


def test_these_simulations_would_see_a_careless_alpha(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steward.rollout.analysis.alpha_each", lambda _: 0.2)
    assert stopped_at_the_limit(60) > 3


def test_these_simulations_would_see_a_test_repeated_without_correction(monkeypatch: pytest.MonkeyPatch) -> None:
    """A binomial test at 1 % is right once; looked at until it says no, it says no far more often."""

    def repeated(hits: object, trials: object, rate: object) -> float:
        seen, asked, share = float(np.sum(hits)), float(np.sum(trials)), float(np.max(rate)) if np.size(rate) else 0.0
        return math.inf if asked and binom.sf(seen - 1, asked, share) < ALPHA else 0.0

    assert log_proof([1], [40], 0.01) < repeated([5], [40], 0.01)
    monkeypatch.setattr("steward.rollout.analysis.log_proof", repeated)
    assert stopped_at_the_limit(60) > 3
