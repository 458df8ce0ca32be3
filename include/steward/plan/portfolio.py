"""Graphs that belong to no single model: the nightly audit, and the rollback by hand."""

from __future__ import annotations

from datetime import timedelta

from steward.plan.arguments import field_of_run
from steward.plan.forms import rollback_form
from steward.plan.steps import DagPlan, Schedule, Step, TriggerRule

OWNER, TAGS = "steward", ("steward", "portfolio")


def portfolio_plans(models: tuple[str, ...]) -> tuple[DagPlan, ...]:
    """`models` fill the choice of the rollback form. No model, no rollback."""
    return (_audit(), _rollback(models)) if models else (_audit(),)


def _audit() -> DagPlan:
    verify = Step(
        "verify_ledger",
        "verify_ledger",
        "Recomputes the hash chain and sets a checkpoint; an altered event ends this run red.",
        timeout=timedelta(minutes=30),
    )
    reassert = Step(
        "reassert_aliases",
        "reassert_aliases",
        "Sets the registry's aliases to what the ledger says and reports any that were moved by hand.",
        after=("verify_ledger",),
        trigger=TriggerRule.ALL_SUCCESS,
    )
    return DagPlan(
        id="steward__audit",
        title="Steward · nightly audit",
        doc="# Nightly audit\n\nVerifies the ledger, sets a checkpoint and puts moved aliases right.",
        schedule=Schedule(cron="30 2 * * *"),
        params={},
        tags=TAGS,
        owner=OWNER,
        owner_link=None,
        steps=(verify, reassert),
    )


def _rollback(models: tuple[str, ...]) -> DagPlan:
    step = Step(
        "roll_back",
        "roll_back",
        "Puts the recorded previous champion back on all traffic.",
        model=field_of_run("model"),
        arguments={"reason": field_of_run("reason")},
    )
    return DagPlan(
        id="steward__rollback",
        title="Steward · roll back",
        doc="# Roll back\n\nReturns a model to the champion recorded before. Trigger it and say why.",
        schedule=Schedule(),
        params=rollback_form(models),
        tags=TAGS,
        owner=OWNER,
        owner_link=None,
        steps=(step,),
    )
