"""The example of docs/multiclass.md is released as it stands, and answers what the page says."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serving.conftest import Stack, ready

from steward import actions
from steward.actions.state import Services
from steward.approval.policy import load_policy
from steward.spec import SpecFolder
from steward.testing import FrozenClock
from steward.testing.services import services_in_memory
from steward.types import JsonObject

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "multiclass.md").read_text(encoding="utf-8")


def block(language: str, place: int = 0) -> str:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[place]


@pytest.fixture
def services(tmp_path: Path) -> Services:
    folder = tmp_path / "models" / "parcel_size"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(block("yaml"))
    (folder / "model.py").write_text(block("python"))
    clock, policy = FrozenClock(datetime(2026, 6, 1, 6, tzinfo=UTC)), load_policy(ROOT / "include" / "policy.yaml")
    return services_in_memory(SpecFolder(tmp_path / "models"), policy, clock, tmp_path)


def released(services: Services) -> Any:
    """Through every gate; the estimator as it was stored."""
    spec = services.specs.get("parcel_size")

    def do(action: str, **inputs: Any) -> JsonObject:
        return getattr(actions, action)(services, spec, run="first", actor="airflow:dana", **inputs)

    snapshot = do("take_snapshot")["snapshot"]
    validation = do("validate_data", snapshot=snapshot)
    training = do("train", snapshot=snapshot, params={})["training"]
    evaluation = do("evaluate", training=training)
    evidence = {"validation": validation["validation"], "evaluation": evaluation["evaluation"], "training": training}
    registered = do("register", **evidence)
    do("request_approval", version=registered["version"])
    started = do("start_rollout", version=registered["version"])
    outcomes = [answer["outcome"] for answer in (validation, evaluation, registered, started)]
    assert outcomes == ["PASSED"] * 4, (evaluation, registered)
    with services.database.begin() as tx:
        stored = tx.versions.all("parcel_size")[0]
    return services.models.load(actions.effects.logged_model(stored))


def test_the_example_is_released_and_answers_as_the_page_says(services: Services, tmp_path: Path) -> None:
    estimator, stack = released(services), Stack(tmp_path)
    stack.sources.register(services.specs.get("parcel_size"), 1, estimator)
    stack.sources.route("parcel_size", champion=1)
    client = ready(stack.start())
    try:
        for place, path in enumerate(("/models/parcel_size/invocations", "/v2/models/parcel_size/outcomes")):
            asked, answer = re.findall(r"-d '\n(.*?)'\n(.*)", block("console", place), re.DOTALL)[0]
            found = client.post(path, json=json.loads(asked)).json()
            assert close(found, json.loads(answer)), found
    finally:
        stack.stop()


def close(found: JsonObject, said: JsonObject) -> bool:
    """Linear algebra differs in the last places between machines."""
    shares, told = found.pop("probabilities", []), said.pop("probabilities", [])
    return found == said and shares == [pytest.approx(each, abs=1e-6) for each in told]
