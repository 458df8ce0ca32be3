"""The controller: when a training begins, and every reason not to."""

from steward.retraining.controller import Decision, decide
from steward.retraining.situation import (
    Candidate,
    Labels,
    Loss,
    Measured,
    Refused,
    RetrainingHistory,
    Situation,
    Trigger,
)

__all__ = [
    "Candidate",
    "Decision",
    "Labels",
    "Loss",
    "Measured",
    "Refused",
    "RetrainingHistory",
    "Situation",
    "Trigger",
    "decide",
]
