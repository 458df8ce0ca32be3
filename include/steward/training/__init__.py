"""The boundary around user code, and the record of code, data, environment, seed and cost."""

from steward.training.code import ModelCode
from steward.training.records import (
    ExperimentTracker,
    LoggedModel,
    ModelStore,
    RegistryMirror,
    TrainingRecord,
)

__all__ = [
    "ExperimentTracker",
    "LoggedModel",
    "ModelCode",
    "ModelStore",
    "RegistryMirror",
    "TrainingRecord",
]
