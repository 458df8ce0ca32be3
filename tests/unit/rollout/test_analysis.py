"""A step's verdict: caught when it hurts, left alone when it does not, silent when it cannot know."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from steward.gates import Finding, Outcome, Verdict
from steward.rollout.analysis import Arm, Contrast, Course, Observation, Pairs, judge
from steward.spec import Deployment

RAILS: dict[str, Any] = {"error_rate": {"max": 0.01}, "p99_latency": {"max": "250ms"}, "prediction_psi": {"max": 0.25}}
FAR = timedelta(minutes=1)


def deployed(needed: int = 200, rails: dict[str, Any] = RAILS, **more: Any) -> Deployment:
    given = {"steps": [20, 100], "bake": {"requests": needed, "at_most": "10m"}, "smoke": "model:examples", **more}
    return Deployment.model_validate({**given, "guardrails": rails})


def seen(canary: Arm, champion: Arm | None = None, psi: float | None = 0.02, noise: float = 0.05) -> Observation:
    return Observation(canary, champion, psi, noise, FAR, 20)


def outcome(observation: Observation, needed: int = 200) -> Outcome:
    return judge(deployed(needed), observation).outcome


def finding(verdict: Verdict, gate: str) -> Finding:
    return next(f for f in verdict.findings if f.gate == gate)


def test_a_sound_canary_passes_once_it_has_its_requests() -> None:
    assert outcome(seen(Arm(200, 0, 0.02), Arm(800, 3, 0.02))) is Outcome.PASSED
    assert outcome(seen(Arm(199, 0, 0.02), Arm(800, 3, 0.02))) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("canary", "psi"),
    [(Arm(300, 60, 0.02), 0.02), (Arm(300, 0, 0.9, late=300), 0.02), (Arm(300, 0, 0.02), 1.4)],
    ids=["errors", "slow", "skewed"],
)
def test_each_kind_of_harm_fails(canary: Arm, psi: float) -> None:
    assert outcome(seen(canary, Arm(900, 1, 0.02), psi)) is Outcome.FAILED


@pytest.mark.parametrize("canary", [Arm(40, 20, 0.02), Arm(40, 0, 0.9, late=20)], ids=["errors", "slow"])
def test_proven_harm_fails_before_the_requests_are_in(canary: Arm) -> None:
    assert outcome(seen(canary, Arm(160, 0, 0.02), None)) is Outcome.FAILED


def test_kinds_of_failure_are_told_apart() -> None:
    arm = Arm(300, 60, 0.02, kinds={"timeout": 40, "no_number": 20})
    said = finding(judge(deployed(), seen(arm, Arm(900, 0, 0.02))), "canary.error_rate").reason
    assert said == "error rate is 0.2 (20 no_number, 40 timeout), above the limit 0.01"


def test_a_shift_in_a_handful_of_answers_is_no_proof() -> None:
    """Sixteen answers in ten bins: a sound canary once showed PSI 3.3."""
    assert outcome(seen(Arm(16, 0, 0.02), Arm(30, 0, 0.02), psi=3.3, noise=2.1)) is Outcome.INCONCLUSIVE


def test_a_few_unlucky_errors_are_not_proof() -> None:
    assert outcome(seen(Arm(203, 3, 0.02), Arm(800, 8, 0.02))) is Outcome.INCONCLUSIVE


def test_a_few_slow_answers_are_not_proof() -> None:
    """4 of 203 is twice the 1 % that a 99th percentile allows, and happens by chance; 1 of 203 is within it."""
    assert outcome(seen(Arm(203, 0, 0.4, late=4), Arm(800, 0, 0.02))) is Outcome.INCONCLUSIVE
    assert outcome(seen(Arm(203, 0, 0.02, late=1), Arm(800, 0, 0.02))) is Outcome.PASSED


def test_a_99th_percentile_at_its_limit_passes_when_the_95th_surely_is_within() -> None:
    verdict = judge(deployed(), seen(Arm(1000, 0, 0.26, late=11), Arm(4000, 0, 0.02)))
    assert verdict.passed
    assert "no more than chance, and surely below 0.05" in finding(verdict, "canary.p99_latency").reason


def test_with_a_declared_effect_a_rate_at_the_limit_passes_once_the_effect_is_disproved() -> None:
    at_the_limit = seen(Arm(1500, 16, 0.02), Arm(1500, 15, 0.02))
    bake = {"finds": 0.05, "at_most": "1h"}
    assert judge(deployed(bake=bake), at_the_limit).passed
    assert judge(deployed(), at_the_limit).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    "nothing",
    [
        seen(Arm(0, 0), Arm(0, 0), None),
        seen(Arm(0, 0), Arm(500, 0, 0.02), None),
        seen(Arm(500, 0, 0.02), Arm(0, 0), None),
        seen(Arm(500, 500), Arm(500, 0, 0.02), None),
        seen(Arm(0, 0)),
    ],
    ids=["nobody", "a silent canary", "a silent champion", "no numbers", "a silent first release"],
)
@pytest.mark.parametrize("rail", [*RAILS, None])
def test_no_data_never_passes(nothing: Observation, rail: str | None) -> None:
    rails = RAILS if rail is None else {rail: RAILS[rail]}
    assert not judge(deployed(1, rails), nothing).passed


def test_a_shift_that_chance_explains_is_not_held_against_it() -> None:
    assert outcome(seen(Arm(200, 0, 0.02), Arm(800, 0, 0.02), psi=0.3, noise=0.4)) is Outcome.PASSED


def test_a_shift_between_chance_and_proof_holds() -> None:
    shifted = Observation(Arm(200, 0, 0.02), Arm(800, 0, 0.02), 0.3, 0.1, FAR, 20, psi_proof=0.5)
    assert outcome(shifted) is Outcome.INCONCLUSIVE


def test_a_first_release_is_judged_alone() -> None:
    assert outcome(seen(Arm(200, 0, 0.02))) is Outcome.PASSED
    assert outcome(seen(Arm(200, 50, 0.02))) is Outcome.FAILED
    told = finding(judge(deployed(), seen(Arm(200, 0, 0.02))), "canary.prediction_psi")
    assert told.reason == "not judged: no champion answers beside to compare with"


def test_a_switch_is_judged_by_its_own_errors_and_times() -> None:
    green = deployed(strategy="blue_green", rails={name: RAILS[name] for name in ("error_rate", "p99_latency")})
    verdict = judge(green, Observation(Arm(300, 1, 0.02), None, None, 0.0, FAR, 100))
    assert [f.gate for f in verdict.findings] == ["canary.requests", "canary.error_rate", "canary.p99_latency"]
    assert verdict.passed


def course(*blocks: tuple[int, int, int, int]) -> Course:
    """Of (requests, errors) of the canary and of the champion, block by block."""
    mine, errors, beside, others = (np.array(column) for column in zip(*blocks, strict=True))
    return Course(mine, errors, np.zeros_like(mine), beside, others)


def in_order(*blocks: tuple[int, int, int, int]) -> Observation:
    counted = course(*blocks)
    canary = Arm(int(np.sum(counted.requests)), int(np.sum(counted.errors)), 0.02)
    champion = Arm(int(np.sum(counted.champion_requests)), int(np.sum(counted.champion_errors)), 0.02)
    return Observation(canary, champion, 0.02, 0.05, FAR, 20, course=counted)


def test_good_answers_buy_no_credit_for_bad_ones() -> None:
    """5,000 requests without an error, then 12 in 60: 0.24 % on the whole, and a fault that has just begun."""
    verdict = judge(deployed(), in_order(*[(50, 0, 50, 0)] * 100, (60, 12, 40, 0)))
    assert verdict.outcome is Outcome.FAILED
    assert "for a stretch that is no chance" in finding(verdict, "canary.error_rate").reason


def test_what_was_proven_stays_proven() -> None:
    assert outcome(in_order((50, 20, 50, 0), *[(50, 0, 50, 0)] * 200)) is Outcome.FAILED


def test_an_hour_bad_for_both_is_not_held_against_the_canary_alone() -> None:
    """The canary had most of the traffic in the bad hour and little in the good one: block by block it is no worse."""
    verdict = judge(deployed(), in_order((90, 45, 10, 5), *[(10, 0, 90, 0)] * 40))
    assert finding(verdict, "canary.error_share").outcome is Outcome.PASSED
    assert finding(verdict, "canary.error_rate").outcome is Outcome.FAILED


DISAGREES: dict[str, Any] = {"error_rate": {"max": 0.01}, "disagreement": {"max": 0.05}}


@pytest.mark.parametrize(
    ("compared", "differing", "expected"),
    [
        (300, 6, Outcome.PASSED),
        (300, 20, Outcome.INCONCLUSIVE),
        (300, 60, Outcome.FAILED),
        (150, 2, Outcome.INCONCLUSIVE),
        (0, 0, Outcome.INCONCLUSIVE),
    ],
    ids=["agrees", "perhaps", "differs", "too few", "none"],
)
def test_a_shadow_is_compared_decision_by_decision(compared: int, differing: int, expected: Outcome) -> None:
    shadow = deployed(rails=DISAGREES, steps=[0, 50, 100])
    both = Observation(Arm(300, 0, 0.02), Arm(300, 0, 0.02), None, 0.0, FAR, 0, pairs=Pairs([compared], [differing]))
    verdict = judge(shadow, both)
    assert verdict.outcome is expected
    assert finding(verdict, "shadow.disagreement").rows == compared


def judged_by_outcome(strategy: str, worse: Any, drop: float = 0.05, rows: int = 600) -> Outcome:
    rule = {"measure": "brier", "max_drop": drop, "min_rows": 100}
    spec = deployed(rails={"outcome": rule}, strategy=strategy, steps=[50, 100])
    told = Contrast(np.asarray(worse, float), 1.0, rows, rows, 0.2, 0.2)
    arm = Arm(600, 0, 0.02)
    return judge(spec, Observation(arm, arm, None, 0.0, FAR, 50, contrast=told)).outcome


@pytest.mark.parametrize("strategy", ["canary", "ab_test"])
def test_a_canary_whose_decisions_turn_out_worse_fails(strategy: str) -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, 600)
    assert judged_by_outcome(strategy, 0.2 + noise) is Outcome.FAILED


def test_an_ab_test_needs_its_question_settled_and_a_canary_does_not() -> None:
    """The same even contest: over 600 blocks it is surely not worse by 0.05; over twenty nobody knows."""
    noise = np.random.default_rng(3).normal(0, 0.2, 600)
    assert judged_by_outcome("ab_test", noise) is Outcome.PASSED
    assert judged_by_outcome("ab_test", noise[:20]) is Outcome.INCONCLUSIVE
    assert judged_by_outcome("canary", noise[:20]) is Outcome.PASSED


def test_equal_versions_never_prove_to_be_no_worse_at_all() -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, 600)
    assert judged_by_outcome("ab_test", noise, drop=0.0) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("strategy", ["canary", "ab_test"])
def test_outcomes_that_are_not_known_never_pass(strategy: str) -> None:
    assert judged_by_outcome(strategy, [], rows=0) is Outcome.INCONCLUSIVE
    assert judged_by_outcome(strategy, [0.0] * 20, rows=99) is Outcome.INCONCLUSIVE
