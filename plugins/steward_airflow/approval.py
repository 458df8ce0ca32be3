"""Asking people through Airflow's Required Actions. Airflow is only the screen: the ledger decides.

The wait holds no worker slot. It ends when the ledger has a decision, whichever door it came through: an
answer given here is judged by the action, a decision made elsewhere is seen at the next look.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param
from airflow.sdk.exceptions import TaskAwaitingInput

from steward.errors import ConflictError, UnavailableError
from steward.gates import Outcome
from steward.plan import resolve
from steward.types import JsonObject, parse_instant
from steward_airflow.calls import airflow_errors
from steward_airflow.gates import Gate
from steward_airflow.runs import AirflowRun

APPROVE, REJECT = "Approve", "Reject"
LOOK_EVERY = timedelta(minutes=10)
PAUSE_SECONDS = 10.0
SAY_WHY = "Say why. It is written to the ledger under your name."


class AwaitApproval(HITLOperator, Gate):
    """Parks until people answered, then acts as a gate. An answer that does not count leaves it parked."""

    inherits_from_skipmixin = True
    template_fields = ()
    ui_color = "#fff4ce"

    def __init__(
        self,
        *,
        action: str,
        model: str,
        arguments: JsonObject,
        skips: Sequence[str],
        wait: timedelta,
        **kwargs: Any,
    ) -> None:
        # Airflow hands over the DAG's own fields as `params`; the form that people answer has this one only.
        reason = Param("", type="string", title="Reason", description=SAY_WHY, source="task")
        super().__init__(
            subject=f"Release a new version of {model}?",
            options=[APPROVE, REJECT],
            defaults=REJECT,
            response_timeout=wait,
            **kwargs | {"params": {"reason": reason}},
        )
        self.action, self.model, self.arguments = action, model, arguments
        self.skips, self.wait = tuple(skips), wait

    def execute(self, context: Context) -> JsonObject:
        asked = self._asked(context)
        if not asked["needed"]:
            return {"outcome": Outcome.PASSED.value, "by": [], "reasons": []}
        return self._conclude_or_park(context, asked)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> JsonObject:
        asked, who = self._asked(context), event.get("responded_by_user")
        try:
            if who:
                self._answer(context, asked, who["name"], event)
            elif remaining(asked) <= timedelta(0):
                self._expire(context, asked)
            return self._conclude_or_park(context, asked)
        except UnavailableError as away:
            # Airflow still has the answer on record: parking without asking anew resumes with that answer.
            self.log.warning("Trying again with the answer at hand: %s", away)
            time.sleep(PAUSE_SECONDS)
            raise TaskAwaitingInput(method_name="execute_complete", timeout=LOOK_EVERY) from away

    def _asked(self, context: Context) -> JsonObject:
        """What `request_approval` answered. A step marked successful by hand has asked nobody."""
        run = AirflowRun(context)
        with airflow_errors():
            resolve(self.arguments["request"], run)
        return run.answer(self.arguments["request"]["from"]) or {}

    def _answer(self, context: Context, asked: JsonObject, who: str, event: dict[str, Any]) -> None:
        from steward import actions, wiring

        said: JsonObject = {
            "request": asked["request"],
            "evidence": asked["evidence"],
            "via": "airflow",
            "by": who,
            "approved": event["chosen_options"] == [APPROVE],
            "reason": str((event.get("params_input") or {}).get("reason") or ""),
        }
        try:
            with airflow_errors():
                judged = actions.answer_approval(wiring.services(), **said)
        except ConflictError as known:
            judged = {"counted": False, "message": str(known)}
        self.log.info("%s: %s", "Counted" if judged["counted"] else "Does not count", judged["message"])
        context["ti"].xcom_push(key="last_answer", value={**said, **judged})

    def _expire(self, context: Context, asked: JsonObject) -> None:
        from steward import actions, wiring

        with airflow_errors():
            actor = AirflowRun(context).actor
            actions.expire_approval(wiring.services(), request=asked["request"], actor=actor)

    def _conclude_or_park(self, context: Context, asked: JsonObject) -> JsonObject:
        decided = decision(asked["request"])
        if decided is not None:
            return self.conclude(context, decided)
        self.subject, self.body = asked["subject"], asked["body"]
        self.params["reason"] = ""  # Airflow fills it with the run's own reason, which is not the approver's
        self.response_timeout = max(timedelta(seconds=1), min(remaining(asked), self.wait, LOOK_EVERY))
        return super().execute(context)


def remaining(asked: JsonObject) -> timedelta:
    """Until the request expires, by the calendar the models live in."""
    from steward import wiring

    return parse_instant(asked["expires_at"]) - wiring.clock().now()


def decision(request: str) -> JsonObject | None:
    """What the ledger says of a request; None while it is open."""
    from steward import wiring
    from steward.approval import RequestState

    with wiring.database().begin() as tx:
        state, answers = tx.approvals.get(request).state, tx.approvals.answers(request)
    if state is RequestState.OPEN:
        return None
    passed = state is RequestState.APPROVED
    said = [f"{state.value}: {answer.reason}" for answer in answers] or [state.value]
    return {
        "outcome": (Outcome.PASSED if passed else Outcome.FAILED).value,
        "state": state.value,
        "by": [answer.by for answer in answers],
        "reasons": [] if passed else said,
    }
