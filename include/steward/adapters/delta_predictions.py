"""The prediction log and its outcomes as Delta tables, partitioned by day.

Appends of several servers do not conflict; small files are merged every hundred appends, and what a merge replaced is
deleted a day later, when no reader can still be at it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from datetime import datetime, timedelta
from time import sleep
from typing import TYPE_CHECKING, Any

from steward.data import OUTCOME_COLUMNS, PREDICTION_COLUMNS, Traffic, count_traffic
from steward.errors import UnavailableError
from steward.types import JsonObject, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import pyarrow as pa

log = logging.getLogger(__name__)

DAY = "day"
APPENDS_BETWEEN_MERGES = 100
_SETTLED_FILE_BYTES = 16 * 2**20
_COMMIT_RETRIES = 20
_CONFLICT_PAUSES = (0.02, 0.1, 0.5)  # seconds
_ARM_COLUMNS = ["version", "role", "error", "latency_ms", "score"]
_IDENTITY = ["decision_id", "version", "recorded_at"]


class DeltaPredictionLog:
    """`root` is a folder or an object-store address; `storage_options` as deltalake takes them. Thread-safe."""

    def __init__(self, root: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = root.rstrip("/")
        self.storage_options = dict(storage_options) if storage_options else None
        self._appends: Counter[str] = Counter()
        self._lock = threading.Lock()

    def append(self, model: str, rows: pa.Table) -> None:
        """Columns of PREDICTION_COLUMNS and `f_…`; all rows become readable at once. Raises UnavailableError."""
        self._append(f"predictions/{model}", _with_day(rows, "at", PREDICTION_COLUMNS))

    def append_outcomes(self, model: str, rows: pa.Table) -> None:
        """All rows become readable at once. Raises UnavailableError."""
        self._append(f"outcomes/{model}", _with_day(rows, "observed_at", OUTCOME_COLUMNS))

    def served(self, model: str, window: Window, columns: list[str] | None = None) -> pd.DataFrame:
        """Outcomes are looked for from a day before the window on: none is observed before its prediction.

        A column that the log does not have (a feature declared later) is all missing.
        """
        wanted = None if columns is None else [c for c in columns if c != "label"]
        rows = self._read(f"predictions/{model}", "at", window.start, window.end, wanted)
        if rows is None:
            return _empty(columns if columns is not None else [*PREDICTION_COLUMNS, "label"])
        rows = _one_per_answer(rows)
        if columns is None or "label" in columns:
            rows = rows.merge(self._labels(model, window.start - timedelta(days=1)), on="decision_id", how="left")
        return rows[columns] if columns is not None else rows

    def arm(self, model: str, epoch: int, since: datetime) -> pd.DataFrame:
        import pyarrow.dataset as ds

        table = self._open(f"predictions/{model}")
        if table is None:
            return _empty(_ARM_COLUMNS)
        wanted = (ds.field("recorded_at") > _instant(since)) & (ds.field("epoch") >= epoch)
        # File statistics on `recorded_at` leave out all but the newest files.
        rows = table.to_pyarrow_dataset().to_table(columns=[*_ARM_COLUMNS, *_IDENTITY[::2]], filter=wanted)
        return _one_per_answer(rows.to_pandas())[_ARM_COLUMNS].reset_index(drop=True)

    def decision(self, model: str, decision_id: str) -> JsonObject | None:
        import pyarrow.dataset as ds

        table = self._open(f"predictions/{model}")
        if table is None:
            return None
        found = table.to_pyarrow_dataset().to_table(filter=ds.field("decision_id") == decision_id)
        return max(found.drop_columns([DAY]).to_pylist(), key=lambda row: row["recorded_at"], default=None)

    def traffic(self, model: str, since: datetime) -> Traffic:
        rows = self._read(f"predictions/{model}", "at", since, None, ["at", "version", "source", "error"])
        return Traffic(0, None) if rows is None else count_traffic(_one_per_answer(rows))

    def merge_files(self, name: str) -> None:
        """Merge the small files of `predictions/<model>` or `outcomes/<model>`; drop what was replaced a day ago.

        Losing a race against another server's merge is harmless and logged.
        """
        from deltalake.exceptions import DeltaError

        table = self._open(name)
        if table is None:
            return
        try:
            table.optimize.compact(target_size=_SETTLED_FILE_BYTES)
            table.vacuum(retention_hours=24, dry_run=False, enforce_retention_duration=False)
        except (DeltaError, OSError) as error:
            log.warning("small files of %s were not merged this time: %s", name, error)

    def _append(self, name: str, rows: pa.Table) -> None:
        from deltalake.exceptions import DeltaError

        address = f"{self.root}/{name}"
        try:
            self._write(name, address, rows)
        except (DeltaError, OSError) as error:
            hint = "check the space left and the rights on STEWARD_STORAGE"
            raise UnavailableError(f"the store refuses rows: {error}", where=address, hint=hint) from error
        if self._due(name):
            self.merge_files(name)

    def _write(self, name: str, address: str, rows: pa.Table) -> None:
        """Two servers that create a table at once commit its schema twice, which fails the appends in between.

        A refused commit has written nothing, so the same rows may be offered again.
        """
        from deltalake.exceptions import CommitFailedError

        for pause in _CONFLICT_PAUSES:
            try:
                return self._commit(name, address, rows)
            except CommitFailedError as conflict:
                log.info("another commit to %s came first, trying again: %s", name, conflict)
                sleep(pause)
        return self._commit(name, address, rows)

    def _commit(self, name: str, address: str, rows: pa.Table) -> None:
        from deltalake import CommitProperties, write_deltalake

        if self._open(name) is None:
            self._create(address, rows.schema)
        write_deltalake(
            address,
            rows,
            mode="append",
            schema_mode="merge",
            storage_options=self.storage_options,
            commit_properties=CommitProperties(max_commit_retries=_COMMIT_RETRIES),
        )

    def _create(self, address: str, schema: pa.Schema) -> None:
        """`ignore`: whoever is first creates it, the others find it."""
        from deltalake import DeltaTable

        DeltaTable.create(address, schema, mode="ignore", partition_by=[DAY], storage_options=self.storage_options)

    def _due(self, name: str) -> bool:
        with self._lock:
            self._appends[name] += 1
            return self._appends[name] % APPENDS_BETWEEN_MERGES == 0

    def _open(self, name: str) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(f"{self.root}/{name}", storage_options=self.storage_options)
        except TableNotFoundError:
            return None

    def _read(
        self, name: str, time: str, start: datetime, end: datetime | None, columns: list[str] | None
    ) -> pd.DataFrame | None:
        import pyarrow.dataset as ds

        table = self._open(name)
        if table is None:
            return None
        dataset = table.to_pyarrow_dataset()
        wanted = (ds.field(DAY) >= _instant(start).as_py().date()) & (ds.field(time) >= _instant(start))
        if end is not None:
            wanted &= (ds.field(DAY) <= _instant(end).as_py().date()) & (ds.field(time) < _instant(end))
        known = [c for c in dataset.schema.names if c != DAY]
        if columns is not None:
            known = [c for c in dict.fromkeys([*columns, *_IDENTITY]) if c in dataset.schema.names]
        rows = dataset.to_table(columns=known, filter=wanted).to_pandas()
        return rows if columns is None else rows.reindex(columns=list(dict.fromkeys([*columns, *_IDENTITY])))

    def _labels(self, model: str, start: datetime) -> pd.DataFrame:
        columns = list(OUTCOME_COLUMNS)
        rows = self._read(f"outcomes/{model}", "observed_at", start, None, None)
        if rows is None:
            return _empty(columns)[["decision_id", "label"]].astype({"decision_id": "object", "label": "float64"})
        newest = rows.sort_values("recorded_at", kind="stable").drop_duplicates("decision_id", keep="last")
        return newest[["decision_id", "label"]]


def _with_day(rows: pa.Table, time: str, declared: dict[str, str]) -> pa.Table:
    """Rows in the declared column types, absent columns null, with the partition column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = [*declared, *(n for n in rows.column_names if n not in declared)]
    columns = []
    for name in names:
        type_ = _arrow_type(declared[name]) if name in declared else rows.schema.field(name).type
        present = name in rows.column_names
        columns.append(rows.column(name).cast(type_) if present else pa.nulls(rows.num_rows, type_))
    table = pa.table(columns, names=names)
    return table.append_column(DAY, pc.cast(table.column(time), pa.date32()))


def _arrow_type(name: str) -> pa.DataType:
    import pyarrow as pa

    return pa.timestamp("us", "UTC") if name.startswith("timestamp") else pa.type_for_alias(name)


def _instant(value: datetime) -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(value, pa.timestamp("us", "UTC"))


def _one_per_answer(rows: pd.DataFrame) -> pd.DataFrame:
    """A batch that was stored twice, or a decision asked twice of one version, counts once: its newest row."""
    ordered = rows.sort_values("recorded_at", kind="stable")
    return ordered.drop_duplicates(["decision_id", "version"], keep="last").reset_index(drop=True)


def _empty(columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({name: pd.Series(dtype=_empty_type(name)) for name in columns})


def _empty_type(name: str) -> str:
    declared = {**PREDICTION_COLUMNS, "label": "float64"}.get(name, "object")
    if declared.startswith("timestamp"):
        return "datetime64[us, UTC]"
    return "object" if declared == "string" else declared
