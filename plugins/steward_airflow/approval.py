"""Asking people through Airflow's Required Actions. Airflow is only the screen: the ledger decides.

The wait holds no worker slot. It ends when the ledger has a decision, whichever door it came through: an answer
given here is judged by the action, a decision made elsewhere is seen at the next look.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

log = logging.getLogger(__name__)
SHOWN = "shown_evidence"
LOOK_EVERY = timedelta(minutes=10)
PAUSE_SECONDS = 10.0


class AwaitApproval(HITLOperator, Gate):
    """Parks until people answered, then acts as a gate. An answer that does not count leaves it parked.

    Each time it parks it shows the evidence as it is then, and takes an answer as one to what was shown.
    """

    inherits_from_skipmixin = True
    template_fields = ()
    ui_color = "#fff4ce"

    def __init__(
        self, *, model: str, arguments: JsonObject, skips: Sequence[str], wait: timedelta, **kwargs: Any
    ) -> None:
        # Airflow hands over the DAG's own fields as `params`; the form that people answer has this one only.
        form: dict[str, Any] = {"options": [APPROVE, REJECT], "defaults": REJECT, "params": {"reason": reason_field()}}
        super().__init__(subject=f"Release a new version of {model}?", response_timeout=wait, **kwargs | form)
        self.arguments, self.skips, self.wait = arguments, tuple(skips), wait

    def execute(self, context: Context) -> JsonObject:
        return self._conclude_or_park(context, self._request(context))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> JsonObject:
        request, who = self._request(context), event.get("responded_by_user")
        request.evidence = self._shown(context) or request.evidence
        with kept_while_away():
            if who:
                context["ti"].xcom_push(key="last_answer", value=request.answer(who["name"], event))
            elif request.remaining <= timedelta(0):
                request.expire(AirflowRun(context).actor)
            return self._conclude_or_park(context, request)

    def _request(self, context: Context) -> ApprovalRequest:
        """Raises when nobody was asked: a step marked successful by hand leaves no answer."""
        run, reference = AirflowRun(context), self.arguments["request"]
        with airflow_errors():
            resolve(reference, run)
        return ApprovalRequest(run.answer(reference["from"]) or {})

    def _conclude_or_park(self, context: Context, request: ApprovalRequest) -> JsonObject:
        decided = request.decision()
        if decided is not None:
            return self.conclude(context, decided)
        request.look_again(AirflowRun(context).actor)
        self.subject, self.body = request.subject, request.body
        self.params["reason"] = ""  # Airflow fills it with the run's own reason, which is not the approver's
        self.params["evidence"] = evidence_field(request.evidence)
        context["ti"].xcom_push(key=SHOWN, value=request.evidence)
        self.response_timeout = max(timedelta(seconds=1), min(request.remaining, self.wait, LOOK_EVERY))
        return super().execute(context)

    def _shown(self, context: Context) -> str | None:
        """What the page on the screen was bound to; an answer without the form's own digest is to that."""
        return context["ti"].xcom_pull(task_ids=self.task_id, key=SHOWN)


def evidence_field(digest: str) -> Param:
    """Not shown (a constant), but sent along with the answer by whoever had the page open."""
    return Param(digest, type="string", const=digest, title="Evidence", source="task")


def reason_field() -> Param:
    said = "Say why. It is written to the ledger under your name."
    return Param("", type="string", title="Reason", description=said, source="task")


@contextmanager
def kept_while_away() -> Iterator[None]:
    """Keep a person's answer while the ledger cannot be reached.

    Airflow has it on record until the question is asked anew; parking without asking resumes with that same answer.
    """
    try:
        yield
    except UnavailableError as away:
        log.warning("Trying again with the answer at hand: %s", away)
        time.sleep(PAUSE_SECONDS)
        raise TaskAwaitingInput(method_name="execute_complete", timeout=LOOK_EVERY) from away
