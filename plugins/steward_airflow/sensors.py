"""Waiting until an action's answer is final: a canary judged, a model that nobody asks any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator, Context, PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout

from steward.errors import UnavailableError
from steward.gates import Outcome
from steward.types import JsonObject
from steward_airflow.calls import call_action
from steward_airflow.gates import Gate
from steward_airflow.runs import AirflowRun

RELEASE_SLOT_FROM = timedelta(seconds=30)


def told(answer: JsonObject) -> Iterator[str]:
    """A look in the task's log: what was seen, and one line per finding where there are any."""
    seen = f"{answer['requests']} requests: " if "requests" in answer else ""
    findings = answer.get("findings", [])
    if not findings:
        yield f"{seen}{'; '.join(answer['reasons']) or answer['outcome']}"
        return
    yield f"{seen}{answer['outcome']}"
    gate, outcome = (max(len(str(finding[key])) for finding in findings) for key in ("gate", "outcome"))
    for finding in findings:
        yield f"  {finding['gate']:<{gate}}  {finding['outcome']:<{outcome}}  {finding['reason']}"


class VerdictSensor(BaseSensorOperator, Gate):
    """Asks an action until its answer is final, then acts as a gate. Frequent looks keep the worker slot.

    Running out of time is a no, not a fault. A long wait outlives a service that is away: it looks again later.
    """

    inherits_from_skipmixin = True
    ui_color = "#fff4ce"

    def __init__(
        self,
        *,
        action: str,
        model: str | JsonObject,
        arguments: JsonObject,
        skips: Sequence[str],
        wait: timedelta,
        poll: timedelta,
        **kwargs: Any,
    ) -> None:
        mode = "poke" if poll < RELEASE_SLOT_FROM else "reschedule"
        super().__init__(poke_interval=poll, timeout=wait, mode=mode, **kwargs)
        self.action, self.model, self.arguments = action, model, arguments
        self.skips = tuple(skips)

    def poke(self, context: Context) -> PokeReturnValue:
        try:
            answer = call_action(self.action, self.model, self.arguments, AirflowRun(context))
        except UnavailableError as away:
            if self.mode == "poke":
                raise
            self.log.warning("Looks again later: %s", away)
            return PokeReturnValue(is_done=False)
        for line in told(answer):
            self.log.info("%s", line)
        return PokeReturnValue(is_done=bool(answer["final"]), xcom_value=answer)

    def execute(self, context: Context) -> JsonObject:
        try:
            answer = super().execute(context)
        except AirflowSensorTimeout as late:
            answer = {
                "outcome": Outcome.INCONCLUSIVE.value,
                "final": True,
                "reasons": [f"no verdict in time: {late}"],
            }
        return self.conclude(context, answer)
