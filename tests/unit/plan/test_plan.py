"""A spec compiles to the plan its golden file shows; every plan keeps the rules that make it safe to run."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from steward import actions
from steward.plan import DagPlan, Plan, Step, StepKind, TriggerRule, compile_plan, portfolio_plans
from steward.spec import ModelSpec, load_spec

GOLDEN = Path(__file__).parents[2] / "golden" / "plans"
SPEC = load_spec(GOLDEN / "flight_delays" / "model.yaml")
GATES = {StepKind.GATE, StepKind.APPROVAL, StepKind.SENSOR}


def changed(**sections: Any) -> ModelSpec:
    """The fixed spec with fields of sections replaced: `deployment={"strategy": "direct"}`."""
    fields = SPEC.model_dump(mode="json")
    for name, value in sections.items():
        fields[name] = {**fields[name], **value} if isinstance(value, dict) else value
    return ModelSpec.model_validate(fields)


def steps_of(dag: DagPlan) -> dict[str, Step]:
    return {step.id: step for step in dag.steps}


VARIANTS = {
    "medium": SPEC,
    "low": changed(risk_tier="low"),
    "direct": changed(deployment={"strategy": "direct"}),
    "shadow-canary": changed(deployment={"steps": [0, 10, 50, 100]}),
    "shadow": changed(deployment={"strategy": "shadow"}),
    "blue-green": changed(deployment={"strategy": "blue_green"}),
    "ab-test": changed(
        deployment={
            "strategy": "ab_test",
            "bake": {"requests": 2000, "at_least": "1w", "at_most": "2w"},
            "guardrails": {"error_rate": {"max": 0.01}, "outcome": {"measure": "accuracy", "max_drop": 0.01}},
        }
    ),
    "low-direct": changed(risk_tier="low", deployment={"strategy": "direct"}),
    "batch": changed(deployment={"strategy": "direct", "target": "batch", "scoring": {"window": {"days": 2}}}),
}


@pytest.fixture(params=VARIANTS, name="plan")
def a_plan(request: pytest.FixtureRequest) -> Plan:
    return compile_plan(VARIANTS[request.param])


def assert_golden(name: str, content: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(content)
    assert path.read_text() == content, f"{name} differs; UPDATE_GOLDEN=1 rewrites it, then read the diff"


@pytest.mark.parametrize("name", VARIANTS)
def test_plan_is_the_golden_one(name: str) -> None:
    plan = compile_plan(VARIANTS[name]).to_json()
    assert_golden(f"{name}.json", json.dumps(plan, indent=1, ensure_ascii=False) + "\n")


def test_portfolio_is_the_golden_one() -> None:
    plans = [plan.to_json() for plan in portfolio_plans(("flight_delays", "churn"))]
    assert_golden("portfolio.json", json.dumps(plans, indent=1, ensure_ascii=False) + "\n")


def test_without_models_there_is_nothing_to_roll_back() -> None:
    assert [plan.id for plan in portfolio_plans(())] == ["steward__audit_inventory"]


def test_every_step_is_tried_again_and_bounded(plan: Plan) -> None:
    for step in [s for dag in [*plan.dags, *portfolio_plans(("churn",))] for s in dag.steps]:
        assert step.retries >= 2, step.id
        assert timedelta(seconds=10) <= step.retry_delay, step.id
        longest = timedelta(hours=3) if step.wait is None else step.wait + timedelta(minutes=10)
        assert timedelta() < step.timeout <= longest, step.id


def test_steps_only_name_steps_that_come_before(plan: Plan) -> None:
    for dag in plan.dags:
        seen: set[str] = set()
        for step in dag.steps:
            sources = {value["from"] for value in step.arguments.values() if "from" in _keys(value)}
            assert {*step.after, *sources} <= seen, step.id
            seen.add(step.id)


def _keys(value: Any) -> set[str]:
    return set(value) if isinstance(value, dict) else set()


def test_a_no_in_training_skips_everything_up_to_settle(plan: Plan) -> None:
    ids = [step.id for step in plan.train.steps]
    assert ids[-3:] == ["settle", "publish", "close"]
    for place, step in enumerate(plan.train.steps):
        assert list(step.skips) == (ids[place + 1 : -3] if step.kind in GATES else []), step.id


def test_settle_always_runs_and_close_only_without_a_fault(plan: Plan) -> None:
    steps = steps_of(plan.train)
    assert steps["settle"].trigger is TriggerRule.ALL_DONE
    assert steps["settle"].after == ("rollout.complete",)
    assert steps["close"].trigger is TriggerRule.NONE_FAILED
    assert set(steps["close"].after) == {"rollout.complete", "settle", "publish"}


def test_every_released_version_passed_each_gate(plan: Plan) -> None:
    """No path leads to the champion's place around a gate: the line to `complete` is one line."""
    steps, place, passed = steps_of(plan.train), "rollout.complete", []
    while steps[place].after:
        assert len(steps[place].after) == 1
        place = steps[place].after[0]
        passed.append(place)
    assert {s.id for s in plan.train.steps if s.kind in GATES} <= set(passed)


