"""The rows of a window, batch by batch, each answer once and with what became of it.

Two passes over files that do not change meanwhile: the first reads the names of the decisions alone, to know which rows
count and which outcome belongs to each; the second streams the columns asked for. So memory holds the names and
outcomes of one window and a batch of the rest, however many columns there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, NamedTuple

from steward.adapters.prediction_rows import DAY, Scan, all_of, arrow_type, instant, partitions
from steward.data import ANSWER_KEY, JOINED_COLUMNS, OUTCOME_COLUMNS, PREDICTION_COLUMNS
from steward.errors import UnavailableError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.dataset as ds

BATCH_ROWS = 65_536
_NARROW_ROWS = 2**20  # of a few columns
_COLUMNS_AT_ONCE = 32
_IDENTITY = (*ANSWER_KEY, "recorded_at")


class Source(NamedTuple):
    """One version of a table of the log: its files, and rows that wait to be folded into them. `shown` leaves out who
    is to be forgotten."""

    name: str
    stored: ds.Dataset | None
    waiting: pa.Table | None
    shown: ds.Expression | None


def pieces(dataset: ds.Dataset, asked: Scan, shown: ds.Expression | None) -> Iterator[pa.Table]:
    """As fast as all cores read them: for what is small, or is kept whole anyway."""
    import pyarrow as pa

    read, hides = _columns_read(dataset, asked, shown)
    schema = pa.schema([dataset.schema.field(name) for name in read])
    for batch in dataset.to_batches(columns=read, filter=all_of(asked.wanted, partitions(asked.days))):
        found = asked.of_texts(pa.Table.from_batches([batch], schema))
        yield asked.select(found.filter(shown) if hides else found)


def narrow_pieces(dataset: ds.Dataset, asked: Scan, shown: ds.Expression | None, rows: int) -> Iterator[pa.Table]:
    """A part of a file at a time, in their order, so that two passes meet the same rows; at most so many at once.

    A few columns at a time, too: a reader holds a page of every column that it is at, which of two hundred columns is
    more than the rows themselves.
    """
    read, hides = _columns_read(dataset, asked, shown)
    for fragment in dataset.get_fragments(filter=all_of(asked.wanted, partitions(asked.days))):
        for part in fragment.split_by_row_group(filter=asked.wanted, schema=dataset.schema):
            whole = _side_by_side(part, dataset.schema, read, asked.wanted)
            for start in range(0, whole.num_rows, rows):
                found = asked.of_texts(whole.slice(start, rows))
                yield asked.select(found.filter(shown) if hides else found)


def _side_by_side(
    part: ds.ParquetFileFragment, schema: pa.Schema, read: Sequence[str], wanted: ds.Expression | None
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.dataset as ds

    plainly = ds.ParquetFragmentScanOptions(pre_buffer=False)
    columns: dict[str, pa.ChunkedArray] = {}
    for start in range(0, len(read), _COLUMNS_AT_ONCE):
        few = list(read[start : start + _COLUMNS_AT_ONCE])
        table = part.to_table(schema, few, filter=wanted, use_threads=False, fragment_scan_options=plainly)
        columns |= zip(few, table.columns, strict=True)
    return pa.table(columns)


def _columns_read(dataset: ds.Dataset, asked: Scan, shown: ds.Expression | None) -> tuple[list[str], bool]:
    known = [name for name in dataset.schema.names if name != DAY]
    read = asked.read(known)
    hides = shown is not None and "subject" in known
    return [*read, *(name for name in ("subject", "recorded_at") if hides and name not in read)], hides


def nothing_of(dataset: ds.Dataset, asked: Scan) -> pa.Table:
    """An empty table of the columns asked for."""
    import pyarrow as pa

    read, _ = _columns_read(dataset, asked, None)
    return asked.select(pa.schema([dataset.schema.field(name) for name in read]).empty_table())


def stream(source: Source, asked: Scan, rows: int) -> Iterator[pa.Table]:
    """Raises UnavailableError when an erasure deletes a file under the reader's hands."""
    try:
        if source.stored is not None:
            yield from narrow_pieces(source.stored, asked, source.shown, rows)
    except FileNotFoundError as gone:
        hint = "somebody's rows were erased meanwhile: read it again"
        raise UnavailableError(f"the log changed while it was read: {gone}", where=source.name, hint=hint) from gone
    if source.waiting is not None:
        wanted = source.waiting if asked.wanted is None else source.waiting.filter(asked.wanted)
        found = asked.select(asked.of_texts(wanted))
        for start in range(0, found.num_rows, rows):
            yield found.slice(start, rows)


@dataclass(frozen=True)
class Joined:
    """Of every row in the order of the files: whether it `counts` (None: all do), and the place of its outcome in the
    columns of `outcomes`, null without one."""

    ids: pa.ChunkedArray
    counts: np.ndarray[Any, np.dtype[np.bool_]] | None
    places: pa.Array
    outcomes: Mapping[str, pa.Array]


def read_batches(rows: Source, told: Source | None, asked: Scan, since: Scan) -> Iterator[pa.RecordBatch]:
    """`told`: the outcomes, when they are asked for, and `since` which of them may be of these rows."""
    read = Scan(_IDENTITY, asked.wanted, asked.texts, asked.days)
    joined = _join(list(stream(rows, read, _NARROW_ROWS)), told, since)
    given = None if asked.columns is None else [name for name in asked.columns if name not in JOINED_COLUMNS]
    wide = asked._replace(columns=None if given is None else [*given, "decision_id"])
    start = 0
    for table in stream(rows, wide, BATCH_ROWS):
        yield from _finished(table, start, joined, asked, rows.name)
        start += table.num_rows


