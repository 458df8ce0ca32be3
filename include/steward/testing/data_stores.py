"""Fakes of the data room's Protocols, in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from steward.adapters.delta_snapshots import canonical_table, rows_digest
from steward.data import (
    ANSWER_KEY,
    ARM_COLUMNS,
    OUTCOME_COLUMNS,
    PREDICTION_COLUMNS,
    USERS,
    Forgotten,
    Snapshot,
    Traffic,
    Upkeep,
    count_traffic,
    pair_answers,
)
from steward.errors import IntegrityError, NotFoundError, UnavailableError
from steward.types import JsonObject, Role, Window

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


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
        self._scored: dict[tuple[str, str, int], str] = {}

    def append(self, model: str, rows: pa.Table) -> None:
        self._check()
        self.rows[model].append(rows)

    def append_outcomes(self, model: str, rows: pa.Table) -> None:
        self._check()
        self.outcomes[model].append(rows)

    def replace_window(self, model: str, window: Window, version: int, rows: pa.RecordBatchReader, digest: str) -> bool:
        import pyarrow.compute as pc

        self._check()
        name = (model, str(window), version)
        if self._scored.get(name) == digest:
            return False
        scored = rows.read_all()
        for place, table in enumerate(self.rows[model]):
            inside = pc.and_(pc.greater_equal(table["at"], window.start), pc.less(table["at"], window.end))
            mine = pc.and_(pc.equal(table["version"], version), pc.equal(table["source"], "score"))
            self.rows[model][place] = table.filter(pc.invert(pc.fill_null(pc.and_(inside, mine), False)))
        self.rows[model].append(scored)
        self._scored[name] = digest
        return True

    def rotate(self) -> None:
        """Nothing is held open."""

    def maintain(self, model: str, keep_from: datetime, *, compact: bool = True) -> Upkeep:
        self._check()
        midnight = keep_from.replace(hour=0, minute=0, second=0, microsecond=0)
        known = {row["decision_id"] for row in _rows(self.rows[model])}
        told = {row["decision_id"] for row in _rows(self.outcomes[model])}
        expired = self._keep(self.rows[model], lambda row: row["at"] >= midnight)
        expired += self._keep(self.outcomes[model], lambda row: row["observed_at"] >= midnight)
        return Upkeep(expired=expired, orphans=len(told - known) if compact else 0)

    def forget(self, model: str, subject: str, recorded_until: datetime) -> Forgotten:
        self._check()
        theirs = [row for row in _rows(self.rows[model]) if row.get("subject") == subject]
        ids = {row["decision_id"] for row in theirs if row["recorded_at"] <= recorded_until}
        outcomes = self._keep(self.outcomes[model], lambda row: row["decision_id"] not in ids)
        rows = self._keep(
            self.rows[model], lambda row: row.get("subject") != subject or row["recorded_at"] > recorded_until
        )
        return Forgotten(rows, outcomes)

    def _keep(self, tables: list[pa.Table], wanted: Callable[[JsonObject], bool]) -> int:
        """How many rows were dropped."""
        import pyarrow as pa

        before = sum(table.num_rows for table in tables)
        tables[:] = [table.filter(pa.array([wanted(row) for row in table.to_pylist()], pa.bool_())) for table in tables]
        return before - sum(table.num_rows for table in tables)

    def outcomes_since(self, model: str, observed_from: datetime) -> pd.DataFrame:
        rows = _joined(self.outcomes[model], list(OUTCOME_COLUMNS)).reindex(columns=list(OUTCOME_COLUMNS))
        return rows[rows["observed_at"] >= observed_from].reset_index(drop=True)

    def served(
        self, model: str, window: Window, columns: list[str] | None = None, roles: Sequence[Role] = USERS
    ) -> pd.DataFrame:
        rows = self._answers(model, roles)
        rows = rows[(rows["at"] >= window.start) & (rows["at"] < window.end)].reset_index(drop=True)
        return rows.reindex(columns=columns) if columns is not None else rows

    def batches(
        self,
        model: str,
        window: Window,
        columns: Sequence[str] | None = None,
        roles: Sequence[Role] = USERS,
        version: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        import pandas as pd
        import pyarrow as pa

        rows = self._answers(model, roles).drop(columns=["label", "value"])
        rows = rows[(rows["at"] >= window.start) & (rows["at"] < window.end)]
        rows = rows if version is None else rows[rows["version"] == version]
        told = _joined(self.outcomes[model], list(OUTCOME_COLUMNS)).sort_values("recorded_at", kind="stable")
        told = told[told["observed_at"] >= window.start - timedelta(days=1)]
        told = told.reindex(columns=list(OUTCOME_COLUMNS)).drop(columns="recorded_at")
        each = told.groupby("decision_id")["label"]
        counts = pd.DataFrame({"told": each.size(), "labels_told": each.nunique(dropna=False)}).reset_index()
        newest = told.drop_duplicates("decision_id", keep="last").merge(counts, on="decision_id")
        found = rows.merge(newest, on="decision_id", how="left")
        kept = [name for name in found.columns if columns is None or name in columns]
        yield from pa.Table.from_pandas(found[kept], preserve_index=False).to_batches()

    def days_told(self, model: str, since: datetime, first: date) -> set[date]:
        told = {row["decision_id"] for row in _rows(self.outcomes[model]) if row["recorded_at"] > since}
        days = {row["at"].date() for row in _rows(self.rows[model]) if row["decision_id"] in told}
        return {day for day in days if day >= first}

    def arm(self, model: str, epoch: int, since: datetime, roles: Sequence[Role] = USERS) -> pd.DataFrame:
        return self._routed(model, epoch, since, roles)[list(ARM_COLUMNS)]

    def pairs(self, model: str, epoch: int, since: datetime) -> pd.DataFrame:
        return pair_answers(self._routed(model, epoch, since, (Role.CHAMPION, Role.SHADOW)))

    def decision(self, model: str, decision_id: str) -> JsonObject | None:
        rows = [row for table in self.rows[model] for row in table.to_pylist() if row["decision_id"] == decision_id]
        answered = [row for row in rows if row["role"] != Role.SHADOW]
        return max(answered, key=lambda row: row["recorded_at"], default=None)

    def traffic(self, model: str, since: datetime) -> Traffic:
        rows = self._answers(model, (*USERS, Role.TESTER))
        return count_traffic(rows[rows["at"] >= since])

    def _check(self) -> None:
        if self.away:
            raise UnavailableError("the store refuses rows", where="FakePredictionLog", hint="set away to False")

    def _routed(self, model: str, epoch: int, since: datetime, roles: Sequence[Role]) -> pd.DataFrame:
        rows = self._answers(model, roles)
        return rows[(rows["epoch"] >= epoch) & (rows["recorded_at"] > since)].reset_index(drop=True)

    def _answers(self, model: str, roles: Sequence[Role]) -> pd.DataFrame:
        rows = _joined(self.rows[model], list(PREDICTION_COLUMNS)).sort_values("recorded_at", kind="stable")
        rows = rows.drop_duplicates(list(ANSWER_KEY), keep="last")
        return rows[rows["role"].isin(roles)].merge(self._labels(model), on="decision_id", how="left")

    def _labels(self, model: str) -> pd.DataFrame:
        rows = _joined(self.outcomes[model], list(OUTCOME_COLUMNS))
        rows = rows.sort_values("recorded_at", kind="stable").drop_duplicates("decision_id", keep="last")
        told = rows.reindex(columns=["decision_id", "label", "value"])
        return told.astype({"decision_id": "object", "label": "float64", "value": "float64"})


def _rows(tables: list[pa.Table]) -> list[JsonObject]:
    return [row for table in tables for row in table.to_pylist()]


def _joined(tables: list[pa.Table], columns: list[str]) -> pd.DataFrame:
    """An empty list gives an empty frame whose instants can still be compared."""
    import pandas as pd

    if tables:
        return pd.concat([table.to_pandas() for table in tables], ignore_index=True)
    instants = dict.fromkeys({"at", "recorded_at", "observed_at"} & set(columns), "datetime64[us, UTC]")
    return pd.DataFrame(columns=columns).astype(instants)
