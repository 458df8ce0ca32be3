"""A scored window in the table of predictions, replaced as a whole in one commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from steward.adapters.prediction_rows import PREDICTIONS, conform, with_day
from steward.adapters.store_refusals import refused
from steward.errors import ConflictError, RequestError
from steward.types import Window

if TYPE_CHECKING:
    import pyarrow as pa

_COMMIT_RETRIES = 20
_BITS = 60  # of the digest, as the number of an application transaction


def replace_rows(
    table: Any,
    window: Window,
    version: int,
    rows: pa.RecordBatchReader,
    digest: str,
    storage_options: Mapping[str, str] | None,
) -> bool:
    """False: the rows are there already.

    The commit carries the digest as the application transaction of this window and version: whoever comes again with
    the same rows finds it, and of two at once one is refused.
    """
    from deltalake import CommitProperties, Transaction, write_deltalake

    name, number = f"scored/{version}/{window}", int(digest, 16) >> (4 * len(digest) - _BITS)
    if table.transaction_version(name) == number:
        return False
    write_deltalake(
        table,
        laid_out(rows),
        mode="overwrite",
        schema_mode="merge",
        predicate=_rows_of(window, version),
        storage_options=dict(storage_options) if storage_options else None,
        commit_properties=CommitProperties(
            max_commit_retries=_COMMIT_RETRIES, app_transactions=[Transaction(name, number)]
        ),
    )
    return True


@contextmanager
def refusals_of(address: str, window: Window) -> Iterator[None]:
    """The store's faults as ConflictError where somebody was faster, else as UnavailableError."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except CommitFailedError as conflict:
        hint = "try again: the same window is never stored twice"
        raise ConflictError(f"{window} was changed at the same time", where=address, hint=hint) from conflict
    except (DeltaError, OSError) as error:
        raise refused("rows", error, address) from error


def laid_out(rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows with the table's columns, its day among them; part by part, never all in memory."""
    import pyarrow as pa

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            yield from _with_columns(pa.Table.from_batches([batch])).to_batches()

    return pa.RecordBatchReader.from_batches(_with_columns(rows.schema.empty_table()).schema, batches())


def _with_columns(rows: pa.Table) -> pa.Table:
    return with_day(conform(rows, PREDICTIONS), PREDICTIONS)


def _rows_of(window: Window, version: int) -> str:
    """As a predicate. Raises RequestError for a window that is not of whole days: the table's parts are days."""
    if not _is_midnight(window.start) or not _is_midnight(window.end):
        raise RequestError(f"{window} is not of whole days", where="scoring", hint="begin and end it at midnight, UTC")
    last = window.end - timedelta(days=1)
    return f"day >= '{window.start:%Y-%m-%d}' AND day <= '{last:%Y-%m-%d}' AND version = {version} AND source = 'score'"


def _is_midnight(instant: datetime) -> bool:
    return instant == instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
