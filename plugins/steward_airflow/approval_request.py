"""One request for approval, as the ledger knows it: its answers, its end, and what an answer given here becomes."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from steward.errors import ConflictError
from steward.gates import Outcome
from steward.types import JsonObject, parse_instant
from steward_airflow.calls import airflow_errors

log = logging.getLogger(__name__)
APPROVE, REJECT = "Approve", "Reject"


class ApprovalRequest:
    """What `request_approval` answered, and what can be asked of the ledger about it."""

    def __init__(self, asked: JsonObject) -> None:
        self.id, self.needed, self.evidence = asked["request"], asked["needed"], asked["evidence"]
        self.subject, self.body, self.expires_at = asked["subject"], asked["body"], asked["expires_at"]

    def look_again(self, actor: str) -> None:
        """Take the page and the evidence of the present binding: documents and waivers come while people think."""
        from steward import actions, wiring

        with airflow_errors():
            shown = actions.show_request(wiring.services(), request=self.id, actor=actor)
        self.subject, self.body, self.evidence = shown["subject"], shown["body"], shown["evidence"]

    @property
    def remaining(self) -> timedelta:
        """Until it expires, by the calendar the models live in."""
        from steward import wiring

        return parse_instant(self.expires_at) - wiring.clock().now()

    def decision(self) -> JsonObject | None:
        """What the ledger says, as a gate's answer; None while people may still answer."""
        from steward import wiring
        from steward.approval import RequestState

        if not self.needed:
            return {"outcome": Outcome.PASSED.value, "state": "not needed", "by": [], "reasons": []}
        with wiring.database().begin() as tx:
            state, answers = tx.approvals.get(self.id).state, tx.approvals.answers(self.id)
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

    def answer(self, by: str, event: dict[str, Any]) -> JsonObject:
        """Hand a person's answer to the action that judges it. Airflow enforces neither its form nor the policy.

        The form carries the digest of the page it stood on: an answer on a page that was overtaken does not count.
        """
        from steward import actions, wiring

        approved = event["chosen_options"] == [APPROVE]
        form = event.get("params_input") or {}
        reason, evidence = str(form.get("reason") or ""), str(form.get("evidence") or self.evidence)
        said = {"by": by, "approved": approved, "reason": reason}
        try:
            with airflow_errors():
                judged = actions.answer_approval(
                    wiring.services(), request=self.id, evidence=evidence, via="airflow", **said
                )
        except ConflictError as known:
            judged = {"counted": False, "message": str(known)}
        log.info("%s: %s", "Counted" if judged["counted"] else "Does not count", judged["message"])
        return {**said, **judged}

    def expire(self, actor: str) -> None:
        from steward import actions, wiring

        with airflow_errors():
            actions.expire_approval(wiring.services(), request=self.id, actor=actor)
