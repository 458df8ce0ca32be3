"""Situations as tests want them: a champion of ten days, nothing going on, each fact one argument away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from steward.gates import Outcome
from steward.monitoring.windows import Cause, JudgedWindow
from steward.retraining import RetrainingHistory, Situation
from steward.spec.retraining import Retraining
from steward.types import Window

START = datetime(2013, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = START + 10 * DAY
POLICY = Retraining.model_validate(
    {"when": {"failed_windows": 2, "of": 3}, "cooldown": "3d", "budget": {"runs": 4, "per": "30d", "cpu_hours": 2}}
)
GOOD: tuple[Cause, ...] = ()
LOSS = (Cause.PERFORMANCE,)


def judged(end: datetime, causes: Sequence[Cause], version: int = 1, data: Outcome | None = None) -> JudgedWindow:
    """A week that ends at `end`; its data passed, unless that is among the causes or `data` says otherwise."""
    outcome = Outcome.FAILED if causes else Outcome.PASSED
    outcomes = {
        Cause.DATA: data or (Outcome.FAILED if Cause.DATA in causes else Outcome.PASSED),
        **dict.fromkeys(causes, Outcome.FAILED),
    }
    return JudgedWindow(
        "flight_delays", version, Window.ending(end, 7 * DAY), outcome, tuple(causes), "evidence", end, outcomes
    )


def windows(*causes: Sequence[Cause], version: int = 1) -> list[JudgedWindow]:
    """One a day, the newest of today."""
    count = len(causes)
    return [judged(NOW - (count - 1 - place) * DAY, found, version) for place, found in enumerate(causes)]


def policy(**changes: Any) -> Retraining:
    return Retraining.model_validate({**POLICY.model_dump(mode="json", exclude_none=True), **changes})


def situation(*causes: Sequence[Cause], history: dict[str, Any] | None = None, **changes: Any) -> Situation:
    given = {"windows": windows(*causes), "history": replace(RetrainingHistory(), **(history or {}))}
    plain = Situation("flight_delays", POLICY, NOW, champion=1)
    return replace(plain, **{**given, **changes})
