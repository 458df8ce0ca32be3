"""Plan in, DAG out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, BaseOperator, CronTriggerTimetable, Param, TaskGroup

from steward.errors import SpecError
from steward.plan import DagPlan, Schedule, Step, StepKind
from steward_airflow.approval import AwaitApproval
from steward_airflow.notices import StewardNotifier
from steward_airflow.operators import ActionOperator, CheckOperator, GateOperator, RetrainingOperator
from steward_airflow.sensors import VerdictSensor

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)  # tasks of a run dated before it would not exist: a replay goes far back
OPERATORS: dict[StepKind, type[BaseOperator]] = {
    StepKind.ACTION: ActionOperator,
    StepKind.GATE: GateOperator,
    StepKind.APPROVAL: AwaitApproval,
    StepKind.SENSOR: VerdictSensor,
    StepKind.CHECK: CheckOperator,
    StepKind.RETRAINING: RetrainingOperator,
}
_OWN_FIELDS: dict[StepKind, tuple[str, ...]] = {
    StepKind.ACTION: ("action", "idle_without"),
    StepKind.GATE: ("action", "idle_without", "skips", "decides"),
    StepKind.APPROVAL: ("skips", "wait"),
    StepKind.SENSOR: ("action", "skips", "wait", "poll"),
    StepKind.CHECK: ("action",),
    StepKind.RETRAINING: ("action", "asset"),
}


def render(plan: DagPlan, *, timed: bool = True, links: Mapping[str, str] | None = None) -> DAG:
    """`timed=False` leaves clock schedules out, for a replayed calendar; asset schedules stay.

    `links`, title to address, are added to the document people read beside the graph.
    """
    dag = DAG(
        dag_id=plan.id,
        dag_display_name=plan.title,
        doc_md=plan.doc + _see_also(links or {}),
        schedule=_schedule(plan.schedule, timed),
        start_date=BEGINNING,
        catchup=False,
        max_active_runs=plan.at_once,
        params={name: _param(schema) for name, schema in plan.params.items()},
        tags=set(plan.tags),
        default_args={"owner": plan.owner},
        owner_links={plan.owner: plan.owner_link} if plan.owner_link else {},
    )
    groups = {name: TaskGroup(name, dag=dag) for name in dict.fromkeys(s.group for s in plan.steps) if name is not None}
    tasks = {step.id: _task(step, dag, groups) for step in plan.steps}
    for step in plan.steps:
        tasks[step.id].set_upstream([tasks[before] for before in step.after])
    return dag


def _see_also(links: Mapping[str, str]) -> str:
    return "\nSee also: " + ", ".join(f"[{name}]({url})" for name, url in links.items()) if links else ""


def _task(step: Step, dag: DAG, groups: dict[str, TaskGroup]) -> BaseOperator:
    fields: dict[str, Any] = {name: getattr(step, name) for name in _OWN_FIELDS[step.kind]}
    return OPERATORS[step.kind](
        dag=dag,
        task_id=step.name,
        task_group=groups[step.group] if step.group else None,
        doc_md=step.doc,
        model=step.model,
        arguments=step.arguments,
        trigger_rule=step.trigger.value,
        retries=step.retries,
        retry_delay=step.retry_delay,
        retry_exponential_backoff=True,
        execution_timeout=step.timeout,
        on_failure_callback=StewardNotifier(step.model if isinstance(step.model, str) else None),
        **fields,
    )


def _schedule(schedule: Schedule, timed: bool) -> Any:
    clock = _clock(schedule.cron) if schedule.cron and timed else None
    assets = Asset(schedule.asset) if schedule.asset else None
    if clock and assets:
        return AssetOrTimeSchedule(timetable=clock, assets=assets)
    return clock or ([assets] if assets else None)


def _clock(cron: str) -> CronTriggerTimetable:
    """Airflow would judge the expression only when it stores the DAG, and take the whole file down with it."""
    from croniter import croniter  # type: ignore[import-untyped]

    if not croniter.is_valid(cron):
        hint = "write five fields, minute hour day month weekday, or @hourly, @daily, @weekly"
        raise SpecError(f"{cron!r} is no cron expression", hint=hint)
    return CronTriggerTimetable(cron, timezone="UTC")


def _param(schema: dict[str, Any]) -> Param:
    fields = dict(schema)
    if "default" in fields:
        return Param(fields.pop("default"), **fields)
    return Param(**fields)
