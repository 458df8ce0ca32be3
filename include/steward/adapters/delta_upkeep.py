"""Upkeep of one Delta table of the prediction log: retention, merging of small files, erasure."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from steward.adapters.prediction_rows import DAY, instant
from steward.errors import UnavailableError

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_SETTLED_FILE_BYTES = 64 * 2**20
_READERS_HOURS = 24  # how long a reader may be at a file that was replaced


def configure(table: Any, properties: dict[str, str]) -> None:
    """A table of an earlier release gets what one is created with today."""
    if not properties.items() <= table.metadata().configuration.items():
        with _refusals(table):
            table.alter.set_table_properties(properties)


def expire(table: Any, keep_from: datetime) -> int:
    """Drop the partitions of days before that of `keep_from`; the rows they held."""
    import pyarrow.compute as pc

    first = instant(keep_from).as_py().date()
    files = _files(table)
    old = files.filter(pc.field(f"partition.{DAY}") < first)
    if old.num_rows:
        with _refusals(table):
            table.delete(f"{DAY} < CAST('{first.isoformat()}' AS DATE)")
    return int(pc.sum(old["num_records"]).as_py() or 0)


def merge_small_files(table: Any) -> int:
    """How many files were merged. What was replaced, or had expired, a day ago is deleted for good.

    So is what a process left that was killed before its commit.
    """
    with _refusals(table):
        merged = table.optimize.compact(target_size=_SETTLED_FILE_BYTES)
        table.vacuum(retention_hours=_READERS_HOURS, dry_run=False, enforce_retention_duration=False, full=True)
    return int(merged["numFilesRemoved"])


def erase_subject(table: Any, subject: str) -> None:
    """`subject` is a keyed hash: hexadecimal, as this software makes it; ValueError for anything else."""
    if not all(sign in "0123456789abcdef" for sign in subject):
        raise ValueError(f"not a keyed hash: {subject[:40]!r}")
    with _refusals(table):
        table.delete(f"subject = '{subject}'")


def erase_decisions(table: Any, decision_ids: pa.Array) -> int:
    import pyarrow as pa

    ids = pa.table({"decision_id": decision_ids.unique()})
    with _refusals(table):
        matched = table.merge(ids, "t.decision_id = s.decision_id", source_alias="s", target_alias="t")
        return int(matched.when_matched_delete().execute()["num_target_rows_deleted"])


def purge(table: Any, *, unnamed: bool) -> None:
    """Delete every file that only earlier versions name, now: none of them can be read any more.

    `unnamed`: files that no version names too, such as a killed process leaves, and a living one before its commit.
    """
    with _refusals(table):
        table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=unnamed)


def unknown_decisions(outcomes: pa.Table, predictions: pa.Table | None) -> int:
    """Outcomes of decisions nobody knows, counted by decision."""
    import pyarrow.compute as pc

    ids = pc.unique(outcomes["decision_id"])
    if predictions is None:
        return len(ids)
    return len(ids) - int(pc.sum(pc.is_in(ids, pc.unique(predictions["decision_id"]))).as_py() or 0)


def fit(tables: Sequence[pa.Table], types: dict[str, pa.DataType]) -> pa.Table:
    """One table of all; `types` come first, then those of the first table with a column.

    A value that its column cannot hold (a feature that became another type, or is hashed since) is null, and said.
    """
    import pyarrow as pa

    known = dict(types)
    for table in tables:
        for field in table.schema:
            known.setdefault(field.name, field.type)
    return pa.concat_tables([_fitted(table, known) for table in tables], promote_options="default")


def _fitted(table: pa.Table, types: dict[str, pa.DataType]) -> pa.Table:
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if field.type == (type_ := types[field.name]):
            continue
        try:
            column = table.column(place).cast(type_)
        except pa.ArrowInvalid:
            log.warning("%d values of %s are %s, the log holds %s", table.num_rows, field.name, field.type, type_)
            column = pa.nulls(table.num_rows, type_)
        table = table.set_column(place, pa.field(field.name, type_), column)
    return table


def _files(table: Any) -> pa.Table:
    import pyarrow as pa

    return pa.table(table.get_add_actions(flatten=True))


@contextmanager
def _refusals(table: Any) -> Iterator[None]:
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (DeltaError, OSError) as error:
        hint = "run it again: it goes on where it stopped; if it is refused again, look at STEWARD_STORAGE"
        raise UnavailableError(f"the store refuses upkeep: {error}", where=table.table_uri, hint=hint) from error
