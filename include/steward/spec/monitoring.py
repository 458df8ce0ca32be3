"""The `monitoring` section: what is watched in service, how closely, and what a failure may do by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from steward.spec.fairness import Fairness
from steward.spec.fields import Column, Contradiction, Count, Duration, Identifier, Schedule, Section, Share
from steward.spec.limits import Days, Floor, LatencyLimit, Limit


class Drift(Section):
    psi: Limit = Field(
        default=Limit(max=0.1),
        description="Population stability index, per feature and of the prediction: moderate from 0.1, large from 0.25",
    )
    features: dict[Column, Limit] = Field(default={}, description="PSI limits of single features, instead of `psi`")
    missing: Limit = Field(default=Limit(max=0.1), description="Rise of a feature's missing share over its reference")
    unseen: Limit = Field(default=Limit(max=0.01), description="Share of levels, or of words, the reference never had")
    confidence: Limit = Field(default=Limit(max=0.05), description="Change of the mean confidence, either way")
    domain_classifier: Limit | None = Field(
        default=None, description="AUC of telling the window's rows from the reference's; elsewhere 0.65 is usual"
    )
    attribution: Floor | None = Field(
        default=None, description="NDCG of the features' ranking by attribution against the reference; usual: 0.9"
    )
    trend: Duration = Field(default=timedelta(days=28), description="How far back trends are looked for")


class PerformanceRule(Section):
    max_drop: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Largest fall below the version's own evaluation; for metrics where more is better",
    )
    max_rise: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Largest rise above the version's own evaluation; for metrics where less is better",
    )
    max: float | None = Field(default=None, description="Absolute upper limit, for metrics where less is better")
    min: float | None = Field(default=None, description="Absolute lower limit")

    def contradictions(self) -> Iterator[Contradiction]:
        if all(given is None for given in (self.max_drop, self.max_rise, self.max, self.min)):
            yield Contradiction((), "give at least one of max_drop, max_rise, max, min")


class Business(Section):
    """A number the business counts, sent with the outcomes as `value`: revenue, cost, minutes saved."""

    correlation: Floor = Field(description="Lowest Pearson correlation of the score with the value")


class Throughput(Section):
    capacity: Annotated[float, Field(gt=0)] = Field(description="Requests a second the endpoint is sized for")
    max: Share = Field(default=0.8, description="Share of the capacity that the busiest hour may use")


Trouble = Literal["data", "performance", "fairness", "operation"]


class Monitoring(Section):
    schedule: Schedule = Field(default="@daily", description="Cron of the monitor")
    window: Days = Field(default=Days(days=7), description="Days of served requests a check reads")
    min_rows: Count = Field(default=1000, description="A smaller window is inconclusive")
    drift: Drift = Drift()
    performance: dict[Identifier, PerformanceRule] = Field(default={}, description="Per metric, once labels are in")
    estimated: dict[Identifier, PerformanceRule] = Field(
        default={}, description="Per metric, estimated from confidence before labels are in; sees no concept shift"
    )
    calibration: Limit | None = Field(default=None, description="Expected calibration error, once labels are in")
    fairness: Fairness | None = Field(default=None, description="Limits on the groups of data.protected, in service")
    business: Business | None = Field(default=None, description="Does a better score go with a better result?")
    error_rate: Limit | None = Field(default=None, description="Share of requests that failed, in all and per source")
    p50_latency: LatencyLimit | None = None
    p95_latency: LatencyLimit | None = None
    p99_latency: LatencyLimit | None = None
    throughput: Throughput | None = None
    completeness: Floor | None = Field(default=None, description="Lowest share of the window's hours that had requests")
    quiet_windows: Count = Field(
        default=3, description="So many windows in a row that cannot be judged open an incident about the monitor"
    )
    resolve_after: Count = Field(default=2, description="So many windows in a row must pass to end an incident")
    roll_back_on: tuple[Trouble, ...] = Field(
        default=("operation",),
        description="Failures of a champion that bring back the one before, while that one still stands by",
    )
