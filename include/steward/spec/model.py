"""The frozen form of a model.yaml. Loading, line numbers and messages live in `steward.spec.loading`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from steward.spec.crosschecks import disagreements
from steward.spec.deployment import Deployment
from steward.spec.fairness import Fairness
from steward.spec.fields import (
    EMAIL_PATTERN,
    TEAM_PATTERN,
    Column,
    Contradiction,
    Count,
    Duration,
    Function,
    Identifier,
    Section,
    Share,
    format_duration,
    parse_duration,
)
from steward.spec.limits import Days
from steward.spec.monitoring import Monitoring
from steward.spec.retraining import Retraining
from steward.types import RiskTier, digest_of

__all__ = ["Duration", "Section", "format_duration", "parse_duration"]  # others are defined below


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
    team: str = Field(pattern=TEAM_PATTERN, description="Lower case, digits, - and _")
    name: str = Field(min_length=1, description="The person who answers for the model")
    email: str = Field(pattern=EMAIL_PATTERN)
    user: str = Field(min_length=1, description="The owner's Airflow user name: never the approver of this model")


class Feature(Section):
    type: FeatureType
    min: float | None = Field(default=None, description="Smallest value in range")
    max: float | None = Field(default=None, description="Largest value in range")
    levels: tuple[str, ...] | None = Field(default=None, description="The only levels allowed; omit to learn them")
    max_missing: Share = Field(default=0.0, description="Largest share of missing values in a window")
    max_out_of_range: Share = Field(default=0.0, description="Largest share outside min..max or levels in a window")
    reason: str | None = Field(default=None, min_length=1, description="What a person is told when it counted against")

    def contradictions(self) -> Iterator[Contradiction]:
        if self.min is not None and self.max is not None and self.min > self.max:
            yield Contradiction(("min",), f"min {self.min:g} is above max {self.max:g}")
        if self.type not in (FeatureType.NUMBER, FeatureType.INTEGER):
            for key in ("min", "max"):
                if getattr(self, key) is not None:
                    yield Contradiction((key,), f"a {self.type} feature has no {key}")
        if self.levels is not None and self.type is not FeatureType.CATEGORY:
            yield Contradiction(("levels",), f"levels belong to a category, not to a {self.type} feature")


class Label(Section):
    column: Column
    arrives_after: Duration = Field(default=timedelta(0), description="Outcomes are awaited this long")
    classes: tuple[str, ...] | None = Field(
        default=None, description="Of a multiclass model, in the order its outcomes are numbered; never reordered"
    )

    def contradictions(self) -> Iterator[Contradiction]:
        if self.classes is not None and len(set(self.classes)) != len(self.classes):
            yield Contradiction(("classes",), "a class is listed twice")
        if self.classes is not None and len(self.classes) < 3:
            yield Contradiction(("classes",), "a multiclass model tells three classes apart, or more")


class Data(Section):
    source: Function = Field(default="model:load", description="load(start, end) → DataFrame")
    id: Column = Field(description="Unique per row")
    time: Column = Field(description="Instant of the row; windows and the hold-out are cut by it")
    label: Label
    features: dict[Column, Feature] = Field(min_length=1, description="What the model reads: the data contract")
    other_columns: tuple[Column, ...] = Field(
        default=(),
        description="Columns of the source that are no features; slices, protected, privacy may name them",
    )
    protected: tuple[Column, ...] = Field(default=(), description="Groups for fairness and disparity")
    freshness: Duration = Field(default=timedelta(days=2), description="The newest row may be this old")
    min_rows: Count = Field(default=1000, description="A smaller window is not trained on")
    privacy: dict[Column, Literal["keep", "hash", "drop"]] = Field(
        default={},
        description="Prediction log, per column. Features are kept, protected columns that are none are hashed, others "
        "are dropped, unless named",
    )

    subject: Column | None = Field(
        default=None, description="Names the person a row is about: `steward forget` finds their predictions by it"
    )
    outcomes: Function | None = Field(
        default=None,
        description="outcomes(start, end) → DataFrame of decision_id, label, observed_at, and value where there is one",
    )
    log_keep: Duration = Field(default=timedelta(days=400), description="Predictions and outcomes are kept this long")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column the spec knows of, without repetition."""
        subject = (self.subject,) if self.subject else ()
        named = (self.id, self.time, self.label.column, *self.features, *self.other_columns, *subject)
        return tuple(dict.fromkeys(named))

    @property
    def training_columns(self) -> tuple[str, ...]:
        """What a training snapshot holds: no person's name, unless it is the id or the model reads it."""
        needed = {self.id, *self.features, *self.protected}
        return tuple(column for column in self.columns if column != self.subject or column in needed)

    @property
    def accompanying(self) -> tuple[Column, ...]:
        """Protected columns that are no features: callers may send them, so that groups can be watched; no model is
        ever handed them."""
        return tuple(dict.fromkeys(column for column in self.protected if column not in self.features))

    def logged_as(self, column: Column) -> Literal["keep", "hash", "drop"]:
        """How the prediction log holds it. A group that is no feature is counted under its hash unless it is kept."""
        if column in self.features:
            return self.privacy.get(column, "keep")
        return self.privacy.get(column, "hash" if column in self.protected else "drop")

    def contradictions(self) -> Iterator[Contradiction]:
        roles = {("id",): self.id, ("time",): self.time, ("label", "column"): self.label.column}
        if len(set(roles.values())) < 3:
            yield Contradiction(("id",), "id, time and label.column must be three different columns")
        for key in sorted(set(roles.values()) & set(self.features)):
            yield Contradiction(("features", key), f"{key} cannot be a feature: it is the id, the time or the label")
        for place, column in enumerate(self.protected):
            if self.privacy.get(column) == "drop":
                sentence = f"{column} is protected, so monitoring needs it: keep or hash it under privacy"
                yield Contradiction(("protected", place), sentence)
        unsaid = "keep" if self.subject in self.features else "hash"
        if self.subject is not None and self.privacy.get(self.subject, unsaid) == "keep":
            sentence = f"{self.subject} names a person, whom the log may not: hash or drop it under privacy"
            yield Contradiction(("subject",), sentence)


