"""How the rows of a batch were answered, counted."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steward.monitoring.tallies.answers import OTHERS
from steward.monitoring.tallies.arrays import instants, level_counts, printable
from steward.monitoring.tallies.operation import GROWTH, NO_SOURCE, OperationTally

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    Flags = NDArray[np.bool_]
    Read = Callable[[str], pa.Array | None]

AHEAD = timedelta(minutes=5)  # clocks of two hosts may differ by so much
CARRIED_OVER = timedelta(days=1)  # a nightly load dates an outcome by the day after
_HOUR = 3_600_000_000  # microseconds
_MOST_NAMES = 200  # of callers and of kinds of error: the names come from outside


def count_operation(rows: int, read: Read, failed: Flags, due_after: timedelta) -> OperationTally:
    """`due_after`: an outcome that was observed later than this after its decision, and a night, is late."""
    at, timed = _instants(read("at"), rows)
    recorded, filed = _instants(read("recorded_at"), rows)
    observed, told = _instants(read("observed_at"), rows)
    both = timed & told
    sent, different = _whole(read("told"), rows), _whole(read("labels_told"), rows)
    return OperationTally(
        rows=rows,
        errors=_named(read("error")),
        asked=_named(read("source"), rows),
        failed=_named(read("source"), rows, failed),
        latency=_latency(read("latency_ms")),
        hours=_hours(at[timed]),
        newest=_newest(at[timed]),
        ahead=int((timed & filed & (at - recorded > _micros(AHEAD))).sum()),
        early=int((both & (observed < at)).sum()),
        doubled=int(np.maximum(sent - np.maximum(different, 1), 0).sum()),
        corrected=int(np.maximum(different - 1, 0).sum()),
        late=int((both & (observed - at > _micros(due_after + CARRIED_OVER))).sum()),
    )


def _micros(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def _instants(array: pa.Array | None, rows: int) -> tuple[NDArray[np.int64], Flags]:
    if array is None:
        return np.zeros(rows, np.int64), np.zeros(rows, np.bool_)
    return instants(array)


def _whole(array: pa.Array | None, rows: int) -> NDArray[np.int64]:
    from steward.monitoring.tallies.arrays import floats

    return np.zeros(rows, np.int64) if array is None else np.nan_to_num(floats(array)).astype(np.int64)


def _named(array: pa.Array | None, rows: int = 0, among: Flags | None = None) -> dict[str, int]:
    """Rows by name. `rows`: how many there are, when a missing name is one too, NO_SOURCE."""
    import pyarrow as pa

    if array is None:
        counted = rows if among is None else int(among.sum())
        return {NO_SOURCE: counted} if counted and rows else {}
    found = Counter[str]()
    for name, count in level_counts(array if among is None else array.filter(pa.array(among))).items():
        if name is not None or rows:
            found[NO_SOURCE if name is None else printable(name)] += count
    kept = dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:_MOST_NAMES])
    rest = found.total() - sum(kept.values())
    return {**kept, OTHERS: kept.get(OTHERS, 0) + rest} if rest else kept


def _latency(array: pa.Array | None) -> dict[int, int]:
    """The cell of `latency_cell`, for all at once."""
    from steward.monitoring.tallies.arrays import floats

    if array is None:
        return {}
    values = floats(array)
    known = np.maximum(values[np.isfinite(values)], 1e-3)
    cells, counts = np.unique(np.ceil(np.log(known) / math.log(GROWTH)).astype(np.int64), return_counts=True)
    return dict(zip(cells.tolist(), counts.tolist(), strict=True))


def _hours(at: NDArray[np.int64]) -> dict[str, int]:
    hours, counts = np.unique(at // _HOUR, return_counts=True)
    names = [str(name) for name in hours.astype("datetime64[h]")]
    return dict(zip(names, counts.tolist(), strict=True))


def _newest(at: NDArray[np.int64]) -> datetime | None:
    """An instant that no calendar of Python's has is left to `ahead`."""
    if not len(at):
        return None
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(at.max()))
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
