"""What a step may ask of the Airflow run it is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow.sdk import Context

from steward.types import JsonObject


class AirflowRun:
    """The run behind a task's context, as `steward.plan.resolve` wants to see it."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.dag_run = context["dag_run"]

    @property
    def id(self) -> str:
        return self.dag_run.run_id

    @property
    def actor(self) -> str:
        """The person who triggered the run; for an automatic run, the DAG itself."""
        return f"airflow:{self.dag_run.triggering_user_name or self.dag_run.dag_id}"

    def answer(self, step: str) -> JsonObject | None:
        return self.context["ti"].xcom_pull(task_ids=step)

    def field(self, name: str) -> Any:
        if name == "as_of":
            return self._as_of()
        if name == "reason":
            return self._reason()
        if name == "began":
            return self._began()
        return self.context["params"][name]

    def door(self, step: str) -> JsonObject:
        """Where to answer: the path of the task in Airflow's REST API is made of these four."""
        return {"dag_id": self.dag_run.dag_id, "run_id": self.id, "task_id": step, "map_index": -1}

    def _as_of(self) -> str | None:
        """The form's date; a scheduled run, or one of a backfill, takes its own: late or repeated, it sees the same
        window."""
        if chosen := self.context["params"].get("as_of"):
            return str(chosen)
        end = self.dag_run.data_interval_end
        return end.isoformat() if self.dag_run.run_type in ("scheduled", "backfill") and end else None

    def _reason(self) -> str:
        given = self.context["params"].get("reason")
        return given or "; ".join(self._event_reasons()) or f"{self.dag_run.run_type} run"

    def _began(self) -> JsonObject:
        """What made the run: requests of the controller by their event in the ledger, the clock, or a person."""
        if self.dag_run.run_type == "asset_triggered":
            return {"trigger": "request", "requests": list(self._requests())}
        if self.dag_run.run_type == "scheduled":
            return {"trigger": "schedule"}
        return {"trigger": "manual", "reason": self.context["params"].get("reason") or ""}

    def _requests(self) -> Iterator[int]:
        """Anybody may emit an asset event: what it cites is looked up before it counts."""
        for events in self.context.get("triggering_asset_events", {}).values():
            yield from (number for event in events if isinstance(number := (event.extra or {}).get("request"), int))

    def _event_reasons(self) -> Iterator[str]:
        """Asset events coalesce: one run may answer several requests."""
        for events in self.context.get("triggering_asset_events", {}).values():
            for event in events:
                yield str((event.extra or {}).get("reason", f"asset event of {event.source_run_id}"))
