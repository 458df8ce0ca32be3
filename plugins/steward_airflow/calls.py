"""Calling one action from a task: Airflow's retry rules applied to Steward's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from steward.errors import ConflictError, StewardError, UnavailableError
from steward.plan import resolve
from steward.types import JsonObject

if TYPE_CHECKING:
    from steward_airflow.runs import AirflowRun

TRY_AGAIN = (UnavailableError, ConflictError)
WAYS_BACK = ("roll_back", "prove_rollback", "rehearse_rollback", "settle_rollout")


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Only what may pass by itself is tried again; any other error of Steward fails the task at once."""
    try:
        yield
    except TRY_AGAIN:
        raise
    except StewardError as error:
        raise AirflowFailException(str(error)) from error


def call_action(action: str, model: str | JsonObject | None, arguments: JsonObject, run: AirflowRun) -> JsonObject:
    """Call `steward.actions.<action>` with the references in `arguments` resolved in this run.

    A portfolio action (no model) is told only who calls it.
    """
    from steward import actions, wiring

    function = getattr(actions, action)
    with airflow_errors():
        given = {name: resolve(value, run) for name, value in arguments.items()}
        if model is None:
            return function(wiring.services(), actor=run.actor, **given)
        find = wiring.spec_to_go_back if action in WAYS_BACK else wiring.specs().get
        spec = find(resolve(model, run))
        return function(wiring.services(), spec, run=run.id, actor=run.actor, **given)
