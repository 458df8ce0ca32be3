"""`make demo`: the life of one model, from an empty machine to a verified ledger."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from steward.clock import ReplayClock
from steward.demo.display import Narrator
from steward.errors import StewardError
from steward.local import Stack

FIRST_MORNING = datetime(2013, 4, 1, 6, tzinfo=UTC)  # the day after the training quarter
REPORT = Path("demo-report.html")


def main() -> int:
    narrator = Narrator()
    try:
        _tell(narrator)
    except StewardError as error:
        narrator.console.print(f"\n[bold red]The story stopped.[/bold red] {error}", highlight=False)
        narrator.console.print("The stack is still up for a look; `make stop` ends it, logs are in .steward/logs.")
        return error.exit_code
    except KeyboardInterrupt:
        narrator.console.print("\nInterrupted. The stack is still up; `make stop` ends it.")
        return 130
    return 0


def _tell(narrator: Narrator) -> None:
    stack = _fresh_stack(narrator)
    narrator.chapter("PostgreSQL, MLflow, Airflow and the model server start")
    with narrator.waiting("starting"):
        stack.up(lambda event: narrator.update(f"{event.service}: {event.state}"))
    narrator.say(f"Airflow {stack.urls.airflow} · MLflow {stack.urls.mlflow} · model server {stack.urls.server}")
    os.environ.update(stack.env())
    from steward.demo.telling import tell

    tell(stack, narrator, REPORT)


def _fresh_stack(narrator: Narrator) -> Stack:
    """An earlier demo's folder is kept under another name: a story starts with an empty ledger."""
    home = Path(os.environ.get("STEWARD_HOME", ".steward")).resolve()
    if home.exists():
        Stack(home).stop()
        kept = home.with_name(f"{home.name}.{datetime.now(UTC):%Y%m%d-%H%M%S}")
        home.rename(kept)
        narrator.console.print(f"What an earlier run left is kept in {kept.name}; `make clean` removes it.")
    home.mkdir(parents=True)
    stack = Stack(home)
    ReplayClock(stack.home.calendar).set(FIRST_MORNING)
    return stack


if __name__ == "__main__":
    sys.exit(main())
