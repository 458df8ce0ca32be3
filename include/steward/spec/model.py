"""The frozen form of a model.yaml. Loading, line numbers and messages live in `steward.spec.loading`."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from steward.types import ID_PATTERN, RiskTier, digest_of

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_duration(value: Any) -> timedelta:
    """`250ms`, `10m`, `1d` → timedelta."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a duration as a number and a unit: 250ms, 30s, 10m, 6h, 3d, 2w")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def format_duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for unit in ("w", "d", "h", "m", "s"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds * 1000:g}ms"


def _reference(value: str) -> str:
    if re.fullmatch(r"model:[A-Za-z_][A-Za-z0-9_]*", value) is None:
        raise ValueError("name a function of model.py as model:FUNCTION")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=Annotated[str, Field(pattern=r"^\d+(\.\d+)?(ms|s|m|h|d|w)$")]),
    PlainSerializer(format_duration, return_type=str),
]
Function = Annotated[str, AfterValidator(_reference)]
Identifier = Annotated[str, Field(pattern=ID_PATTERN)]
Column = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, validate_default=True)


class Task(StrEnum):
    BINARY = "binary_classification"
    MULTICLASS = "multiclass_classification"
    REGRESSION = "regression"
    LLM = "llm_application"


class FeatureType(StrEnum):
    NUMBER = "number"
    INTEGER = "integer"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    TEXT = "text"


class Owner(Section):
    team: Identifier | Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    name: str
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
    user: Annotated[str, Field(description="The owner's Airflow user name: never the approver of this model")]


class Feature(Section):
    type: FeatureType
    min: float | None = None
    max: float | None = None
    levels: tuple[str, ...] | None = Field(default=None, description="The only levels allowed; omit to learn them")
    max_missing: Share = Field(default=0.0, description="Largest share of missing values in a window")
    max_out_of_range: Share = Field(default=0.0, description="Largest share outside min..max or levels in a window")

    @model_validator(mode="after")
    def _bounds(self) -> Feature:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        if self.type in (FeatureType.CATEGORY, FeatureType.TEXT) and (self.min is not None or self.max is not None):
            raise ValueError(f"a {self.type} feature has no min or max")
        if self.levels is not None and self.type is not FeatureType.CATEGORY:
            raise ValueError(f"levels belong to a category, not to a {self.type}")
        return self


class Label(Section):
    column: Column
    arrives_after: Duration = timedelta(0)


class Data(Section):
    source: Function = "model:load"
    id: Column
    time: Column
    label: Label
    features: dict[Column, Feature] = Field(min_length=1)
    protected: tuple[Column, ...] = ()
    freshness: Duration = timedelta(days=2)
    min_rows: Annotated[int, Field(ge=1)] = 1000
    privacy: dict[Column, Literal["keep", "hash", "drop"]] = {}

    @model_validator(mode="after")
    def _columns(self) -> Data:
        roles = [self.id, self.time, self.label.column]
        if len(set(roles)) < 3:
            raise ValueError("id, time and label.column must be three different columns")
        if leaked := sorted(set(roles) & set(self.features)):
            raise ValueError(f"{', '.join(leaked)} cannot be a feature: it is the id, the time or the label")
        return self


class Days(Section):
    days: Annotated[int, Field(ge=1)]

    @property
    def length(self) -> timedelta:
        return timedelta(days=self.days)


class Runtime(Section):
    kind: Literal["local"] = "local"


class Training(Section):
    build: Function = "model:build"
    window: Days
    params: dict[str, int | float | str | bool | None] = {}
    seed: int = 0
    time_limit: Duration = timedelta(minutes=30)
    runtime: Runtime = Runtime()


class MetricGate(Section):
    min: float | None = None
    max: float | None = None
    not_worse_than_champion: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Margin d: the lower end of the paired-bootstrap interval must exceed -d"
    )

    @model_validator(mode="after")
    def _some_rule(self) -> MetricGate:
        if self.min is None and self.max is None and self.not_worse_than_champion is None:
            raise ValueError("give at least one of min, max, not_worse_than_champion")
        return self


class Evaluation(Section):
    holdout: Days
    metrics: dict[Identifier, MetricGate] = Field(min_length=1)
    slices: tuple[str, ...] = Field(default=(), description='A column, or a predicate such as "distance > 1500"')
    slice_min_rows: Annotated[int, Field(ge=1)] = 200
    bootstrap: Annotated[int, Field(ge=100, le=10_000)] = 500


