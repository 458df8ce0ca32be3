"""The prediction log and its outcomes as Delta tables, partitioned by day. One commit per append.

For object stores, where nothing can be appended to a file; on a local disk `SegmentedPredictionLog` stands before it.
Appends of several servers do not conflict. Small files are merged by `maintain`; what a merge replaced is deleted a day
later, when no reader can still be at it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from time import sleep
from typing import TYPE_CHECKING, Any

from steward.adapters.delta_windows import laid_out, replace_rows
from steward.adapters.prediction_rows import (
    DAY,
    OUTCOMES,
    PREDICTIONS,
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
from steward.data import (
    ANSWER_KEY,
    ARM_COLUMNS,
    OUTCOME_COLUMNS,
    PAIR_COLUMNS,
    PREDICTION_COLUMNS,
    USERS,
    Traffic,
    count_traffic,
    pair_answers,
)
from steward.errors import UnavailableError
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
# Statistics of these alone: the log of a table would otherwise keep the largest and smallest value of every feature.
_PROPERTIES = {"delta.dataSkippingStatsColumns": "version,epoch,at,observed_at,recorded_at"}


class DeltaPredictionLog:
    """`root` is a folder or an object-store address; `storage_options` as deltalake takes them. Thread-safe."""

    def __init__(self, root: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = root.rstrip("/")
        self.storage_options = dict(storage_options) if storage_options else None

    def append(self, model: str, rows: pa.Table) -> None:
        self._append(f"{PREDICTIONS}/{model}", conform(rows, PREDICTIONS))

    def append_outcomes(self, model: str, rows: pa.Table) -> None:
        self._append(f"{OUTCOMES}/{model}", conform(rows, OUTCOMES))

    def replace_window(
        self, model: str, window: Window, version: int, rows: pa.RecordBatchReader, digest: str
    ) -> bool:
        name = f"{PREDICTIONS}/{model}"
        if self._open(name) is None:
            self._create(f"{self.root}/{name}", laid_out(rows.schema.empty_table().to_reader()).schema)
        return replace_rows(self._open(name), window, version, rows, digest, self.storage_options)

    def served(
        self, model: str, window: Window, columns: list[str] | None = None, roles: Sequence[Role] = USERS
    ) -> pd.DataFrame:
        """A column that the log does not have (a feature declared later) is all missing."""
        wanted = None if columns is None else [c for c in columns if c != "label"]
        rows = self._by_time(model, window.start, window.end, wanted, roles)
        if rows is None:
            return empty_frame(columns if columns is not None else [*PREDICTION_COLUMNS, "label"])
        if columns is None or "label" in columns:
            observed = between("observed_at", window.start - _EARLIEST_OUTCOME, None)
            rows = rows.merge(self._labels(model, observed, window.start), on="decision_id", how="left")
        return rows[columns] if columns is not None else rows

    def arm(self, model: str, epoch: int, since: datetime, roles: Sequence[Role] = USERS) -> pd.DataFrame:
        rows = self._routed(model, epoch, since, roles)
        return empty_frame(ARM_COLUMNS) if rows is None else rows[list(ARM_COLUMNS)]

    def pairs(self, model: str, epoch: int, since: datetime) -> pd.DataFrame:
        rows = self._routed(model, epoch, since, (Role.CHAMPION, Role.SHADOW))
        return empty_frame(PAIR_COLUMNS) if rows is None else pair_answers(rows)

    def decision(self, model: str, decision_id: str) -> JsonObject | None:
        import pyarrow.dataset as ds

        wanted = (ds.field("decision_id") == decision_id) & of_roles((*USERS, Role.TESTER))
        found = self._scan(f"{PREDICTIONS}/{model}", wanted)
        return None if found is None else max(found.to_pylist(), key=lambda row: row["recorded_at"], default=None)

    def traffic(self, model: str, since: datetime) -> Traffic:
        rows = self._by_time(model, since, None, ["at", "version", "source"], (*USERS, Role.TESTER))
        return Traffic(0, None) if rows is None else count_traffic(rows)

    def _routed(self, model: str, epoch: int, since: datetime, roles: Sequence[Role]) -> pd.DataFrame | None:
        """Rows of a rollout's step, labels joined: an outcome is recorded after its prediction."""
        import pyarrow.dataset as ds

        # File statistics on `recorded_at` leave out all but the newest files.
        after = ds.field("recorded_at") > instant(since)
        wanted = after & (ds.field("epoch") >= epoch) & of_roles(roles)
        read = [c for c in dict.fromkeys([*ARM_COLUMNS, *_IDENTITY]) if c != "label"]
        found = self._scan(f"{PREDICTIONS}/{model}", wanted, read)
        if found is None:
            return None
        rows = one_per_answer(found.to_pandas())
        return rows.merge(self._labels(model, after), on="decision_id", how="left")

    def _by_time(
        self, model: str, start: datetime, end: datetime | None, columns: list[str] | None, roles: Sequence[Role]
    ) -> pd.DataFrame | None:
        wanted = between("at", start, end) & of_roles(roles)
        read = None if columns is None else list(dict.fromkeys([*columns, *_IDENTITY]))
        found = self._scan(f"{PREDICTIONS}/{model}", wanted, read, (start, end))
        if found is None:
            return None
        rows = one_per_answer(found.to_pandas())
        return rows if read is None else rows.reindex(columns=read)

    def _labels(self, model: str, wanted: ds.Expression, first: datetime | None = None) -> pd.DataFrame:
        read = ["decision_id", "label", "recorded_at"]
        days = (first - _EARLIEST_OUTCOME, None) if first else None
        found = self._scan(f"{OUTCOMES}/{model}", wanted, read, days)
        rows = empty_frame(read, OUTCOME_COLUMNS) if found is None else found.to_pandas()
        return newest_labels(rows).astype({"decision_id": "object", "label": "float64"})

    def _scan(
        self,
        name: str,
        wanted: ds.Expression | None,
        columns: list[str] | None = None,
        days: tuple[datetime, datetime | None] | None = None,
    ) -> pa.Table | None:
        """All rows that are `wanted`, without order; columns nobody has are left out. None: there is no table.

        `days` leaves partitions out. A file that was vacuumed away meanwhile: the table is opened again.
        """
        for pause in _PAUSES:
            try:
                return self._scan_once(name, wanted, columns, days)
            except FileNotFoundError as gone:
                log.info("%s changed while it was read, reading it again: %s", name, gone)
                sleep(pause)
        return self._scan_once(name, wanted, columns, days)

    def _scan_once(
        self,
        name: str,
        wanted: ds.Expression | None,
        columns: list[str] | None,
        days: tuple[datetime, datetime | None] | None,
    ) -> pa.Table | None:
        table = self._open(name)
        if table is None:
            return None
        dataset = table.to_pyarrow_dataset()
        known = [c for c in dataset.schema.names if c != DAY and (columns is None or c in columns)]
        return dataset.to_table(columns=known, filter=_all_of(wanted, _partitions(days)))

    def _append(self, name: str, rows: pa.Table) -> None:
        self._store(name, with_day(rows, kind_of(name)))

    def _store(self, name: str, rows: pa.Table, folded: Mapping[str, int] | None = None) -> None:
        """`folded`: the last sequence number of each writer's segments in these rows, committed with them."""
        from deltalake.exceptions import DeltaError

        address = f"{self.root}/{name}"
        try:
            self._write(name, address, rows, folded or {})
        except (DeltaError, OSError) as error:
            hint = "check the space left and the rights on STEWARD_STORAGE"
            raise UnavailableError(f"the store refuses rows: {error}", where=address, hint=hint) from error

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
            configuration={k: _known(v, schema) for k, v in _PROPERTIES.items()},
            storage_options=self.storage_options,
        )

    def _open(self, name: str) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(f"{self.root}/{name}", storage_options=self.storage_options)
        except TableNotFoundError:
            return None


def _known(columns: str, schema: pa.Schema) -> str:
    return ",".join(column for column in columns.split(",") if column in schema.names)


def _partitions(days: tuple[datetime, datetime | None] | None) -> ds.Expression | None:
    import pyarrow.dataset as ds

    if days is None:
        return None
    first, last = (None if each is None else instant(each).as_py().date() for each in days)
    from_first = ds.field(DAY) >= first
    return from_first if last is None else from_first & (ds.field(DAY) <= last)


def _all_of(*wanted: ds.Expression | None) -> ds.Expression | None:
    given = [each for each in wanted if each is not None]
    if not given:
        return None
    both = given[0]
    for each in given[1:]:
        both &= each
    return both
