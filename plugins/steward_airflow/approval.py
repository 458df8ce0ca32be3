"""Asking people through Airflow's Required Actions. Airflow is only the screen: the ledger decides.

The wait holds no worker slot. It ends when the ledger has a decision, whichever door it came through: an answer
given here is judged by the action, a decision made elsewhere is seen at the next look.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param
from airflow.sdk.exceptions import TaskAwaitingInput

from steward.errors import UnavailableError
from steward.plan import resolve
from steward.types import JsonObject
from steward_airflow.approval_request import APPROVE, REJECT, ApprovalRequest
from steward_airflow.calls import airflow_errors
from steward_airflow.gates import Gate
from steward_airflow.runs import AirflowRun

LOOK_EVERY = timedelta(minutes=10)
PAUSE_SECONDS = 10.0


class AwaitApproval(HITLOperator, Gate):
    """Parks until people answered, then acts as a gate. An answer that does not count leaves it parked."""

    inherits_from_skipmixin = True
    template_fields = ()
    ui_color = "#fff4ce"

    def __init__(self, *, model: str, arguments: JsonObject, skips: Sequence[str], wait: timedelta, **kwargs: Any) -> None:
        # Airflow hands over the DAG's own fields as `params`; the form that people answer has this one only.
        form = {"params": {"reason": reason_field()}}
        about = {"subject": f"Release a new version of {model}?", "options": [APPROVE, REJECT], "defaults": REJECT}
        super().__init__(response_timeout=wait, **about, **kwargs | form)
        self.arguments, self.skips, self.wait = arguments, tuple(skips), wait

    def execute(self, context: Context) -> JsonObject:
        return self._conclude_or_park(context, self._request(context))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> JsonObject:
        request, who = self._request(context), event.get("responded_by_user")
        with kept_while_away(self):
            if who:
                answered = request.answer(who["name"], event)
                self.log.info("%s: %s", "Counted" if answered["counted"] else "Does not count", answered["message"])
                context["ti"].xcom_push(key="last_answer", value=answered)
            elif request.remaining <= timedelta(0):
                request.expire(AirflowRun(context).actor)
            return self._conclude_or_park(context, request)
