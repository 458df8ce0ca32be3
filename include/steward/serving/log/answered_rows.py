"""Answered requests as rows of the prediction log: what is kept of each, and many as one table, column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain, groupby, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from steward.data import PREDICTION_COLUMNS, PROBABILITIES
from steward.data.privacy import is_missing, keyed_hash
from steward.serving.answers.contract import NUMERIC, Batch
from steward.spec import FeatureType, ModelSpec
from steward.types import Role

if TYPE_CHECKING:
    import pyarrow as pa


class Answered(NamedTuple):
    """One request as one version answered it (or failed to: `error` set, `scores` None).

    `logged` and `subjects` are what the layout kept of the request (`FeatureLayout.keep`, `whom`); of a person only a
    keyed hash is ever stored.
    """

    model: str
    version: int
    role: Role
    epoch: int
    key: str
    decision_ids: list[str]
    at: datetime
    recorded_at: datetime
    latency_ms: float
    error: str | None
    scores: Any
    source: str | None
    logged: tuple[Any, ...]
    layout: FeatureLayout
    subjects: Sequence[Any] | None = None
    probabilities: Any = None  # (rows, classes) of a multiclass model


class FeatureLayout:
    """Which feature columns are logged and how: the spec's `data.privacy`; what no spec declares is never logged.

    `hash` writes a keyed hash of the value, and so is the subject written, whatever `privacy` says of its column.
    Groups that came beside the features are logged as `g_<column>`.
    """

    def __init__(self, spec: ModelSpec, hash_key: bytes) -> None:
        self._key, self._model, self._subject = hash_key, spec.model, spec.data.subject
        logged_as = spec.data.logged_as
        self._groups = tuple(name for name in spec.data.accompanying if logged_as(name) != "drop")
        named = (*spec.data.features, *self._groups)
        self._hashed = {name for name in named if logged_as(name) == "hash"}
        self._types = {name: f.type for name, f in spec.data.features.items() if logged_as(name) != "drop"}
        names = tuple(self._types)
        self._read = itemgetter(*names) if len(names) > 1 else lambda columns: tuple(columns[name] for name in names)
        self._columns = {
            **{f"f_{name}": (name, type_) for name, type_ in self._types.items()},
            **{f"g_{name}": (name, FeatureType.TEXT) for name in self._groups},
        }

        self.classes = len(spec.data.label.classes or ())

    @property
    def knows_people(self) -> bool:
        return self._subject is not None

    def keep(self, batch: Batch) -> tuple[Any, ...]:
        """The logged features in their order, then the groups: values of a single row, else lists. Nothing else of it
        stays in memory until it is stored."""
        try:
            lists = self._read(batch.columns)
        except KeyError:
            lists = tuple(batch.columns.get(name) or [None] * batch.rows for name in self._types)
        if self._groups:
            lists = (*lists, *(batch.groups.get(name) or [None] * batch.rows for name in self._groups))
        return tuple(map(_FIRST, lists)) if batch.rows == 1 else lists

    def whom(self, batch: Batch, told: Sequence[Any] | None) -> Sequence[Any] | None:
        """Whom each row is about: by its column where the model reads it, else as the caller told."""
        return None if self._subject is None else batch.columns.get(self._subject) or told

    def columns(self, run: Sequence[Answered]) -> dict[str, pa.Array]:
        """The logged features and groups of all rows, as `f_<name>` and `g_<name>`; what a request left out is null."""
        if all(len(answered.decision_ids) == 1 for answered in run):
            values: Iterable[Sequence[Any]] = zip(*(answered.logged for answered in run), strict=True)
        else:
            parts = [_as_lists(answered) for answered in run]
            values = [list(chain.from_iterable(column)) for column in zip(*parts, strict=True)]
        return {
            logged: self._array(name, type_, column)
            for (logged, (name, type_)), column in zip(self._columns.items(), values, strict=True)
        }

    def people(self, run: Sequence[Answered]) -> dict[str, pa.Array]:
        """`subject`, and `request_key`: a caller who splits by person names nobody with it."""
        import pyarrow as pa

        subjects: list[str | None] = []
        keys: list[str] = []
        for answered in run:
            told, rows = answered.subjects, len(answered.decision_ids)
            hashed = [None] * rows if told is None else [self._hash(value) for value in told]
            key = answered.key if told is None else keyed_hash(self._key, self._model, answered.key)
            subjects += hashed
            keys += [key if told is None or key in hashed else answered.key] * rows
        return {"subject": pa.array(subjects, pa.string()), "request_key": pa.array(keys, pa.string())}

    def _array(self, name: str, type_: FeatureType, values: Sequence[Any]) -> pa.Array:
        import pyarrow as pa

        if name in self._hashed:
            return pa.array([self._hash(value) for value in values], pa.string())
        if type_ is FeatureType.BOOLEAN:
            return pa.array(values, pa.bool_()).cast(pa.uint8()).cast(pa.float64())
        if type_ in NUMERIC:
            return _numbers(values)
        return pa.array(values, pa.string())

    def _hash(self, value: Any) -> str | None:
        return None if is_missing(value) else keyed_hash(self._key, self._model, value)


_FIRST = itemgetter(0)


def _as_lists(answered: Answered) -> Sequence[Sequence[Any]]:
    return [[value] for value in answered.logged] if len(answered.decision_ids) == 1 else answered.logged


def _numbers(values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, pa.float64(), from_pandas=True)
    except (pa.ArrowInvalid, OverflowError):  # a whole number that float64 holds only nearly
        return pa.array([None if value is None else float(value) for value in values], pa.float64())


def to_table(group: Sequence[Answered]) -> pa.Table:
    """One row per decision: PREDICTION_COLUMNS and the logged features. Built by column: row by row costs ten times."""
    import pyarrow as pa

    runs = [list(run) for _, run in groupby(group, key=lambda answered: id(answered.layout))]
    return pa.concat_tables([_run_table(run) for run in runs], promote_options="default")


def _run_table(run: Sequence[Answered]) -> pa.Table:
    import pyarrow as pa

    fields = dict(zip(Answered._fields, zip(*run, strict=True), strict=True))
    counts = list(map(len, fields["decision_ids"]))
    given = {
        "decision_id": chain.from_iterable(fields["decision_ids"]),
        "score": chain.from_iterable(map(_scores, fields["scores"], counts)),
        **{column: _for_all_rows(fields[name], counts) for column, name in _SAME_FOR_ALL_ROWS.items()},
    }
    columns = {name: _column(list(given[name]), type_()) for name, type_ in _TYPES.items() if name in given}
    layout = run[0].layout
    columns |= layout.people(run) if layout.knows_people else {"subject": pa.nulls(sum(counts), pa.string())}
    if layout.classes:
        columns[PROBABILITIES] = _probabilities(fields["probabilities"], counts)
    return pa.table({**columns, **layout.columns(run)})


def _probabilities(shares: Iterable[Any], counts: Iterable[int]) -> pa.Array:
    """A list per row, null for a request that was not answered."""
    import pyarrow as pa

    lists = ([None] * rows if each is None else each.tolist() for each, rows in zip(shares, counts, strict=True))
    return pa.array(list(chain.from_iterable(lists)), pa.list_(pa.float64()))


def _column(values: list[Any], type_: pa.DataType) -> pa.Array:
    """Most requests of a moment have the same version, role and epoch; and Arrow takes long over Python's instants."""
    import pyarrow as pa

    first = values[0]
    if values.count(first) == len(values):
        return pa.repeat(pa.scalar(first, type_), len(values))
    if isinstance(first, datetime):
        return pa.array([round(at.timestamp() * 1e6) for at in values], pa.int64()).cast(type_)
    return pa.array(values, type_)


def _scores(scores: Any, rows: int) -> list[float | None]:
    return [None] * rows if scores is None else scores.tolist()


def _for_all_rows(values: Sequence[Any], counts: Sequence[int]) -> Iterable[Any]:
    if len(counts) == sum(counts):
        return values
    return chain.from_iterable(map(repeat, values, counts))


_SAME_FOR_ALL_ROWS = {
    "request_key": "key",
    **{name: name for name in PREDICTION_COLUMNS if name in Answered._fields},
}


def _instant() -> pa.DataType:
    import pyarrow as pa

    return pa.timestamp("us", "UTC")


def _alias(name: str) -> Callable[[], pa.DataType]:
    def type_() -> pa.DataType:
        import pyarrow as pa

        return pa.type_for_alias(name)

    return type_


_TYPES = {name: _instant if kind.startswith("timestamp") else _alias(kind) for name, kind in PREDICTION_COLUMNS.items()}