@pytest.mark.parametrize(("tier", "asks"), [("low", False), ("medium", True), ("high", True)])
def test_tiers_above_low_ask_people(tier: str, asks: bool) -> None:
    assert ("await_approval" in steps_of(compile_plan(changed(risk_tier=tier)).train)) is asks


def test_a_low_tier_that_wants_approvers_gets_them() -> None:
    spec = changed(risk_tier="low", approval={"approvers": 1})
    assert "await_approval" in steps_of(compile_plan(spec).train)


def test_the_last_canary_step_is_the_promotion_itself() -> None:
    ids = [s.id for s in compile_plan(SPEC).train.steps if s.group]
    shifts = [i for i in ids if "shift" in i]
    assert shifts == ["rollout.shift_5", "rollout.shift_25", "rollout.shift_50"]
    assert ids[-1] == "rollout.complete"


@pytest.mark.parametrize(
    ("variant", "between"),
    [
        ("direct", []),
        ("shadow", ["shadow", "analyse_shadow"]),
        ("shadow-canary", ["shadow", "analyse_shadow", "shift_10", "analyse_10", "shift_50", "analyse_50"]),
        ("blue-green", ["switch", "analyse_switch"]),
        ("ab-test", ["ab_test", "analyse_ab_test"]),
    ],
)
def test_every_strategy_is_seen_step_by_step_and_each_step_is_judged(variant: str, between: list[str]) -> None:
    steps = [s for s in compile_plan(VARIANTS[variant]).train.steps if s.group]
    assert [s.name for s in steps] == ["start", *between, "complete"]
    assert [s.kind for s in steps[1:-1]] == [StepKind.ACTION, StepKind.SENSOR] * (len(between) // 2)


@pytest.mark.parametrize("variant", ["shadow", "shadow-canary", "blue-green", "ab-test", "medium"])
def test_the_plan_takes_the_steps_that_the_rollout_will_be_held_to(variant: str) -> None:
    spec = VARIANTS[variant]
    taken = [s.arguments["percent"] for s in compile_plan(spec).train.steps if s.action == "shift_traffic"]
    assert taken == list(spec.deployment.judged_steps)


def test_only_a_batch_target_has_a_scoring_run() -> None:
    assert compile_plan(SPEC).score is None
    batch = compile_plan(VARIANTS["batch"])
    assert [dag.id.rpartition("__")[2] for dag in batch.dags] == ["train", "monitor", "score"]
    assert [s.id for s in batch.train.steps if s.group] == ["rollout.start", "rollout.complete"]


def test_outcomes_are_recorded_whatever_becomes_of_today() -> None:
    score = compile_plan(VARIANTS["batch"]).score
    assert score is not None
    steps = steps_of(score)
    assert steps["note_scoring"].after == ("score_window",)
    assert steps["record_outcomes"].after == ()


@pytest.mark.parametrize(("at_most", "seconds"), [("30s", 2), ("10m", 6), ("20m", 30), ("6h", 60)])
def test_short_bakes_are_looked_at_more_often(at_most: str, seconds: float) -> None:
    plan = compile_plan(changed(deployment={"bake": {"requests": 10, "at_most": at_most}}))
    sensor = steps_of(plan.train)["rollout.analyse_5"]
    assert sensor.poll == timedelta(seconds=seconds)
    assert sensor.wait is not None
    assert sensor.poll < sensor.wait < sensor.timeout


def test_training_starts_on_the_asset_that_monitoring_emits(plan: Plan) -> None:
    emitted = {step.asset for step in plan.monitor.steps if step.kind is StepKind.RETRAINING}
    assert emitted == {plan.train.schedule.asset}


def test_the_document_carries_the_digest_so_that_a_changed_spec_is_a_changed_dag() -> None:
    other = changed(data={"min_rows": 1001})
    assert SPEC.digest != other.digest
    for dag in compile_plan(other).dags:
        assert other.digest in dag.doc
        # Relative to the page's own base: Airflow may be served below a path.
        assert f"[all](steward/reports/{other.model})" in dag.doc


def test_a_limit_on_a_metric_of_which_less_is_better_is_told() -> None:
    spec = changed(monitoring={"performance": {"brier": {"max_rise": 0.02}}})
    assert "**Performance**: brier may rise by 0.02" in compile_plan(spec).monitor.doc


def test_every_step_calls_an_action_that_takes_its_arguments(plan: Plan) -> None:
    """The contract with `steward.actions`, by name and by signature."""
    for step in [s for dag in [*plan.dags, *portfolio_plans(("churn",))] for s in dag.steps]:
        if step.kind is StepKind.APPROVAL:
            continue  # the answer's arguments come from a person
        given = {**step.arguments, "actor": "a", **({"run": "r"} if step.model else {})}
        inspect.signature(getattr(actions, step.action)).bind(
            *(["services", "spec"][: 2 if step.model else 1]), **given
        )


def test_compiling_loads_nothing_heavy() -> None:
    heavy = (
        "airflow",
        "mlflow",
        "pandas",
        "numpy",
        "sklearn",
        "evidently",
        "great_expectations",
        "sqlalchemy",
    )
    code = f"import sys, steward.plan; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
