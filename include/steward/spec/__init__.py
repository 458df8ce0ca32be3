"""model.yaml → frozen `ModelSpec`: strict loading, JSON schema, and what a change of spec weakens."""

from steward.spec.deployment import Bake, Deployment, Guardrails, OutcomeRule, Strategy
from steward.spec.diff import Change, diff
from steward.spec.faults import Fault, FaultsError
from steward.spec.fields import Section, format_duration, parse_duration
from steward.spec.limits import Days
from steward.spec.loading import CODE_FILE, SPEC_FILE, SpecFolder, load_model, load_spec, parse_spec
from steward.spec.metrics import METRICS, Metric, metrics_of
from steward.spec.model import (
    Approval,
    Data,
    Evaluation,
    Feature,
    FeatureType,
    MetricGate,
    ModelSpec,
    Task,
    Training,
)
from steward.spec.monitoring import Monitoring, PerformanceRule
from steward.spec.retraining import Budget, Retraining

__all__ = [
    "CODE_FILE",
    "METRICS",
    "SPEC_FILE",
    "Approval",
    "Bake",
    "Budget",
    "Change",
    "Data",
    "Days",
    "Deployment",
    "Evaluation",
    "Fault",
    "FaultsError",
    "Feature",
    "FeatureType",
    "Guardrails",
    "Metric",
    "MetricGate",
    "ModelSpec",
    "Monitoring",
    "OutcomeRule",
    "PerformanceRule",
    "Retraining",
    "Section",
    "SpecFolder",
    "Strategy",
    "Task",
    "Training",
    "diff",
    "format_duration",
    "load_model",
    "load_spec",
    "metrics_of",
    "parse_duration",
    "parse_spec",
]
