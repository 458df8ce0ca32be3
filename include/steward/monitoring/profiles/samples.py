"""A few rows of every served day, for the checks that counts cannot serve.

A day keeps its SAMPLE_ROWS rows with the smallest keyed hash of `decision_id`: each row has the same chance, a caller
who chooses names of decisions cannot choose which, and days and shards merge to a sample of their rows together
(bottom-k sketch: Cohen and Kaplan 2007). What the log may not hold as it came is not kept here either. Rows carry the
keyed hash of the person they are about, so that forgetting reaches them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from steward.errors import DataError
from steward.monitoring.profiles.words import MOST_CHARACTERS
from steward.monitoring.tallies.arrays import level_name, numbers
from steward.monitoring.tallies.counting import counted_features
from steward.spec import FeatureType, ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Batch: TypeAlias = pa.RecordBatch | pa.Table

SAMPLE_ROWS = 500  # of a day
MOST_ROWS = 2000  # of a window
_EVERY = 2**64 - 1
_FORMAT = b"1"
_NUMERIC = (FeatureType.NUMBER, FeatureType.INTEGER, FeatureType.BOOLEAN)


def is_wanted(spec: ModelSpec) -> bool:
    """Does a declared check need rows?"""
    return spec.monitoring.drift.domain_classifier is not None or spec.monitoring.drift.attribution is not None


def sample_columns(spec: ModelSpec) -> list[str]:
    """Of the prediction log: what a sampler reads."""
    return ["decision_id", "error", "score", "subject", *(f"f_{name}" for name in counted_features(spec))]


class Sampler:
    """Holds SAMPLE_ROWS rows, however many it is shown. Rows that were answered by an error are no inputs of answers
    and are left out."""

    def __init__(self, spec: ModelSpec, key: bytes = b"") -> None:
        self._spec, self._wanted = spec, is_wanted(spec)
        self._key = hashlib.blake2b(key[:64], digest_size=8, person=b"samples").hexdigest()  # SipHash takes 16 bytes
        self._rows: pa.Table | None = None
        self._below = _EVERY  # rows with a greater hash were passed over

    def add(self, batch: Batch) -> None:
        import pyarrow as pa

        if not self._wanted or not batch.num_rows:
            return
        hashes = self._hashes(batch)
        fresh = _smallest(hashes, _answered(batch) & (hashes <= self._below))
        rows = _rows(self._spec, batch.take(pa.array(fresh)), hashes[fresh])
        together = pa.concat_tables([self._rows, rows]) if self._rows is not None else rows
        if together.num_rows >= SAMPLE_ROWS:
            hashes = together["hash"].to_numpy()
            together = together.take(pa.array(_smallest(hashes, np.ones(len(hashes), dtype=bool))))
            self._below = int(together["hash"].to_numpy().max())
        self._rows = together

    def pack(self) -> bytes | None:
        """None when no check needs rows."""
        if not self._wanted:
            return None
        rows = self._rows if self._rows is not None else _rows(self._spec, None, np.empty(0, np.uint64))
        return _packed(rows.sort_by("hash"), self._below)

    def _hashes(self, batch: Batch) -> Any:
        from pandas.util import hash_array

        names = batch.column("decision_id").to_numpy(zero_copy_only=False).astype(object)
        return hash_array(names, hash_key=self._key, categorize=False)


def merge_samples(packed: Iterable[bytes], most: int = MOST_ROWS) -> pd.DataFrame:
    """Rows of the days together, each with the same chance: `f_<feature>` columns and `score`, in a fixed order.

    A day with much traffic was cut at a smaller hash than a quiet one; what lies beyond the smallest cut of all is left
    out, or the quiet days would have too large a part. Raises DataError for bytes that are no sample.
    """
    import pandas as pd
    import pyarrow as pa

    days = [_unpacked(each) for each in packed]
    if not days:
        return pd.DataFrame()
    below = min(cut for _, cut in days)
    rows = pa.concat_tables([rows for rows, _ in days], promote_options="default")
    rows = rows.filter(pa.array(rows["hash"].to_numpy() <= np.uint64(below))).sort_by("hash").slice(0, most)
    frame: pd.DataFrame = rows.drop_columns(["hash", "subject"]).to_pandas()
    return frame


def sampled_rows(packed: bytes) -> int:
    return int(_unpacked(packed)[0].num_rows)


def without_subjects(packed: bytes, subjects: Iterable[str]) -> bytes:
    """The sample less all rows about these persons; the very same bytes when it has none."""
    import pyarrow as pa

    rows, below = _unpacked(packed)
    theirs = np.isin(rows["subject"].to_numpy().astype(object), list(subjects))
    return _packed(rows.filter(pa.array(~theirs)), below) if theirs.any() else packed


def feature_rows(spec: ModelSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """The logged features that are there, by plain name, as a model server hands them to a model: float64 for numbers,
    objects with None for the rest. From `f_<feature>` columns when the frame has any."""
    import pandas as pd

    logged = any(f"f_{name}" in rows for name in spec.data.features)
    found = {}
    for name in counted_features(spec):
        column = f"f_{name}" if logged else name
        if column in rows:
            found[name] = _as_served(rows[column], spec.data.features[name].type)
    return pd.DataFrame(found, index=range(len(rows)))


def _as_served(column: pd.Series, kind: FeatureType) -> Any:
    import pandas as pd

    if kind not in _NUMERIC:
        return np.array([level_name(value) for value in column], dtype=object)
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if kind is not FeatureType.BOOLEAN:
        return np.where(np.isfinite(values), values, np.nan)
    return np.array([None if np.isnan(value) else bool(value) for value in values], dtype=object)


def _answered(batch: Batch) -> Any:
    if "error" not in batch.schema.names:
        return np.ones(batch.num_rows, dtype=bool)
    return batch.column("error").is_null().to_numpy(zero_copy_only=False)


def _smallest(hashes: Any, among: Any) -> Any:
    places = np.flatnonzero(among)
    return places[np.argsort(hashes[places], kind="stable")[:SAMPLE_ROWS]]


def _rows(spec: ModelSpec, batch: Batch | None, hashes: Any) -> pa.Table:
    """Of every batch the same columns and types, whatever it holds."""
    import pyarrow as pa

    rows = len(hashes)
    columns: dict[str, Any] = {"hash": pa.array(hashes, pa.uint64())}
    columns["subject"] = _texts(_column(batch, "subject", rows))
    for name in counted_features(spec):
        column = _column(batch, f"f_{name}", rows)
        numeric = spec.data.features[name].type in _NUMERIC
        columns[f"f_{name}"] = _numbers(column) if numeric else _texts(column)
    columns["score"] = _numbers(_column(batch, "score", rows))
    return pa.table(columns)


def _column(batch: Batch | None, name: str, rows: int) -> pa.Array:
    import pyarrow as pa

    if batch is None or name not in batch.schema.names:
        return pa.nulls(rows)
    column = batch.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _numbers(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    return pa.array(numbers(column).values, pa.float64(), from_pandas=True)


def _texts(column: pa.Array) -> pa.Array:
    """A text is cut where counting its words ends too."""
    import pyarrow as pa

    values: Sequence[Any] = column.to_pylist()
    named = [level_name(value) for value in values]
    return pa.array([None if name is None else name[:MOST_CHARACTERS] for name in named], pa.string())


def _packed(rows: pa.Table, below: int) -> bytes:
    import pyarrow as pa

    rows = rows.replace_schema_metadata({b"format": _FORMAT, b"below": str(below).encode()}).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(rows)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _unpacked(packed: bytes) -> tuple[pa.Table, int]:
    import pyarrow as pa

    try:
        rows = pa.ipc.open_stream(packed).read_all()
        about = rows.schema.metadata or {}
    except pa.ArrowInvalid as error:
        raise DataError("a day's sample of rows cannot be read", hint="count the day again") from error
    if about.get(b"format") != _FORMAT:
        said = f"a day's sample of rows has format {about.get(b'format')!r}, this release reads {_FORMAT!r}"
        raise DataError(said, hint="count the day again")
    return rows.replace_schema_metadata(None), int(about[b"below"])
