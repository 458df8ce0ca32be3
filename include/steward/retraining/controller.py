"""Decides whether judged windows start a training. Pure: the caller brings windows, history and time.

Drift without loss asks for nothing; broken data never does. Every safeguard may say no, with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from steward.gates import Outcome
from steward.spec.fields import format_duration
from steward.spec.retraining import Retraining
from steward.types import JsonObject, Window, format_instant

# The causes of a judged window that matter here, as `steward.monitoring.windows.Cause` spells them.
DATA, PERFORMANCE = "data", "performance"


class Judged(Protocol):
    """What the controller reads of a judged window."""

    @property
    def version(self) -> int: ...

    @property
    def window(self) -> Window: ...

    @property
    def outcome(self) -> Outcome: ...

    @property
    def causes(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class RetrainingHistory:
    """What was asked for and done before, in business time. `…_in_period` count over the last `budget.per`.

    `in_flight` says in words what is still going on ("a rollout of flight_delays@4 is running").
    """

    last_requested_at: datetime | None = None
    last_trained_at: datetime | None = None
    last_promoted_at: datetime | None = None
    requests_in_period: int = 0
    cpu_hours_in_period: float = 0.0
    in_flight: str | None = None


@dataclass(frozen=True)
class Decision:
    requested: bool
    reason: str
    detail: JsonObject = field(default_factory=dict)


def decide(
    policy: Retraining,
    windows: Sequence[Judged],
    history: RetrainingHistory,
    now: datetime,
    *,
    champion: int | None = None,
) -> Decision:
    """`windows` oldest first; only those of `champion` count (by default, of the newest window's version)."""
    considered = _of_champion(windows, champion)[-policy.when.of :]
    lost = [judged for judged in considered if _shows_loss(judged)]
    detail: JsonObject = {
        "policy": policy.model_dump(mode="json"),
        "windows": [_described(judged) for judged in considered],
        "failed_windows": len(lost),
        "requests_in_period": history.requests_in_period,
        "cpu_hours_in_period": round(history.cpu_hours_in_period, 3),
    }
    refusal = _no_trigger(policy, considered, len(lost)) or _safeguard(policy, history, now)
    if refusal:
        return Decision(False, refusal, detail)
    of_version = f"windows of version {considered[-1].version}"
    reason = f"performance was lost in {len(lost)} of the last {len(considered)} {of_version}"
    return Decision(True, reason, detail)


def _of_champion(windows: Sequence[Judged], champion: int | None) -> list[Judged]:
    ordered = sorted(windows, key=lambda judged: judged.window)
    version = champion if champion is not None or not ordered else ordered[-1].version
    return [judged for judged in ordered if judged.version == version]


def _shows_loss(judged: Judged) -> bool:
    """A loss seen on broken data says nothing about the model."""
    return judged.outcome is Outcome.FAILED and PERFORMANCE in judged.causes and DATA not in judged.causes


def _no_trigger(policy: Retraining, considered: Sequence[Judged], lost: int) -> str | None:
    if not considered:
        return "no window of the present champion has been judged"
    latest = considered[-1]
    if DATA in latest.causes:
        return f"the data of the latest window ({latest.window}) is broken: mend it first, never train on it"
    if lost < policy.when.failed_windows:
        drifted = "; inputs drifted without loss: watch" if "drift" in latest.causes else ""
        return (
            f"performance was lost in {lost} of the last {len(considered)} windows, "
            f"{policy.when.failed_windows} of {policy.when.of} are needed{drifted}"
        )
    return None


def _safeguard(policy: Retraining, history: RetrainingHistory, now: datetime) -> str | None:
    if history.in_flight is not None:
        return f"one at a time: {history.in_flight}"
    return _cooling(policy, history, now) or _over_budget(policy, history)


def _cooling(policy: Retraining, history: RetrainingHistory, now: datetime) -> str | None:
    past = {
        "the last request": history.last_requested_at,
        "the last training": history.last_trained_at,
        "the last promotion": history.last_promoted_at,
    }
    known = [(at, what) for what, at in past.items() if at is not None]
    if not known:
        return None
    at, what = max(known)
    ends = at + policy.cooldown
    if now >= ends:
        return None
    wait = f"wait {format_duration(policy.cooldown)}, until {format_instant(ends)}"
    return f"cooldown: {what} was at {format_instant(at)}, {wait}"


def _over_budget(policy: Retraining, history: RetrainingHistory) -> str | None:
    budget, period = policy.budget, format_duration(policy.budget.per)
    if history.requests_in_period >= budget.runs:
        return f"budget: {history.requests_in_period} of {budget.runs} runs within {period} are used"
    if budget.cpu_hours is not None and history.cpu_hours_in_period >= budget.cpu_hours:
        used = f"{history.cpu_hours_in_period:.2f} of {budget.cpu_hours:g} CPU hours"
        return f"budget: {used} within {period} are used"
    return None


def _described(judged: Judged) -> JsonObject:
    return {
        "window": judged.window.to_json(),
        "version": judged.version,
        "outcome": judged.outcome.value,
        "causes": [str(cause) for cause in judged.causes],
    }
