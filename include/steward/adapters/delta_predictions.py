"""The prediction log and its outcomes as Delta tables, partitioned by day. One commit per append.

For object stores, where nothing can be appended to a file; on a local disk `SegmentedPredictionLog` stands before it.
Appends of several servers do not conflict. Small files are merged by `maintain`; what a merge replaced is deleted a day
later, when no reader can still be at it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from time import sleep
from typing import TYPE_CHECKING, Any

from steward.adapters.delta_upkeep import (
    configure,
    erase_decisions,
    erase_subject,
    expire,
    merge_small_files,
    purge,
    unknown_decisions,
)
from steward.adapters.delta_windows import laid_out, refusals_of, replace_rows
from steward.adapters.prediction_batches import Source, days_of, nothing_of, pieces, read_batches
from steward.adapters.prediction_rows import (
    DAY,
    OUTCOMES,
    PREDICTIONS,
    TOLD,
    Scan,
    between,
    conform,
    empty_frame,
    instant,
    kind_of,
    newest_labels,
    of_roles,
    one_per_answer,
    with_day,
)
from steward.adapters.store_refusals import refused
from steward.data import (
    ANSWER_KEY,
    ARM_COLUMNS,
    JOINED_COLUMNS,
    OUTCOME_COLUMNS,
    PAIR_COLUMNS,
    PREDICTION_COLUMNS,
    USERS,
    Forgotten,
    Traffic,
    Upkeep,
    count_traffic,
    pair_answers,
)
from steward.types import JsonObject, Role, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds

log = logging.getLogger(__name__)

_COMMIT_RETRIES = 20
_PAUSES = (0.02, 0.1, 0.5)  # seconds, after a conflict and after a file that was vacuumed away
_IDENTITY = (*ANSWER_KEY, "recorded_at")
_EARLIEST_OUTCOME = timedelta(days=1)  # an outcome may be dated a little before its prediction, not more
_COUNTED = ("version", "epoch", "at", "observed_at", "recorded_at")


class DeltaPredictionLog:
    """`root` is a folder or an object-store address; `storage_options` as deltalake takes them. Thread-safe."""

    def __init__(self, root: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = root.rstrip("/")
        self.storage_options = dict(storage_options) if storage_options else None

    def append(self, model: str, rows: pa.Table) -> None:
        self._append(f"{PREDICTIONS}/{model}", conform(rows, PREDICTIONS))

    def append_outcomes(self, model: str, rows: pa.Table) -> None:
        self._append(f"{OUTCOMES}/{model}", conform(rows, OUTCOMES))

    def replace_window(self, model: str, window: Window, version: int, rows: pa.RecordBatchReader, digest: str) -> bool:
        name = f"{PREDICTIONS}/{model}"
        address = f"{self.root}/{name}"
        with refusals_of(address, window):
            if self._open(name) is None:
                self._create(address, laid_out(rows.schema.empty_table().to_reader()).schema)
            return replace_rows(self._open(name), window, version, rows, digest, self.storage_options)

    def served(
        self, model: str, window: Window, columns: list[str] | None = None, roles: Sequence[Role] = USERS
    ) -> pd.DataFrame:
        """A column that the log does not have (a feature declared later) is all missing."""
        wanted = None if columns is None else [c for c in columns if c not in TOLD]
        rows = self._by_time(model, window.start, window.end, wanted, roles)
        if rows is None:
            return empty_frame(columns if columns is not None else [*PREDICTION_COLUMNS, *TOLD])
        if columns is None or any(told in columns for told in TOLD):
            observed = between("observed_at", window.start - _EARLIEST_OUTCOME, None)
            rows = rows.merge(self._labels(model, observed, window.start), on="decision_id", how="left")
        return rows[columns] if columns is not None else rows

    def batches(
        self,
        model: str,
        window: Window,
        columns: Sequence[str] | None = None,
        roles: Sequence[Role] = USERS,
        version: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        import pyarrow.dataset as ds

        served = between("at", window.start, window.end)
        wanted = served if version is None else served & (ds.field("version") == version)
        asked = Scan(columns, wanted, of_roles(roles), (window.start, window.end))
        rows = self._source(f"{PREDICTIONS}/{model}")
        if rows is None:
            return
        earliest = window.start - _EARLIEST_OUTCOME
        since = Scan(wanted=between("observed_at", earliest, None), days=(earliest, None))
        joins = columns is None or any(name in columns for name in JOINED_COLUMNS)
        yield from read_batches(rows, self._source(f"{OUTCOMES}/{model}") if joins else None, asked, since)

    def days_told(self, model: str, since: datetime, first: date) -> set[date]:
        told, rows = self._source(f"{OUTCOMES}/{model}"), self._source(f"{PREDICTIONS}/{model}")
        return days_of(rows, told, since, first) if told and rows else set()

    def arm(self, model: str, epoch: int, since: datetime, roles: Sequence[Role] = USERS) -> pd.DataFrame:
        rows = self._routed(model, epoch, since, roles)
        return empty_frame(ARM_COLUMNS) if rows is None else rows[list(ARM_COLUMNS)]

    def pairs(self, model: str, epoch: int, since: datetime) -> pd.DataFrame:
        rows = self._routed(model, epoch, since, (Role.CHAMPION, Role.SHADOW))
        return empty_frame(PAIR_COLUMNS) if rows is None else pair_answers(rows)

    def decision(self, model: str, decision_id: str) -> JsonObject | None:
        texts = {"decision_id": [decision_id], **of_roles((*USERS, Role.TESTER))}
        found = self._scan(f"{PREDICTIONS}/{model}", Scan(texts=texts))
        return None if found is None else max(found.to_pylist(), key=lambda row: row["recorded_at"], default=None)

    def traffic(self, model: str, since: datetime) -> Traffic:
        rows = self._by_time(model, since, None, ["at", "version", "source"], (*USERS, Role.TESTER))
        return Traffic(0, None) if rows is None else count_traffic(rows)

    def outcomes_since(self, model: str, observed_from: datetime) -> pd.DataFrame:
        observed = Scan(wanted=between("observed_at", observed_from, None), days=(observed_from, None))
        found = self._scan(f"{OUTCOMES}/{model}", observed)
        if found is None:
            return empty_frame(list(OUTCOME_COLUMNS), OUTCOME_COLUMNS)
        return conform(found, OUTCOMES).to_pandas()  # a table of an earlier release has no `value`

    def rotate(self) -> None:
        """Nothing is held open between appends."""

    def maintain(self, model: str, keep_from: datetime, *, compact: bool = True) -> Upkeep:
        tables = [table for kind in (PREDICTIONS, OUTCOMES) if (table := self._open(f"{kind}/{model}")) is not None]
        for table in tables:
            configure(table, _properties(table.to_pyarrow_dataset().schema))
        expired = sum(expire(table, keep_from) for table in tables)
        merged = sum(merge_small_files(table) for table in tables) if compact else 0
        return Upkeep(expired=expired, merged_files=merged, orphans=self._orphans(model) if compact else 0)

    def forget(self, model: str, subject: str, recorded_until: datetime) -> Forgotten:
        """All rows there are: what a server has not stored yet comes later, and is forgotten by asking again."""
        return self._erase(model, subject)

    def _erase(self, model: str, subject: str, *, alone: bool = False) -> Forgotten:
        """Outcomes first: once the predictions are gone, nobody knows which outcomes were theirs.

        All there are, whatever their time: the clock of a server may be ahead of the one that was asked.

        `alone`: nobody else writes the tables now, so that files which no commit names are of the dead.
        """
        predictions, told = self._open(f"{PREDICTIONS}/{model}"), self._open(f"{OUTCOMES}/{model}")
        if predictions is None or "subject" not in predictions.to_pyarrow_dataset().schema.names:
            return Forgotten(0, 0)
        theirs = Scan(["decision_id"], texts={"subject": [subject]})
        ids = _rows_of(predictions.to_pyarrow_dataset(), theirs, None)["decision_id"]
        outcomes = erase_decisions(told, ids) if told is not None and len(ids) else 0
        if len(ids):
            erase_subject(predictions, subject)
        for table in (predictions, told):
            if table is not None:
                purge(table, unnamed=alone)
        return Forgotten(len(ids), outcomes)

    def _orphans(self, model: str) -> int:
        ids = Scan(["decision_id"])
        outcomes = self._scan(f"{OUTCOMES}/{model}", ids)
        return 0 if outcomes is None else unknown_decisions(outcomes, self._scan(f"{PREDICTIONS}/{model}", ids))

    def _unforgotten(self, name: str) -> ds.Expression | None:
        """What a read must leave out although it is still stored; None for nothing."""

    def _routed(self, model: str, epoch: int, since: datetime, roles: Sequence[Role]) -> pd.DataFrame | None:
        """Rows of a rollout's step, labels joined: an outcome is recorded after its prediction."""
        import pyarrow.dataset as ds

        # File statistics on `recorded_at` leave out all but the newest files.
        after = ds.field("recorded_at") > instant(since)
        routed = Scan((*ARM_COLUMNS, *_IDENTITY), after & (ds.field("epoch") >= epoch), of_roles(roles))
        found = self._scan(f"{PREDICTIONS}/{model}", routed)
        if found is None:
            return None
        rows = one_per_answer(found.to_pandas())
        return rows.merge(self._labels(model, after), on="decision_id", how="left")

    def _by_time(
        self, model: str, start: datetime, end: datetime | None, columns: list[str] | None, roles: Sequence[Role]
    ) -> pd.DataFrame | None:
        read = None if columns is None else list(dict.fromkeys([*columns, *_IDENTITY]))
        asked = Scan(read, between("at", start, end), of_roles(roles), (start, end))
        found = self._scan(f"{PREDICTIONS}/{model}", asked)
        if found is None:
            return None
        rows = one_per_answer(found.to_pandas())
        return rows if read is None else rows.reindex(columns=read)

    def _labels(self, model: str, wanted: ds.Expression, first: datetime | None = None) -> pd.DataFrame:
        read = ["decision_id", *TOLD, "recorded_at"]
        days = (first - _EARLIEST_OUTCOME, None) if first else None
        found = self._scan(f"{OUTCOMES}/{model}", Scan(read, wanted, days=days))
        rows = empty_frame(read, OUTCOME_COLUMNS) if found is None else found.to_pandas()
        return newest_labels(rows).astype({"decision_id": "object", **dict.fromkeys(TOLD, "float64")})

    def _scan(self, name: str, asked: Scan) -> pa.Table | None:
        """Without order; columns nobody has are left out. None: there is no table.

        A file that was vacuumed away meanwhile: the table is opened again.
        """
        for pause in _PAUSES:
            try:
                return self._scan_once(name, asked)
            except FileNotFoundError as gone:
                log.info("%s changed while it was read, reading it again: %s", name, gone)
                sleep(pause)
        return self._scan_once(name, asked)

    def _scan_once(self, name: str, asked: Scan) -> pa.Table | None:
        table = self._open(name)
        return None if table is None else _rows_of(table.to_pyarrow_dataset(), asked, self._unforgotten(name))

    def _source(self, name: str) -> Source | None:
        """One version of the table, to be read more than once. None: there is no table."""
        table = self._open(name)
        return None if table is None else Source(name, table.to_pyarrow_dataset(), None, self._unforgotten(name))

    def _append(self, name: str, rows: pa.Table) -> None:
        self._store(name, with_day(rows, kind_of(name)))

    def _store(self, name: str, rows: pa.Table, folded: Mapping[str, int] | None = None) -> None:
        """`folded`: the last sequence number of each writer's segments in these rows, committed with them."""
        from deltalake.exceptions import DeltaError

        address = f"{self.root}/{name}"
        try:
            self._write(name, address, rows, folded or {})
        except (DeltaError, OSError) as error:
            raise refused("rows", error, address) from error

    def _write(self, name: str, address: str, rows: pa.Table, folded: Mapping[str, int]) -> None:
        """Two servers that create a table at once commit its schema twice, which fails the appends in between.

        A refused commit has written nothing, so the same rows may be offered again.
        """
        from deltalake.exceptions import CommitFailedError

        for pause in _PAUSES:
            try:
                return self._commit(name, address, rows, folded)
            except CommitFailedError as conflict:
                log.info("another commit to %s came first, trying again: %s", name, conflict)
                sleep(pause)
        return self._commit(name, address, rows, folded)

    def _commit(self, name: str, address: str, rows: pa.Table, folded: Mapping[str, int]) -> None:
        from deltalake import CommitProperties, Transaction, write_deltalake

        if self._open(name) is None:
            self._create(address, rows.schema)
        transactions = [Transaction(writer, sequence) for writer, sequence in folded.items()]
        write_deltalake(
            address,
            rows,
            mode="append",
            schema_mode="merge",
            storage_options=self.storage_options,
            commit_properties=CommitProperties(
                max_commit_retries=_COMMIT_RETRIES, app_transactions=transactions or None
            ),
        )

    def _create(self, address: str, schema: pa.Schema) -> None:
        """`ignore`: whoever is first creates it, the others find it."""
        from deltalake import DeltaTable

        DeltaTable.create(
            address,
            schema,
            mode="ignore",
            partition_by=[DAY],
            configuration=_properties(schema),
            storage_options=self.storage_options,
        )

    def _open(self, name: str) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(f"{self.root}/{name}", storage_options=self.storage_options)
        except TableNotFoundError:
            return None


def _properties(schema: pa.Schema) -> dict[str, str]:
    """Statistics of these alone: Delta's log would otherwise keep the largest and smallest value of every feature."""
    return {"delta.dataSkippingStatsColumns": ",".join(name for name in _COUNTED if name in schema.names)}


def _rows_of(dataset: ds.Dataset, asked: Scan, shown: ds.Expression | None) -> pa.Table:
    """Batch by batch, so that memory holds what was asked for and no more."""
    import pyarrow as pa

    return pa.concat_tables([nothing_of(dataset, asked), *pieces(dataset, asked, shown)])
