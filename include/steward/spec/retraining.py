"""The `retraining` section: what may start a training by itself, and what stands in its way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from steward.spec.fields import Contradiction, Count, Duration, Identifier, Schedule, Section
from steward.spec.monitoring import PerformanceRule


class FailedWindows(Section):
    failed_windows: Count
    of: Count

    def contradictions(self) -> Iterator[Contradiction]:
        if self.failed_windows > self.of:
            sentence = f"{self.failed_windows} failed windows of {self.of} can never happen"
            yield Contradiction(("failed_windows",), sentence)


class Budget(Section):
    runs: int = Field(ge=0, description="Retrainings that may start by themselves; 0 switches them off")
    per: Duration
    cpu_hours: Annotated[float, Field(gt=0)] | None = None


class Retraining(Section):
    when: FailedWindows = Field(
        default=FailedWindows(failed_windows=2, of=3),
        description="Windows with lost performance, of the last",
    )
    at_once: dict[Identifier, PerformanceRule] = Field(
        default={}, description="Per metric: a loss beyond this in the latest window alone is enough"
    )
    new_labels: Count | None = Field(
        default=None, description="So many outcomes that the champion was not trained on are reason enough"
    )
    schedule: Schedule | None = Field(default=None, description="Cron, if retraining is also wanted on a clock")
    cooldown: Duration = Field(default=timedelta(days=3), description="Quiet time after a retraining")
    budget: Budget = Budget(runs=4, per=timedelta(days=30))
    min_new_labels: int = Field(
        default=0, ge=0, description="Fewer outcomes that the champion was not trained on are not worth a training"
    )
    stop_after_refusals: Count = Field(
        default=3, description="So many candidates in a row that their gates refused end retraining until a person says"
    )
