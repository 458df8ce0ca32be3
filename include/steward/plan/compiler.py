"""Spec in, plan out. Pure: the same spec gives the same plan, and a reviewer reads the golden files."""

from __future__ import annotations

from steward.plan.documents import monitoring_document, needs_people, scoring_document, training_document
from steward.plan.forms import monitoring_form, scoring_form, training_form
from steward.plan.monitor_run import monitor_steps
from steward.plan.scoring_run import scoring_steps
from steward.plan.steps import DagPlan, Plan, Schedule, Step
from steward.plan.training_run import training_steps
from steward.spec.model import ModelSpec
from steward.types import JsonObject

TRAIN, MONITOR, SCORE = "train", "monitor", "score"


def retraining_asset(model: str) -> str:
    """Name of the asset whose event starts the model's training."""
    return f"{model}__retraining"


def compile_plan(spec: ModelSpec) -> Plan:
    score = _score(spec) if spec.deployment.target == "batch" else None
    return Plan(model=spec.model, spec_digest=spec.digest, train=_train(spec), monitor=_monitor(spec), score=score)


def _train(spec: ModelSpec) -> DagPlan:
    schedule = Schedule(cron=spec.retraining.schedule, asset=retraining_asset(spec.model))
    steps = training_steps(spec, with_approval=needs_people(spec))
    return _dag(spec, TRAIN, training_document(spec), schedule, training_form(spec), steps)


def _monitor(spec: ModelSpec) -> DagPlan:
    schedule = Schedule(cron=spec.monitoring.schedule)
    steps = monitor_steps(spec, retraining_asset(spec.model))
    return _dag(spec, MONITOR, monitoring_document(spec), schedule, monitoring_form(), steps)


def _score(spec: ModelSpec) -> DagPlan:
    schedule = Schedule(cron=spec.deployment.scoring.schedule)
    return _dag(spec, SCORE, scoring_document(spec), schedule, scoring_form(spec), scoring_steps(spec))


def _dag(
    spec: ModelSpec, verb: str, doc: str, schedule: Schedule, params: JsonObject, steps: tuple[Step, ...]
) -> DagPlan:
    return DagPlan(
        id=f"{spec.model}__{verb}",
        title=f"{spec.model} · {verb}",
        doc=doc,
        schedule=schedule,
        params=params,
        tags=("steward", str(spec.risk_tier), f"team:{spec.owner.team}"),
        owner=spec.owner.team,
        owner_link=f"mailto:{spec.owner.email}",
        steps=steps,
    )
