"""Snapshots as versions of one Delta table per model.

Each snapshot overwrites the table, so that a Delta version is exactly one snapshot; older versions stay readable
because the table's log and files are kept for ten years. Row order is pinned by a position column.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from steward.adapters.store_refusals import refused
from steward.data import Snapshot
from steward.errors import ConflictError, DataError, IntegrityError, NotFoundError, UnavailableError
from steward.types import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import pyarrow as pa

POSITION = "_position"
_EXACT_IN_FLOAT = 2**53
_KEPT = {
    "delta.logRetentionDuration": "interval 3650 days",
    "delta.deletedFileRetentionDuration": "interval 3650 days",
    "delta.enableExpiredLogCleanup": "false",
}
_ATTEMPTS = 20
_DIGEST, _WINDOW = "steward.digest", "steward.window"


class DeltaSnapshotStore:
    """`root` is a folder or an object-store address; `storage_options` as deltalake takes them."""

    def __init__(self, root: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = root.rstrip("/")
        self.storage_options = dict(storage_options) if storage_options else None

    def write(self, model: str, window: Window, frame: pd.DataFrame) -> Snapshot:
        """As SnapshotStore says; UnavailableError when the store refuses."""
        rows = canonical_table(frame)
        wanted = Snapshot(f"snapshots/{model}", -1, rows_digest(rows), rows.num_rows, window)
        for _ in range(_ATTEMPTS):
            table = self._open(wanted.table)
            if (version := _find(table, wanted)) is not None:
                return replace(wanted, version=version)
            self._commit(table, wanted, rows)
        raise ConflictError(f"{_ATTEMPTS} other snapshots came first", where=wanted.table, hint="try again")

    def read(self, snapshot: Snapshot, columns: list[str] | None = None) -> pd.DataFrame:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError
        from pyarrow import ArrowInvalid

        address = f"{self.root}/{snapshot.table}"
        try:
            table = DeltaTable(address, version=snapshot.version, storage_options=self.storage_options)
            rows = table.to_pyarrow_table(columns=[*columns, POSITION] if columns is not None else None)
        except (DeltaError, FileNotFoundError) as error:
            hint = "was the table moved or vacuumed? take the snapshot again, or restore it from backup"
            raise NotFoundError(f"snapshot {snapshot.version} is gone: {error}", where=address, hint=hint) from error
        except OSError as error:
            raise UnavailableError(f"the store cannot be read: {error}", where=address) from error
        except ArrowInvalid as error:  # a file of another size than its table's log says
            raise IntegrityError(f"a file of it is no longer what was written: {error}", where=address) from error
        rows = rows.sort_by(POSITION).drop_columns([POSITION])
        if columns is None and (found := rows_digest(rows)) != snapshot.digest:
            raise IntegrityError(
                f"the rows have digest {found[:12]}…, the snapshot says {snapshot.digest[:12]}…",
                where=f"{address} version {snapshot.version}",
                hint="the files were altered: do not train on them; find out who wrote to the store",
            )
        return rows.to_pandas(ignore_metadata=True)

    def _open(self, name: str) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(f"{self.root}/{name}", storage_options=self.storage_options)
        except TableNotFoundError:
            return None

    def _commit(self, table: Any, wanted: Snapshot, rows: pa.Table) -> None:
        """On top of `table` as it was opened; does nothing when another writer's commit came first."""
        import pyarrow as pa
        from deltalake import CommitProperties, write_deltalake
        from deltalake.exceptions import CommitFailedError, DeltaError

        address = f"{self.root}/{wanted.table}"
        named = {_DIGEST: wanted.digest, _WINDOW: str(wanted.window)}
        try:
            write_deltalake(
                address if table is None else table,
                rows.append_column(POSITION, pa.array(range(rows.num_rows), pa.int64())),
                mode="error" if table is None else "overwrite",
                schema_mode=None if table is None else "overwrite",
                configuration=_KEPT,
                storage_options=self.storage_options,
                commit_properties=CommitProperties(custom_metadata=named, max_commit_retries=0),
            )
        except CommitFailedError:
            return
        except (DeltaError, OSError) as error:
            if "exists" in str(error):  # two first writers
                return
            raise refused("the snapshot", error, address) from error


