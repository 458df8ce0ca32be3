"""What a decision on retraining is taken on. The caller brings all of it: nothing in this room looks anything up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from steward.gates import Finding, Outcome
from steward.spec.retraining import Retraining
from steward.types import JsonObject, Window

# The causes of a judged window that matter here, as `steward.monitoring.windows.Cause` spells them.
DATA, PERFORMANCE, DRIFT, MONITOR = "data", "performance", "drift", "monitor"


class Trigger(StrEnum):
    """What asks for a training."""

    WINDOWS = "windows"  # performance was lost in N of the last M windows
    AT_ONCE = "at_once"  # a loss in the latest window alone that is beyond what the spec would wait for
    NEW_LABELS = "new_labels"  # many outcomes that the champion was not trained on
    SCHEDULE = "schedule"  # the clock
    MANUAL = "manual"  # a person
    REQUEST = "request"  # what the controller asked for earlier, about to begin


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

    @property
    def outcomes(self) -> Mapping[Any, Outcome]: ...


@dataclass(frozen=True)
class Refused:
    """A candidate that a run which began by itself made, and that gates, people or its rollout refused."""

    version: int
    seq: int
    reason: str


@dataclass(frozen=True)
class RetrainingHistory:
    """What was asked for and done before, in business time. `…_in_period` count over the last `budget.per`.

    `runs_in_period` began by themselves; CPU hours are of every training. `dearest_run`: CPU hours of the dearest of
    the last trainings, which is what the next one may cost. `rollout` says in words which version is being rolled
    out; `open_work` what else has begun and not ended. `refused` in a row, since the last promotion or permission.
    """

    last_requested_at: datetime | None = None
    last_trained_at: datetime | None = None
    last_promoted_at: datetime | None = None
    runs_in_period: int = 0
    cpu_hours_in_period: float = 0.0
    dearest_run: float = 0.0
    rollout: str | None = None
    open_work: str | None = None
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True)
class Labels:
    """Outcomes of served rows that came after a training window had ended; None where nobody counted.

    `rows` is what the last training learned from.
    """

    since_champion: int | None = None
    since_training: int | None = None
    rows: int | None = None


@dataclass(frozen=True)
class Loss:
    """A metric of the latest window that its own check found lost. `drop` is how much worse than at evaluation.

    `sign` is 1 where more is better, −1 where less is.
    """

    metric: str
    sign: int
    value: float | None
    drop: float | None
    reason: str


@dataclass(frozen=True)
class Measured:
    """One version on one hold-out: metric → (value, sampling error)."""

    metrics: Mapping[str, tuple[float, float]]
    label_mean: float | None = None

    def value(self, metric: str) -> float:
        return self.metrics[metric][0]


@dataclass(frozen=True)
class Candidate:
    """Trained since the champion was promoted, and measured beside it on the same rows.

    `fit_until` is where its hold-out begins: what happened later it was judged on, and did not learn from.
    """

    seq: int
    version: int
    window: Window
    fit_until: datetime
    own: Measured
    champion: Measured

    def learned_from(self, window: Window) -> bool:
        """All of it, not only a few days."""
        return self.window.start <= window.start and window.end <= self.fit_until


@dataclass(frozen=True)
class Situation:
    """`windows` are those of the champion, oldest first. `asked` names who asks, where it is not the windows.

    `said` is a person's reason. `findings`, `losses` and `window_seq` are of the latest window: its checks, its lost
    metrics, the event that recorded it. `importance`: feature → share of what all features matter together.
    `evaluation` is the champion on its own hold-out. `request` is the version a request was about.
    """

    model: str
    policy: Retraining
    now: datetime
    champion: int | None = None
    windows: Sequence[Judged] = ()
    history: RetrainingHistory = RetrainingHistory()
    asked: Trigger | None = None
    said: str = ""
    labels: Labels = Labels()
    findings: Sequence[Finding] = ()
    losses: Sequence[Loss] = ()
    window_seq: int | None = None
    candidates: Sequence[Candidate] = ()
    evaluation: Measured | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    request: int | None = None

    @property
    def considered(self) -> Sequence[Judged]:
        """The last M windows."""
        return self.windows[-self.policy.when.of :]

    @property
    def latest(self) -> Judged | None:
        return self.windows[-1] if self.windows else None

    @property
    def lost(self) -> list[Judged]:
        return [judged for judged in self.considered if shows_loss(judged)]


def shows_loss(judged: Judged) -> bool:
    """A loss seen on broken data says nothing about the model."""
    return judged.outcome is Outcome.FAILED and PERFORMANCE in judged.causes and not is_broken(judged)


def is_broken(judged: Judged) -> bool:
    return DATA in judged.causes or judged.outcomes.get(DATA) is Outcome.FAILED


def described(judged: Judged) -> JsonObject:
    return {
        "window": judged.window.to_json(),
        "version": judged.version,
        "outcome": judged.outcome.value,
        "causes": [str(cause) for cause in judged.causes],
    }