def _join(identities: list[pa.Table], told: Source | None, since: Scan) -> Joined:
    import pyarrow as pa
    import pyarrow.compute as pc

    types = {name: arrow_type(PREDICTION_COLUMNS[name]) for name in _IDENTITY}
    empty = pa.schema(list(types.items())).empty_table()
    known = pa.concat_tables([empty, *(conformed(table, types) for table in identities)])
    ids = known["decision_id"]
    if told is None:
        return Joined(ids, _counting(known), pa.nulls(len(ids)), {})
    newest = _newest(_outcomes_of(told, since, ids))
    outcomes = {name: _whole(newest[name]) for name in ("decision_id", *JOINED_COLUMNS)}
    places = pc.index_in(ids, value_set=outcomes.pop("decision_id"))
    return Joined(ids, _counting(known), _whole(places), outcomes)


def _strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As strings are declared; a deletion rewrites files with views of them."""
    import pyarrow as pa

    return column if column.type == pa.string() else column.cast(pa.string())


def conformed(table: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    """These columns in these types; absent ones are null."""
    import pyarrow as pa

    there = table.column_names
    columns = [
        table[name].cast(type_) if name in there else pa.nulls(len(table), type_) for name, type_ in types.items()
    ]
    return pa.table(columns, names=list(types))


def _whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _counting(identities: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """Of a decision that one version answered twice in one role the newest counts. None: all rows do."""
    import numpy as np
    import pyarrow.compute as pc

    ids = identities["decision_id"]
    if pc.count_distinct(ids, mode="all").as_py() == len(ids):
        return None
    found = pc.value_counts(ids)
    again = pc.filter(found.field("values"), pc.greater(found.field("counts"), 1))
    doubtful = np.flatnonzero(pc.is_in(ids, value_set=again).to_numpy(zero_copy_only=False))
    rows = identities.take(doubtful).to_pandas().sort_values("recorded_at", kind="stable")
    kept = rows.drop_duplicates(list(ANSWER_KEY), keep="last").index.to_numpy()
    counts = np.ones(len(ids), np.bool_)
    counts[doubtful] = False
    counts[doubtful[kept]] = True
    return counts


def _outcomes_of(told: Source, since: Scan, ids: pa.ChunkedArray) -> pa.Table:
    """As they came. What was told of other decisions is passed over a piece at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types = {name: arrow_type(type_) for name, type_ in OUTCOME_COLUMNS.items()}
    theirs, known = [pa.schema(list(types.items())).empty_table()], _whole(ids)
    for piece in stream(told, since._replace(columns=list(types)), _NARROW_ROWS):
        plain = conformed(piece, types)
        theirs.append(plain.filter(pc.is_in(plain["decision_id"], value_set=known)))
    return pa.concat_tables(theirs)


def _newest(outcomes: pa.Table) -> pa.Table:
    """One row per decision: the outcome recorded last, how often one was `told`, and how many `labels_told` differ."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = outcomes["decision_id"]
    once = pa.array([1] * len(ids), pa.int32())
    if pc.count_distinct(ids, mode="all").as_py() == len(ids):
        return outcomes.append_column("told", once).append_column("labels_told", once)
    frame = outcomes.to_pandas().sort_values("recorded_at", kind="stable")
    groups = frame.groupby("decision_id", sort=False)
    newest = frame.drop_duplicates("decision_id", keep="last").set_index("decision_id")
    newest["told"] = groups.size().astype("int32")
    newest["labels_told"] = groups["label"].nunique(dropna=False).astype("int32")
    return pa.Table.from_pandas(newest.reset_index(), preserve_index=False)


def _finished(table: pa.Table, start: int, joined: Joined, asked: Scan, name: str) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    rows = table.num_rows
    if not _strings(table["decision_id"]).equals(joined.ids.slice(start, rows)):
        raise UnavailableError("the log changed while it was read", where=name, hint="read it again")
    for column, outcomes in joined.outcomes.items():
        if asked.columns is None or column in asked.columns:
            table = table.append_column(column, outcomes.take(joined.places.slice(start, rows)))
    if asked.columns is not None and "decision_id" not in asked.columns:
        table = table.drop_columns(["decision_id"])
    if joined.counts is not None:
        table = table.filter(pa.array(joined.counts[start : start + rows]))
    yield from table.combine_chunks().to_batches()


def days_of(rows: Source, told: Source, since: datetime, first: date) -> set[date]:
    """UTC days from `first` on with a decision that an outcome was recorded of after `since`."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    news = Scan(["decision_id"], ds.field("recorded_at") > instant(since))
    ids = [_strings(piece["decision_id"]) for piece in stream(told, news, _NARROW_ROWS)]
    decisions = pc.unique(pa.chunked_array([chunk for column in ids for chunk in column.chunks], pa.string()))
    if not len(decisions):
        return set()
    found: set[date] = set()
    midnight = datetime.combine(first, time(), UTC)
    for piece in stream(rows, Scan(["decision_id", "at"], days=(midnight, None)), _NARROW_ROWS):
        at = piece["at"].filter(pc.is_in(_strings(piece["decision_id"]), value_set=decisions))
        found |= set(pc.unique(at.cast(pa.date32())).to_pylist())
    return {day for day in found if day is not None and day >= first}
