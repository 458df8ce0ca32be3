"""What `steward init` writes goes the way the tutorial says: it is checked, trained, judged and may be released."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from steward import actions
from steward.actions.state import Services
from steward.approval.policy import load_policy
from steward.cli.templates import write_model
from steward.spec import SpecFolder
from steward.testing import FrozenClock
from steward.testing.services import services_in_memory
from steward.types import JsonObject

POLICY = Path(__file__).parents[3] / "include" / "policy.yaml"


@pytest.fixture
def services(tmp_path: Path) -> Services:
    write_model(tmp_path, "customer_churn")
    clock, policy = FrozenClock(datetime(2026, 6, 1, 6, tzinfo=UTC)), load_policy(POLICY)
    return services_in_memory(SpecFolder(tmp_path), policy, clock, tmp_path)


def test_the_new_model_may_be_released_as_it_stands(services: Services) -> None:
    spec = services.specs.get("customer_churn")

    def do(action: str, **inputs: Any) -> JsonObject:
        return getattr(actions, action)(services, spec, run="first", actor="airflow:dana", **inputs)

    snapshot = do("take_snapshot")["snapshot"]
    validation = do("validate_data", snapshot=snapshot)
    training = do("train", snapshot=snapshot, params={})["training"]
    evaluation = do("evaluate", training=training)
    evidence = {"validation": validation["validation"], "evaluation": evaluation["evaluation"], "training": training}
    registered = do("register", **evidence)
    asked = do("request_approval", version=registered["version"])
    started = do("start_rollout", version=registered["version"])
    outcomes = [answer["outcome"] for answer in (validation, evaluation, registered, started)]
    assert outcomes == ["PASSED"] * 4
    assert not asked["needed"]