def _find(table: Any, wanted: Snapshot) -> int | None:
    """The version that holds these rows for this window.

    deltalake numbers the commits it lists down from the version it opened, which is wrong while another writer commits:
    a list that does not end at version 0 is read again.
    """
    if table is None:
        return None
    for _ in range(_ATTEMPTS):
        if (history := table.history())[-1]["version"] == 0:
            break
        table.update_incremental()
    else:
        raise ConflictError("the table changes faster than it can be read", where=wanted.table, hint="try again")
    for entry in history:
        if (entry.get(_DIGEST), entry.get(_WINDOW)) == (wanted.digest, str(wanted.window)):
            return int(entry["version"])
    return None


def canonical_table(frame: pd.DataFrame) -> pa.Table:
    """Columns in the few types a snapshot has: int64, float64, boolean, string, date, timestamp in µs UTC.

    Raises DataError naming the first column whose values are mixed or have no such type.
    """
    import pyarrow as pa

    names = [str(name) for name in frame.columns]
    if POSITION in names or len(set(names)) != len(names):
        raise DataError(f"columns must be unique and none may be called {POSITION}", where="snapshot")
    columns = [_canonical_column(name, frame.iloc[:, i]) for i, name in enumerate(names)]
    return pa.table(columns, names=names)


def _canonical_column(name: str, values: pd.Series) -> pa.Array:
    import pyarrow as pa

    try:
        array = pa.Array.from_pandas(values)
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        return array.cast(_canonical_type(array.type))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        hint = "give the column one type: numbers, text, booleans or instants"
        raise DataError(f"cannot be stored: {error}", where=f"column {name}", hint=hint) from error


def _canonical_type(type_: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(type_):
        return _canonical_type(type_.value_type)
    if types.is_timestamp(type_):
        return pa.timestamp("us", "UTC")
    if types.is_integer(type_):
        return pa.int64()
    if types.is_floating(type_):
        return pa.float64()
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_) or types.is_null(type_):
        return pa.string()
    if types.is_boolean(type_) or types.is_date32(type_):
        return type_
    raise pa.ArrowNotImplementedError(f"type {type_} has no place in a snapshot")


def rows_digest(rows: pa.Table) -> str:
    """SHA-256 over the values, column by column in the order of their names; row order matters.

    The same for int32, int64, nullable and whole-number float columns of the same values, for NaN and null, and for
    text however it is held.
    """
    digest = hashlib.sha256(b"rows:%d" % rows.num_rows)
    for name in sorted(rows.column_names):
        digest.update(b"\0column:" + name.encode() + b"\0")
        for part in _column_bytes(rows.column(name)):
            digest.update(part)
    return digest.hexdigest()


def _column_bytes(column: pa.ChunkedArray) -> list[Any]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    missing = np.packbits(array.is_null().to_numpy(zero_copy_only=False)).tobytes()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        encoded = pc.fill_null(array.cast(pa.large_binary()), b"")
        lengths = pc.binary_length(encoded).to_numpy(zero_copy_only=False).astype("<i8")
        return [b"text", missing, lengths.tobytes(), b"".join(encoded.to_pylist())]
    kind, values = _numbers(array)
    return [kind, missing, np.ascontiguousarray(values).tobytes()]


def _numbers(array: pa.Array) -> tuple[bytes, Any]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_boolean(array.type):
        return b"boolean", pc.fill_null(array, False).to_numpy(zero_copy_only=False).astype("u1")
    if pa.types.is_timestamp(array.type):
        instants = array.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        return b"instant", pc.fill_null(instants, 0).to_numpy().astype("<i8")
    if pa.types.is_date(array.type):
        return b"date", pc.fill_null(array.cast(pa.date32()).cast(pa.int32()), 0).to_numpy().astype("<i8")
    values = pc.fill_null(array, 0).to_numpy()
    if values.dtype.kind == "i" and values.size and np.abs(values).max() > _EXACT_IN_FLOAT:
        return b"integer", values.astype("<i8")
    return b"number", values.astype("<f8") + 0.0  # adding zero makes -0.0 the 0.0 it equals
