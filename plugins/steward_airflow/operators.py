"""One operator per kind of step. Each reads its context, calls one action and returns ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Asset, BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from steward.gates import Outcome
from steward.plan import idle
from steward.types import JsonObject
from steward_airflow.calls import call_action
from steward_airflow.gates import Gate
from steward_airflow.links import links_of
from steward_airflow.notices import TELLING, deliver_by_airflow
from steward_airflow.runs import AirflowRun


class ActionOperator(BaseOperator):
    """Calls one action. Shows as skipped, its answer kept, when the action found nothing to do."""

    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        action: str,
        model: str | JsonObject | None,
        arguments: JsonObject,
        idle_without: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.action, self.model, self.arguments = action, model, arguments
        self.idle_without = tuple(idle_without)
        self.operator_extra_links = links_of(action)

    def execute(self, context: Context) -> JsonObject:
        return self.call(context)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Asked by the OpenLineage provider, where one is configured."""
        from steward_airflow.lineage import lineage_of

        return lineage_of(self.action, self.model, getattr(self, "answer", None))

    def call(self, context: Context) -> JsonObject:
        self.answer = call_action(self.action, self.model, self.arguments, AirflowRun(context))
        self.log.info("%s: %s", self.action, self.answer)
        if self.action in TELLING:
            deliver_by_airflow()
        if idle(self.answer, self.idle_without):
            context["ti"].xcom_push(key="return_value", value=self.answer)
            raise AirflowSkipException(f"{self.action} found nothing to do")
        return self.answer


class GateOperator(ActionOperator, Gate):
    """Calls one action whose answer decides whether the steps it guards run."""

    inherits_from_skipmixin = True
    ui_color = "#fff4ce"

    def __init__(self, *, skips: Sequence[str], decides: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.skips, self.decides = tuple(skips), decides

    def execute(self, context: Context) -> JsonObject:
        return self.conclude(context, self.call(context))


class CheckOperator(ActionOperator):
    """Calls one action; red, its answer kept, unless that passed. Nobody finds a proof that failed in a green run."""

    def execute(self, context: Context) -> JsonObject:
        answer = self.call(context)
        if answer["outcome"] != Outcome.PASSED:
            context["ti"].xcom_push(key="return_value", value=answer)
            raise AirflowFailException(f"{answer['outcome']}: {'; '.join(answer['reasons'])}")
        return answer


class RetrainingOperator(ActionOperator):
    """Emits the retraining asset on a yes. A no is recorded by the action, then shown as skipped."""

    ui_color = "#fde7e9"

    def __init__(self, *, asset: str, **kwargs: Any) -> None:
        super().__init__(outlets=[Asset(asset)], **kwargs)
        self.asset = asset

    def execute(self, context: Context) -> JsonObject:
        decision = self.call(context)
        if not decision["requested"]:
            context["ti"].xcom_push(key="return_value", value=decision)
            raise AirflowSkipException(decision["reason"])
        context["outlet_events"][Asset(self.asset)].extra = {
            "reason": decision["reason"],
            "request": decision["request"],
            "detail": decision["detail"],
            "window": AirflowRun(context).answer("judge_window"),
            "run": context["dag_run"].run_id,
        }
        return decision


class BrokenSpecOperator(BaseOperator):
    """Stands where a model's steps would be, and fails with what is wrong with its spec."""

    ui_color = "#d13438"
    ui_fgcolor = "#ffffff"

    def __init__(self, *, faults: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.faults = faults

    def execute(self, context: Context) -> None:
        raise AirflowFailException(self.faults)
