"""What a rollout takes, reckoned before it starts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from steward.gates.alarms import ALPHA, alarms, alpha_each, requests_needed
from steward.rollout.planning import fewer_than, plan_rollout
from steward.spec import Deployment, ModelSpec

MODEL: dict[str, Any] = {
    "model": "toy",
    "title": "A toy",
    "purpose": "To be planned.",
    "owner": {"team": "tests", "name": "Olga", "email": "olga@example.com", "user": "olga"},
    "risk_tier": "low",
    "task": "binary_classification",
    "data": {
        "id": "id",
        "time": "at",
        "label": {"column": "y", "arrives_after": "1d"},
        "features": {"x": {"type": "number"}},
        "min_rows": 100,
    },
    "training": {"window": {"days": 20}},
    "evaluation": {"holdout": {"days": 5}, "metrics": {"roc_auc": {"min": 0.7}}},
    "monitoring": {"window": {"days": 7}, "min_rows": 100},
    "retraining": {"when": {"failed_windows": 1, "of": 2}, "cooldown": "3d", "budget": {"runs": 2, "per": "30d"}},
}
RAILS: dict[str, Any] = {"error_rate": {"max": 0.01}, "p99_latency": {"max": "250ms"}, "prediction_psi": {"max": 0.25}}


def planned(**given: Any) -> ModelSpec:
    base = {"steps": [5, 50, 100], "bake": {"finds": 0.1, "at_most": "1h"}, "smoke": "model:examples"}
    return ModelSpec.model_validate({**MODEL, "deployment": {**base, "guardrails": RAILS, **given}})


def test_the_chance_of_a_false_alarm_is_shared_out_over_every_alarm() -> None:
    deployment = planned().deployment
    assert [alarm for alarm in alarms(deployment) if alarm.percent == 5] == [
        (5, "canary.error_rate"),
        (5, "canary.error_share"),
        (5, "canary.p99_latency"),
        (5, "canary.prediction_psi"),
    ]
    assert alpha_each(deployment) * len(alarms(deployment)) == pytest.approx(ALPHA)


def test_a_switch_has_fewer_alarms_and_a_shadow_more() -> None:
    both = {**RAILS, "disagreement": {"max": 0.05}, "outcome": {"measure": "brier"}}
    shadow = planned(steps=[0, 50, 100], guardrails=both).deployment
    assert {alarm.gate for alarm in alarms(shadow)} - {alarm.gate for alarm in alarms(shadow) if alarm.percent} == {
        "shadow.disagreement"
    }
    switch = planned(strategy="blue_green").deployment
    assert [alarm.gate for alarm in alarms(switch)] == ["canary.error_rate", "canary.p99_latency"]


def test_requests_follow_from_the_effect_that_must_be_found() -> None:
    assert requests_needed(planned(bake={"requests": 77, "at_most": "1h"}).deployment) == 77
    rough, fine = (requests_needed(planned(bake={"finds": f, "at_most": "9h"}).deployment) for f in (0.1, 0.03))
    assert rough == 139
    assert 5 * rough < fine < 20 * rough
    assert requests_needed(planned(strategy="direct", bake=None, smoke=None, guardrails={}).deployment) == 1


def test_times_at_the_declared_traffic() -> None:
    plan = plan_rollout(planned(traffic=2.0, bake={"requests": 120, "at_most": "1h", "at_least": "5m"}))
    five, half = plan.steps
    assert (five.each_second, half.each_second) == (0.1, 1.0)
    assert (five.expected, half.expected) == (timedelta(minutes=20), timedelta(minutes=5))
    assert (plan.at_least, plan.expected, plan.at_most) == (
        timedelta(minutes=10),
        timedelta(minutes=25),
        timedelta(hours=2),
    )
    assert five.catches_after == 139
    assert five.catches_in == timedelta(seconds=1390)
    assert plan.gives_up == pytest.approx(0.0, abs=1e-6)
    assert plan.warnings == ()
    assert plan.false_abort == 0.01


def test_without_traffic_there_are_requests_and_no_times() -> None:
    plan = plan_rollout(planned())
    assert (plan.traffic, plan.expected, plan.gives_up, plan.warnings) == (None, None, None, ())
    assert [step.requests for step in plan.steps] == [139, 139]
    assert {step.expected for step in plan.steps} == {None}


def test_a_step_that_cannot_end_in_time_is_warned_of() -> None:
    plan = plan_rollout(planned(traffic=0.75))
    assert plan.gives_up == pytest.approx(0.63, abs=0.05)
    (warning,) = plan.warnings
    assert warning.startswith(
        "the step at 5 % needs 139 requests, and about 135 come until it is given up: 62% of sound"
    )


def test_labels_that_come_too_late_are_warned_of() -> None:
    outcome = {**RAILS, "outcome": {"measure": "brier"}}
    assert "no outcome can be judged" in plan_rollout(planned(guardrails=outcome)).warnings[0]
    long = {"finds": 0.1, "at_most": "52w"}
    assert plan_rollout(planned(guardrails=outcome, bake=long)).warnings == ()


def test_a_shadow_is_asked_everything() -> None:
    plan = plan_rollout(planned(steps=[0, 10, 100], traffic=3.0))
    assert [step.each_second for step in plan.steps] == [3.0, pytest.approx(0.3)]


def test_nothing_is_judged_of_a_direct_release() -> None:
    plan = plan_rollout(planned(strategy="direct"))
    assert (plan.steps, plan.at_most, plan.to_json()["steps"]) == ((), timedelta(), [])


@pytest.mark.parametrize(
    ("needed", "expected", "chance"),
    [(1, 1.0, 0.367879), (150, 150.0, 0.489142), (19_999, 20_000.0, 0.496239), (30_000, 30_500.0, 0.002034), (5, 0, 1)],
)
def test_chances_of_too_few_requests(needed: int, expected: float, chance: float) -> None:
    """Against scipy's Poisson distribution."""
    assert fewer_than(needed, expected) == pytest.approx(chance, abs=1e-5)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"guardrails": {"prediction_psi": {"max": 1.0}}}, "an error rate is found by guardrails.error_rate"),
        ({"bake": {"finds": 0.015, "at_most": "1h"}}, "too near to the limit to be told from it: find 0.02 or more"),
        (
            {"traffic": 0.5, "bake": {"requests": 150, "at_most": "10m"}},
            "a step needs 150 requests, and 15 come to 5 % of the traffic in 10m",
        ),
        ({"traffic": 0.1, "bake": {"finds": 0.1, "at_most": "1h"}}, "a step needs 29 requests, and 18 come to 5 %"),
        (
            {
                "strategy": "blue_green",
                "guardrails": {"prediction_psi": {"max": 1.0}},
                "bake": {"requests": 9, "at_most": "1h"},
            },
            "no champion answers beside to compare with",
        ),
        ({"strategy": "blue_green", "guardrails": {**RAILS, "outcome": {"measure": "brier"}}}, "a blue/green has none"),
        (
            {"guardrails": {**RAILS, "outcome": {"measure": "absolute_error"}}},
            "does not measure a binary_classification",
        ),
    ],
)
def test_plans_that_cannot_work_are_contradictions(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        planned(**given)


def test_reckoning_is_quick_enough_for_a_plan() -> None:
    """No more work than some ten thousand additions, whatever the effect: counted, not timed."""
    for finds in (0.02, 0.05, 0.1, 0.5, 1.0):
        assert requests_needed(Deployment.model_validate(_bake(finds))) < 6000


def _bake(finds: float) -> dict[str, Any]:
    bake = {"finds": finds, "at_most": "9h"}
    return {"steps": [50, 100], "bake": bake, "smoke": "model:examples", "guardrails": {"error_rate": {"max": 0.01}}}