class Runtime(Section):
    kind: Literal["local"] = "local"


class Threshold(Section):
    """Where a binary model's score becomes a yes: one number for everybody, part of the version."""

    at: Annotated[float, Field(gt=0, lt=1)] | None = Field(default=None, description="Scores from here on are a yes")
    parity: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="Chosen in training: the best balanced accuracy, on out-of-fold scores, among thresholds whose "
        "demographic parity ratio is at least this for every protected column",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        if (self.at is None) == (self.parity is None):
            yield Contradiction((), "give either at or parity")


class Training(Section):
    build: Function = Field(default="model:build", description="build(params) → an unfitted scikit-learn estimator")
    window: Days = Field(description="Days of data a training reads, hold-out included")
    params: dict[str, int | float | str | bool | None] = Field(default={}, description="Handed to build")
    threshold: Threshold = Field(default=Threshold(at=0.5), description="Of a binary model's score")
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    time_limit: Duration = Field(default=timedelta(minutes=30), description="A longer training is stopped")
    runtime: Runtime = Runtime()


class MetricGate(Section):
    min: float | None = Field(default=None, description="Smallest value that passes")
    max: float | None = Field(default=None, description="Largest value that passes")
    not_worse_than_champion: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Margin d: the lower end of the paired-bootstrap interval must exceed -d"
    )

    def contradictions(self) -> Iterator[Contradiction]:
        if self.min is None and self.max is None and self.not_worse_than_champion is None:
            yield Contradiction((), "give at least one of min, max, not_worse_than_champion")
        if self.min is not None and self.max is not None and self.min > self.max:
            yield Contradiction(("min",), f"min {self.min:g} is above max {self.max:g}")


class Evaluation(Section):
    holdout: Days = Field(description="The last days of the training window, kept for judging")
    metrics: dict[Identifier, MetricGate] = Field(min_length=1)
    slices: tuple[str, ...] = Field(default=(), description='A column, or a predicate such as "distance > 1500"')
    fairness: Fairness | None = Field(default=None, description="Gates on the groups of data.protected")
    slice_min_rows: Count = Field(default=200, description="A smaller slice is inconclusive")
    bootstrap: int = Field(default=500, ge=100, le=10_000, description="Resamples of the comparison")


class Approval(Section):
    approvers: Count | None = Field(default=None, description="More than the tier asks for")
    expires_after: Duration | None = Field(default=None, description="Shorter than the tier's")


class Retirement(Section):
    review_after: Duration = Field(default=timedelta(days=365), description="The owner confirms the model this often")
    idle_after: Duration = Field(default=timedelta(days=30), description="A champion without a request is reported")
    quiet: Duration = Field(
        default=timedelta(days=7), description="Without requests this long before it is switched off"
    )
    keep: Duration = Field(
        default=timedelta(days=7 * 365), description="Artefacts and data of a retired model are kept"
    )


class Consumer(Section):
    """Who calls the model, and must be told before it goes."""

    name: str = Field(pattern=TEAM_PATTERN, description="A system or team; requests may name it as their source")
    contact: str = Field(pattern=EMAIL_PATTERN)


class ModelSpec(Section):
    """One model as its team declares it. Immutable; `digest` identifies it in every record."""

    model: Identifier = Field(description="The id: the name of this folder, for good")
    title: str = Field(min_length=1, description="The question the model answers")
    purpose: str = Field(min_length=1, description="Who does what with the answer")
    owner: Owner
    risk_tier: RiskTier = Field(description="Sets the policy, unless this spec is stricter")
    frameworks: tuple[str, ...] = Field(default=(), description="Ids of versioned compliance packs")
    consumers: tuple[Consumer, ...] = Field(default=(), description="Who calls the model")
    upstream: tuple[Identifier, ...] = Field(default=(), description="Models whose answers this one reads")
    task: Task
    data: Data
    training: Training
    evaluation: Evaluation
    approval: Approval = Field(default=Approval(), description="Stricter than the tier, never weaker")
    deployment: Deployment
    monitoring: Monitoring = Monitoring()
    retraining: Retraining = Retraining()
    retirement: Retirement = Retirement()

    def contradictions(self) -> Iterator[Contradiction]:
        return disagreements(dict(self))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form: the same for two files that mean the same."""
        return digest_of(self.model_dump(mode="json"))


def unknown_key(dotted: str) -> tuple[str, list[str]] | None:
    """The part of a dotted key that no spec has, and the keys that could have been meant; None when all are known."""
    section: Any = ModelSpec
    for part in dotted.split("."):
        fields = getattr(section, "model_fields", {})
        if part not in fields:
            return part, list(fields)
        kinds = (fields[part].annotation, *getattr(fields[part].annotation, "__args__", ()))
        section = next((each for each in kinds if isinstance(each, type) and issubclass(each, Section)), None)
    return None
