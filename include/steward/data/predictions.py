"""What was served and what became of it: the two tables that monitoring and canary analysis read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from steward.types import JsonObject, Window

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# Columns of the prediction log beside one `f_<feature>` column per declared feature. One row per answered row.
PREDICTION_COLUMNS = {
    "decision_id": "string",  # names the answer; outcomes come back under it
    "request_key": "string",  # what the sticky split hashes
    "version": "int32",
    "role": "string",  # champion | canary | shadow
    "epoch": "int64",  # of the routing table that routed it
    "at": "timestamp[us, tz=UTC]",  # business time of the answer
    "recorded_at": "timestamp[us, tz=UTC]",  # wall clock
    "latency_ms": "float64",  # of the model call and its checks, per request
    "error": "string",  # null when answered by this version; else the kind of failure
    "score": "float64",  # probability of the positive class, or the predicted value
    "source": "string",  # who asked, if they said
}
OUTCOME_COLUMNS = {
    "decision_id": "string",
    "label": "float64",
    "observed_at": "timestamp[us, tz=UTC]",
    "recorded_at": "timestamp[us, tz=UTC]",
}


@dataclass(frozen=True)
class Traffic:
    """Who really called a model. `last_at` is business time; counts are of rows asked about, by version, by source."""

    requests: int
    last_at: datetime | None
    versions: dict[int, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)


class PredictionLog(Protocol):
    """Per-model Delta tables of predictions and outcomes, partitioned by day of `at`."""

    def append(self, model: str, rows: pa.Table) -> None: ...

    def append_outcomes(self, model: str, rows: pa.Table) -> None: ...

    def served(self, model: str, window: Window, columns: list[str] | None = None) -> pd.DataFrame:
        """Rows with `at` in the window, one per decision id and version, outcomes joined as `label` (NaN when unknown).

        A later outcome for the same decision replaces an earlier one. An absent table is an empty frame.
        """
        ...

    def arm(self, model: str, epoch: int, since: datetime) -> pd.DataFrame:
        """Rows answered under routing epoch >= `epoch` and recorded after `since`.

        Columns version, role, error, latency_ms, score."""
        ...

    def decision(self, model: str, decision_id: str) -> JsonObject | None:
        """The newest row of one decision, its logged features as `f_<feature>`, None where missing. None: not known."""
        ...

    def traffic(self, model: str, since: datetime) -> Traffic:
        """Rows with `at` from `since` on. Reads four columns of the days it needs; no table is no traffic."""
        ...


def count_traffic(rows: pd.DataFrame) -> Traffic:
    """Of rows with the columns at, version, source, error; a row that this version could not answer counts too."""
    if rows.empty:
        return Traffic(0, None)
    versions = {int(number): int(count) for number, count in rows["version"].value_counts().items()}
    sources = {str(name): int(count) for name, count in rows["source"].value_counts().items()}
    return Traffic(len(rows), rows["at"].max().to_pydatetime(), versions, sources)
