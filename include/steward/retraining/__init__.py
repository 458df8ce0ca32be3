"""The controller: when judged windows start a training, and every reason not to."""

from steward.retraining.controller import Decision, RetrainingHistory, decide

__all__ = ["Decision", "RetrainingHistory", "decide"]
