"""Spec in, plan out. Pure: the same spec gives the same plan, and a reviewer reads the golden files."""

from __future__ import annotations

from steward.plan.documents import monitoring_document, needs_people, scoring_document, training_document
from steward.plan.forms import monitoring_form, scoring_form, training_form
from steward.plan.monitor_run import monitor_steps
from steward.plan.scoring_run import scoring_steps
from steward.plan.steps import DagPlan, Plan, Schedule
from steward.plan.training_run import training_steps
from steward.spec.model import ModelSpec

TRAIN, MONITOR, SCORE = "train", "monitor", "score"


def retraining_asset(model: str) -> str:
    """Name of the asset whose event starts the model's training."""
    return f"{model}__retraining"


def compile_plan(spec: ModelSpec) -> Plan:
    score = _score(spec) if spec.deployment.target == "batch" else None
    return Plan(model=spec.model, spec_digest=spec.digest, train=_train(spec), monitor=_monitor(spec), score=score)


def _train(spec: ModelSpec) -> DagPlan:
    return DagPlan(
        id=f"{spec.model}__{TRAIN}",
        title=f"{spec.model} · train",
        doc=training_document(spec),
        schedule=Schedule(cron=spec.retraining.schedule, asset=retraining_asset(spec.model)),
        params=training_form(spec),
        tags=_tags(spec),
        owner=spec.owner.team,
        owner_link=f"mailto:{spec.owner.email}",
        steps=training_steps(spec, with_approval=needs_people(spec)),
    )


def _monitor(spec: ModelSpec) -> DagPlan:
    return DagPlan(
        id=f"{spec.model}__{MONITOR}",
        title=f"{spec.model} · monitor",
        doc=monitoring_document(spec),
        schedule=Schedule(cron=spec.monitoring.schedule),
        params=monitoring_form(),
        tags=_tags(spec),
        owner=spec.owner.team,
        owner_link=f"mailto:{spec.owner.email}",
        steps=monitor_steps(spec, retraining_asset(spec.model)),
    )


def _score(spec: ModelSpec) -> DagPlan:
    return DagPlan(
        id=f"{spec.model}__{SCORE}",
        title=f"{spec.model} · score",
        doc=scoring_document(spec),
        schedule=Schedule(cron=spec.deployment.scoring.schedule),
        params=scoring_form(spec),
        tags=_tags(spec),
        owner=spec.owner.team,
        owner_link=f"mailto:{spec.owner.email}",
        steps=scoring_steps(spec),
    )


def _tags(spec: ModelSpec) -> tuple[str, ...]:
    return ("steward", str(spec.risk_tier), f"team:{spec.owner.team}")
