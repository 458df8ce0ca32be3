"""Training runs as people see them: started or found, watched, answered, and checked for how they ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from steward.adapters.airflow_rest import AirflowClient
from steward.demo.display import Narrator
from steward.errors import ConflictError, PolicyError, StewardError
from steward.types import JsonObject

OVER = {"success", "failed"}
SETTLING = 2.0  # Airflow wants a moment between asking and being answered


class StoryError(StewardError):
    """A step of the story did not happen."""


def require(true: bool, otherwise: str) -> None:
    """Raises StoryError with `otherwise` for what should be true and is not."""
    if not true:
        raise StoryError(otherwise, where="the story", hint="see the runs in Airflow and $STEWARD_HOME/logs")


@dataclass
class TrainingRun:
    """One run of `<model>__train`, looked at through Airflow."""

    airflow: AirflowClient
    narrator: Narrator
    dag: str
    run: str
    patience: float = 240.0

    def state(self) -> str:
        return str(self.airflow.run(self.dag, self.run)["state"])

    def answer(self, task: str) -> JsonObject:
        """What a finished task returned."""
        value = self.airflow.xcom(self.dag, self.run, task)
        return value if isinstance(value, dict) else {}

    def task_states(self) -> dict[str, str | None]:
        return {task["task_id"]: task["state"] for task in self.airflow.tasks(self.dag, self.run)}

    def wait_for(self, what: str, done: Callable[[dict[str, str | None]], bool]) -> dict[str, str | None]:
        """Poll until `done(task states)`. Raises StoryError when the run fails or it takes too long."""
        deadline = time.monotonic() + self.patience
        with self.narrator.waiting(what):
            while time.monotonic() < deadline:
                states = self.task_states()
                self.narrator.update(f"{what} ({_present(states)})")
                if done(states):
                    return states
                if self.state() in OVER:
                    states = self.task_states()
                    if done(states):
                        return states
                    raise StoryError(
                        f"the run ended before: {what}",
                        where=f"{self.dag} / {self.run}",
                        hint=_failed(states),
                    )
                time.sleep(0.7)
        raise StoryError(
            f"waited {self.patience:.0f} s for: {what}", where=f"{self.dag} / {self.run}", hint=str(states)
        )

    def wait_end(self, what: str) -> dict[str, str | None]:
        """Raises StoryError when it ended in any way but success."""
        states = self.wait_for(what, lambda states: self.state() in OVER)
        if self.state() != "success":
            raise StoryError("the run ended red", where=f"{self.dag} / {self.run}", hint=_failed(states))
        return states

    def wait_question(self) -> None:
        """Until the run asks for approval (or ends without asking)."""
        self.wait_for(
            "waiting for the approval request",
            lambda states: states.get("await_approval") == "awaiting_input",
        )
        time.sleep(SETTLING)

    def respond(self, client: AirflowClient, option: str, reason: str) -> None:
        client.respond(self.dag, self.run, "await_approval", option, {"reason": reason})

    def refused_response(self, client: AirflowClient, option: str, reason: str) -> None:
        """Answer as somebody who may not, and wait until the question is open again."""
        try:
            self.respond(client, option, reason)
        except (PolicyError, ConflictError):
            return
        time.sleep(SETTLING)
        self.wait_question()


def _present(states: dict[str, str | None]) -> str:
    running = [task for task, state in states.items() if state not in (None, "success", "skipped")]
    return ", ".join(running) or "starting"


def _failed(states: dict[str, str | None]) -> str:
    bad = [task for task, state in states.items() if state in ("failed", "upstream_failed")]
    return f"see the log of {', '.join(bad)} in Airflow" if bad else "see the run in Airflow"
