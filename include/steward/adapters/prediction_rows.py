"""The rows of the prediction log between Arrow, Delta and pandas: types, order, and what counts once."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from steward.data import ANSWER_KEY, OUTCOME_COLUMNS, PREDICTION_COLUMNS
from steward.types import Role

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds

DAY = "day"
PREDICTIONS, OUTCOMES = "predictions", "outcomes"
DECLARED: dict[str, dict[str, str]] = {PREDICTIONS: PREDICTION_COLUMNS, OUTCOMES: OUTCOME_COLUMNS}
TOLD = ("label", "value")  # what an outcome adds to the answer it is about
TIME = {PREDICTIONS: "at", OUTCOMES: "observed_at"}


def kind_of(name: str) -> str:
    """`predictions` of `predictions/<model>`."""
    return name.partition("/")[0]


def conform(rows: pa.Table, name: str) -> pa.Table:
    """The declared columns first, in their types, absent ones null; then whatever else there is."""
    import pyarrow as pa

    declared = DECLARED[kind_of(name)]
    if rows.schema.names[: len(declared)] == list(declared) and _as_declared(rows.schema, kind_of(name)):
        return rows
    names = [*declared, *(n for n in rows.column_names if n not in declared)]
    columns = []
    for column in names:
        type_ = arrow_type(declared[column]) if column in declared else rows.schema.field(column).type
        present = column in rows.column_names
        columns.append(rows.column(column).cast(type_) if present else pa.nulls(rows.num_rows, type_))
    return pa.table(columns, names=names)


def _as_declared(schema: pa.Schema, kind: str) -> bool:
    return all(schema.field(place).type == type_ for place, type_ in enumerate(_declared_types(kind)))


@functools.cache
def _declared_types(kind: str) -> list[pa.DataType]:
    return [arrow_type(declared) for declared in DECLARED[kind].values()]


def with_day(rows: pa.Table, name: str) -> pa.Table:
    """Conformed rows with the partition column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return rows.append_column(DAY, pc.cast(rows.column(TIME[kind_of(name)]), pa.date32()))


def one_per_answer(rows: pd.DataFrame) -> pd.DataFrame:
    """In the order of `recorded_at`; a batch that was stored twice, or a decision asked twice, counts once."""
    ordered = rows.sort_values("recorded_at", kind="stable")
    return ordered.drop_duplicates(list(ANSWER_KEY), keep="last").reset_index(drop=True)


def newest_labels(outcomes: pd.DataFrame) -> pd.DataFrame:
    newest = outcomes.sort_values("recorded_at", kind="stable").drop_duplicates("decision_id", keep="last")
    return newest.reindex(columns=["decision_id", *TOLD])


def between(time: str, start: datetime, end: datetime | None) -> ds.Expression:
    import pyarrow.dataset as ds

    wanted = ds.field(time) >= instant(start)
    return wanted if end is None else wanted & (ds.field(time) < instant(end))


class Scan(NamedTuple):
    """Which rows of a table, and what of them. `days` leaves partitions out.

    `wanted` compares numbers and instants, where the files' statistics help. `texts` says what a column of texts may
    be, and is looked at after reading: a deletion rewrites files with string views, which Arrow cannot compare there.
    """

    columns: Sequence[str] | None = None
    wanted: ds.Expression | None = None
    texts: Mapping[str, Sequence[str]] = {}
    days: tuple[datetime, datetime | None] | None = None

    def read(self, known: Sequence[str]) -> list[str]:
        """The columns to read for it, of those there are."""
        if self.columns is None:
            return list(known)
        return [name for name in known if name in {*self.columns, *self.texts}]

    def select(self, rows: pa.Table) -> pa.Table:
        if self.columns is None:
            return rows
        return rows.select([name for name in rows.column_names if name in self.columns])

    def of_texts(self, rows: pa.Table) -> pa.Table:
        import pyarrow.dataset as ds

        both = all_of(*(ds.field(name).isin(list(texts)) for name, texts in self.texts.items()))
        return rows if both is None else rows.filter(both)


def of_roles(roles: Iterable[Role]) -> dict[str, Sequence[str]]:
    return {"role": [role.value for role in roles]}


def partitions(days: tuple[datetime, datetime | None] | None) -> ds.Expression | None:
    import pyarrow.dataset as ds

    if days is None:
        return None
    first, last = (None if each is None else instant(each).as_py().date() for each in days)
    from_first = ds.field(DAY) >= first
    return from_first if last is None else from_first & (ds.field(DAY) <= last)


def all_of(*conditions: ds.Expression | None) -> ds.Expression | None:
    """None where nothing is asked for."""
    given = [each for each in conditions if each is not None]
    return functools.reduce(operator.and_, given) if given else None


def instant(value: datetime) -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(value, pa.timestamp("us", "UTC"))


def arrow_type(name: str) -> pa.DataType:
    import pyarrow as pa

    return pa.timestamp("us", "UTC") if name.startswith("timestamp") else pa.type_for_alias(name)


def empty_frame(columns: Sequence[str], declared: Mapping[str, str] = PREDICTION_COLUMNS) -> pd.DataFrame:
    import pandas as pd

    known = {**declared, **dict.fromkeys(TOLD, "float64")}
    return pd.DataFrame({name: pd.Series(dtype=_pandas_type(known.get(name, "object"))) for name in columns})


def _pandas_type(declared: str) -> str:
    if declared.startswith("timestamp"):
        return "datetime64[us, UTC]"
    return "object" if declared == "string" else declared
