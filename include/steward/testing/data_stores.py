"""Fakes of the data room's Protocols, in memory."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

from steward.adapters.delta_snapshots import canonical_table, rows_digest
from steward.data import PREDICTION_COLUMNS, Snapshot, Traffic, count_traffic
from steward.errors import IntegrityError, NotFoundError, UnavailableError
from steward.types import JsonObject, Window

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ARM_COLUMNS = ["version", "role", "error", "latency_ms", "score"]


class FakeSnapshotStore:
    """Keeps every version of every table."""

    def __init__(self) -> None:
        self.tables: dict[str, list[tuple[Snapshot, pa.Table]]] = defaultdict(list)

    def write(self, model: str, window: Window, frame: pd.DataFrame) -> Snapshot:
        rows = canonical_table(frame)
        versions, digest = self.tables[f"snapshots/{model}"], rows_digest(rows)
        for snapshot, _ in versions:
            if (snapshot.window, snapshot.digest) == (window, digest):
                return snapshot
        snapshot = Snapshot(f"snapshots/{model}", len(versions), digest, rows.num_rows, window)
        versions.append((snapshot, rows))
        return snapshot

    def read(self, snapshot: Snapshot, columns: list[str] | None = None) -> pd.DataFrame:
        versions = self.tables.get(snapshot.table, [])
        if snapshot.version >= len(versions):
            raise NotFoundError(f"snapshot {snapshot.version} is gone", where=snapshot.table)
        rows = versions[snapshot.version][1]
        if columns is None and rows_digest(rows) != snapshot.digest:
            raise IntegrityError("the rows have another digest than the snapshot", where=snapshot.table)
        return (rows if columns is None else rows.select(columns)).to_pandas()


class FakePredictionLog:
    """Keeps rows in lists; while `away` is set every append raises UnavailableError."""

    def __init__(self) -> None:
        self.rows: dict[str, list[pa.Table]] = defaultdict(list)
        self.outcomes: dict[str, list[pa.Table]] = defaultdict(list)
        self.away = False

    def append(self, model: str, rows: pa.Table) -> None:
        self._check()
        self.rows[model].append(rows)

    def append_outcomes(self, model: str, rows: pa.Table) -> None:
        self._check()
        self.outcomes[model].append(rows)

    def served(self, model: str, window: Window, columns: list[str] | None = None) -> pd.DataFrame:
        rows = self._answers(model)
        rows = rows[(rows["at"] >= window.start) & (rows["at"] < window.end)].reset_index(drop=True)
        rows = rows.merge(self._labels(model), on="decision_id", how="left")
        return rows.reindex(columns=columns) if columns is not None else rows

    def arm(self, model: str, epoch: int, since: datetime) -> pd.DataFrame:
        rows = self._answers(model)
        wanted = (rows["epoch"] >= epoch) & (rows["recorded_at"] > since)
        return rows.loc[wanted, _ARM_COLUMNS].reset_index(drop=True)

    def decision(self, model: str, decision_id: str) -> JsonObject | None:
        rows = [row for table in self.rows[model] for row in table.to_pylist() if row["decision_id"] == decision_id]
        return max(rows, key=lambda row: row["recorded_at"], default=None)

    def traffic(self, model: str, since: datetime) -> Traffic:
        rows = self._answers(model)
        return count_traffic(rows[rows["at"] >= since])

    def _check(self) -> None:
        if self.away:
            raise UnavailableError("the store refuses rows", where="FakePredictionLog", hint="set away to False")

    def _answers(self, model: str) -> pd.DataFrame:
        rows = _joined(self.rows[model], list(PREDICTION_COLUMNS)).sort_values("recorded_at", kind="stable")
        return rows.drop_duplicates(["decision_id", "version"], keep="last")

    def _labels(self, model: str) -> pd.DataFrame:
        rows = _joined(self.outcomes[model], ["decision_id", "label", "recorded_at"])
        rows = rows.sort_values("recorded_at", kind="stable").drop_duplicates("decision_id", keep="last")
        return rows[["decision_id", "label"]].astype({"decision_id": "object", "label": "float64"})


def _joined(tables: list[pa.Table], columns: list[str]) -> pd.DataFrame:
    """An empty list gives an empty frame whose instants can still be compared."""
    import pandas as pd

    if tables:
        return pd.concat([table.to_pandas() for table in tables], ignore_index=True)
    instants = dict.fromkeys({"at", "recorded_at"} & set(columns), "datetime64[us, UTC]")
    return pd.DataFrame(columns=columns).astype(instants)
