"""Windows, immutable snapshots and their digests, data contracts, and the record of what was served."""

from steward.data.predictions import OUTCOME_COLUMNS, PREDICTION_COLUMNS, PredictionLog, Traffic, count_traffic
from steward.data.snapshots import DataValidator, Snapshot, SnapshotStore

__all__ = [
    "OUTCOME_COLUMNS",
    "PREDICTION_COLUMNS",
    "DataValidator",
    "PredictionLog",
    "Snapshot",
    "SnapshotStore",
    "Traffic",
    "count_traffic",
]