class Approval(Section):
    approvers: Annotated[int, Field(ge=1)] | None = Field(default=None, description="More than the tier asks for")
    expires_after: Duration | None = Field(default=None, description="Shorter than the tier's")


class Limit(Section):
    max: float


class LatencyLimit(Section):
    max: Duration


class Guardrails(Section):
    error_rate: Limit | None = None
    p99_latency: LatencyLimit | None = None
    prediction_psi: Limit | None = None

    @property
    def any(self) -> bool:
        return any((self.error_rate, self.p99_latency, self.prediction_psi))


class Bake(Section):
    requests: Annotated[int, Field(ge=1)] = Field(description="Canary requests a step needs before it is judged")
    at_least: Duration = timedelta(0)
    at_most: Duration = Field(description="Give up (and roll back) when a step is still inconclusive after this")


class Strategy(StrEnum):
    DIRECT = "direct"
    CANARY = "canary"


class Deployment(Section):
    target: Literal["local"] = "local"
    strategy: Strategy = Strategy.CANARY
    steps: tuple[Annotated[int, Field(ge=1, le=100)], ...] = (5, 25, 50, 100)
    bake: Bake | None = None
    smoke: Function | None = None
    guardrails: Guardrails = Guardrails()

    @model_validator(mode="after")
    def _consistent(self) -> Deployment:
        if self.strategy is Strategy.CANARY:
            if list(self.steps) != sorted(set(self.steps)) or self.steps[-1:] != (100,):
                raise ValueError("steps must rise and end at 100")
            if any(50 < step < 100 for step in self.steps):
                raise ValueError("a canary takes at most 50 % of traffic until it is judged")
            if not self.guardrails.any:
                raise ValueError("automatic rollback without any guardrail is a contradiction: give guardrails")
            if self.bake is None:
                raise ValueError("a canary needs bake: {requests: …, at_most: …}")
        return self


class Drift(Section):
    psi: Limit = Limit(max=0.25)


class PerformanceRule(Section):
    max_drop: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Largest fall below the version's own evaluation"
    )
    max: float | None = Field(default=None, description="Absolute upper limit, for metrics where less is better")
    min: float | None = None


class Monitoring(Section):
    schedule: str = "@daily"
    window: Days = Days(days=7)
    min_rows: Annotated[int, Field(ge=1)] = 1000
    drift: Drift = Drift()
    performance: dict[Identifier, PerformanceRule] = {}
    error_rate: Limit | None = None
    p99_latency: LatencyLimit | None = None


class FailedWindows(Section):
    failed_windows: Annotated[int, Field(ge=1)]
    of: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _possible(self) -> FailedWindows:
        if self.failed_windows > self.of:
            raise ValueError(f"{self.failed_windows} failed windows of {self.of} can never happen")
        return self


class Budget(Section):
    runs: Annotated[int, Field(ge=0)]
    per: Duration
    cpu_hours: Annotated[float, Field(gt=0)] | None = None


class Retraining(Section):
    when: FailedWindows = FailedWindows(failed_windows=2, of=3)
    cooldown: Duration = timedelta(days=3)
    budget: Budget = Budget(runs=4, per=timedelta(days=30))
    schedule: str | None = Field(default=None, description="Cron, if retraining is also wanted on a clock")


class Retirement(Section):
    review_after: Duration = timedelta(days=365)


class ModelSpec(Section):
    """One model as its team declares it. Immutable; `digest` identifies it in every record."""

    model: Identifier
    title: str
    purpose: str
    owner: Owner
    risk_tier: RiskTier
    frameworks: tuple[str, ...] = ()
    task: Task
    data: Data
    training: Training
    evaluation: Evaluation
    approval: Approval = Approval()
    deployment: Deployment
    monitoring: Monitoring = Monitoring()
    retraining: Retraining = Retraining()
    retirement: Retirement = Retirement()

    @model_validator(mode="after")
    def _across_sections(self) -> ModelSpec:
        if self.evaluation.holdout.days >= self.training.window.days:
            raise ValueError("evaluation.holdout must be shorter than training.window")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form: the same for two files that mean the same."""
        return digest_of(self.model_dump(mode="json"))
