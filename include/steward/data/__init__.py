"""Windows, immutable snapshots and their digests, data contracts, and the record of what was served."""

from steward.data.predictions import (
    ANSWER_KEY,
    ARM_COLUMNS,
    OUTCOME_COLUMNS,
    PAIR_COLUMNS,
    PREDICTION_COLUMNS,
    USERS,
    Forgotten,
    PredictionKeeper,
    PredictionLog,
    PredictionReader,
    PredictionWriter,
    Traffic,
    Upkeep,
    WindowWriter,
    count_traffic,
    pair_answers,
)
from steward.data.snapshots import DataValidator, Snapshot, SnapshotStore

__all__ = [
    "ANSWER_KEY",
    "ARM_COLUMNS",
    "OUTCOME_COLUMNS",
    "PAIR_COLUMNS",
    "PREDICTION_COLUMNS",
    "USERS",
    "DataValidator",
    "Forgotten",
    "PredictionKeeper",
    "PredictionLog",
    "PredictionReader",
    "PredictionWriter",
    "Snapshot",
    "SnapshotStore",
    "Traffic",
    "Upkeep",
    "WindowWriter",
    "count_traffic",
    "pair_answers",
]
