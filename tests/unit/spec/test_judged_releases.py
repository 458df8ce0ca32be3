"""A release that says it is judged has something to be judged by, at a step that exists."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.specs import a_spec

MEAN = {"outcome": {"measure": "mean_outcome", "better": "higher"}}
BAKE = {"requests": 100, "at_most": "10m"}


def deployed(**given: Any) -> Any:
    return a_spec(deployment={"bake": BAKE, "smoke": "model:examples", **given}).deployment


def test_a_canary_without_a_step_before_the_last_is_judged_by_nothing() -> None:
    with pytest.raises(ValidationError, match="no step before 100 means that nothing is judged"):
        deployed(strategy="canary", steps=[100], guardrails={"error_rate": {"max": 0.02}})
    assert deployed(strategy="direct", steps=[100]).judged_steps == ()


@pytest.mark.parametrize("shadow", [{"strategy": "shadow"}, {"strategy": "canary", "steps": [0, 100]}])
def test_a_shadow_is_not_judged_by_outcomes_it_does_not_have(shadow: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="a shadow decides nothing"):
        deployed(guardrails=MEAN, **shadow)
    deployed(guardrails={**MEAN, "error_rate": {"max": 0.02}}, **shadow)
    deployed(guardrails={"outcome": {"measure": "accuracy"}}, **shadow)


def test_a_mean_outcome_alone_judges_a_step_of_traffic() -> None:
    assert deployed(guardrails=MEAN, strategy="canary", steps=[0, 20, 100]).judged_steps == (0, 20)
