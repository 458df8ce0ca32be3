"""A spec compiles to a plan: steps, edges, gates and schedules as plain data."""

from steward.plan.arguments import RunView, resolve
from steward.plan.compiler import compile_plan, retraining_asset
from steward.plan.portfolio import portfolio_plans
from steward.plan.steps import DagPlan, Plan, Schedule, Step, StepKind, TriggerRule, idle, proceeds

__all__ = [
    "DagPlan",
    "Plan",
    "RunView",
    "Schedule",
    "Step",
    "StepKind",
    "TriggerRule",
    "compile_plan",
    "idle",
    "portfolio_plans",
    "proceeds",
    "resolve",
    "retraining_asset",
]
