"""A gate that says no: its task succeeds, keeps its answer, and what it guards is skipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context
from airflow.sdk.bases.skipmixin import SkipMixin

from steward.plan import proceeds
from steward.types import JsonObject


class Gate(SkipMixin):
    """Mixed into operators, which must repeat `inherits_from_skipmixin`: Airflow's base sets it to False.

    Skipping all that the plan names at once spares the scheduler a round per step.
    """

    skips: Sequence[str] = ()
    decides: str | None = None

    def conclude(self, context: Context, result: JsonObject) -> JsonObject:
        """The answer or, on a no, the signal that skips. A signal carries no answer: that is kept first."""
        if proceeds(result, self.decides):
            return result
        self.log.info("Stops here: %s", "; ".join(result.get("reasons", ())) or result)
        context["ti"].xcom_push(key="return_value", value=result)
        self.skip(context["ti"], guarded(context["task"], self.skips))
        return result


def guarded(task: Any, skips: Sequence[str]) -> list[Any]:
    return [task.dag.get_task(task_id) for task_id in skips]
