"""A window of the source, scored: read part by part, judged as a whole, and as rows of the prediction table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from steward.data.contract import contract_of
from steward.data.predictions import PROBABILITIES
from steward.data.privacy import keyed_hash
from steward.gates import Finding, Outcome
from steward.gates.groups import group_text
from steward.spec.model import FeatureType, ModelSpec
from steward.types import JsonObject, Role, VersionRef, Window, format_instant

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SOURCE = "score"  # who asked, in the prediction log: the scoring run
PART_ROWS = 50_000
_NUMERIC = (FeatureType.NUMBER, FeatureType.INTEGER)


def days_of(window: Window) -> Iterator[Window]:
    """The window day by day, so that a source is never asked for more than one at a time."""
    start = window.start
    while start < window.end:
        end = min(start + timedelta(days=1), window.end)
        yield Window(start, end)
        start = end


def in_parts(frames: Iterable[pd.DataFrame], least: int = PART_ROWS) -> Iterator[pd.DataFrame]:
    """The frames joined to parts of at least `least` rows, fewer only when there are no more.

    A contract allows shares of a window: a handful of rows left over at its end must not be judged by themselves.
    """
    whole: pd.DataFrame | None = None
    waiting: list[pd.DataFrame] = []
    for frame in frames:
        waiting.append(frame)
        if sum(map(len, waiting)) >= least:
            if whole is not None:
                yield whole
            whole, waiting = _joined(waiting), []
    rest = _joined([*([] if whole is None else [whole]), *waiting])
    if len(rest):
        yield rest


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def scoring_contract(spec: ModelSpec, columns: list[str]) -> JsonObject:
    """The data contract without what concerns a whole training window: its size, its time, its label."""
    contract = contract_of(spec)
    return {**contract, "min_rows": 1, "columns": columns, "label": {**contract["label"], "binary": False}}


@dataclass
class Whole:
    """What only the whole window shows: that it has rows, that they are new, and that no id is there twice."""

    spec: ModelSpec
    window: Window
    rows: int = 0
    newest: datetime | None = None
    twice: int = 0
    _seen: set[bytes] = field(default_factory=set)

    def add(self, frame: pd.DataFrame) -> None:
        self.rows += len(frame)
        newest = frame[self.spec.data.time].max().to_pydatetime()
        self.newest = max(filter(None, (self.newest, newest)))
        names = [hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in frame[self.spec.data.id]]
        before = len(self._seen)
        self._seen.update(names)
        self.twice += len(names) - (len(self._seen) - before)

    def findings(self) -> Iterator[Finding]:
        if self.newest is None:
            yield Finding("data.rows", Outcome.FAILED, f"the window {self.window} has no rows", 0, 1, rows=0)
            return
        yield Finding("data.rows", Outcome.PASSED, f"the window has {self.rows} rows", self.rows, 1, rows=self.rows)
        yield self._unique()
        yield self._fresh(self.newest)

    def _unique(self) -> Finding:
        name, outcome = self.spec.data.id, Outcome.FAILED if self.twice else Outcome.PASSED
        said = f"{self.twice} of {self.rows} rows have a {name} that another row has"
        return Finding(f"data.unique:{name}", outcome, said, self.twice, 0, rows=self.rows)

    def _fresh(self, newest: datetime) -> Finding:
        late = self.window.end - newest > self.spec.data.freshness
        said = f"the newest {self.spec.data.time} is {format_instant(newest)}"
        outcome, said = (Outcome.FAILED, f"{said}: the data is late or absent") if late else (Outcome.PASSED, said)
        return Finding("data.freshness", outcome, said, rows=self.rows)


def decision_ids(spec: ModelSpec, frame: pd.DataFrame, hash_key: bytes) -> list[str]:
    """From model, id and time of the row: scored again, in whatever window, it is the same decision.

    Where `privacy` hashes or drops the id, the key is in it too: nobody finds a person by trying ids.
    """
    key = b"" if _id_rule(spec) == "keep" else hash_key
    names = (
        f"{row}\0{format_instant(at)}"
        for row, at in zip(frame[spec.data.id], frame[spec.data.time].tolist(), strict=True)
    )
    return [keyed_hash(key, spec.model, name) for name in names]


def _id_rule(spec: ModelSpec) -> str:
    """An id is kept unless the spec says otherwise, or it names a person: whoever reads must find their rows."""
    usual = "hash" if spec.data.id == spec.data.subject else "keep"
    return spec.data.privacy.get(spec.data.id, usual)


def scored_rows(
    spec: ModelSpec, ref: VersionRef, frame: pd.DataFrame, scores: Any, recorded_at: datetime, hash_key: bytes
) -> pa.Table:
    """Rows for the prediction table: answered by the champion, at the time of the row. No latency: nobody waited.

    `scores` of shape (rows, classes) are probabilities of a multiclass model.
    """
    import pyarrow as pa

    rows, ids = len(frame), decision_ids(spec, frame, hash_key)
    instant = pa.timestamp("us", "UTC")
    columns = {
        "decision_id": pa.array(ids, pa.string()),
        "request_key": pa.array(_request_keys(spec, frame, ids, hash_key), pa.string()),
        "version": pa.array([ref.number] * rows, pa.int32()),
        "role": pa.array([Role.CHAMPION.value] * rows, pa.string()),
        "epoch": pa.array([0] * rows, pa.int64()),
        "at": pa.array(frame[spec.data.time], instant),
        "recorded_at": pa.array([recorded_at] * rows, instant),
        "latency_ms": pa.nulls(rows, pa.float64()),
        "error": pa.nulls(rows, pa.string()),
        **answer_columns(scores),
        "source": pa.array([SOURCE] * rows, pa.string()),
        "subject": _subjects(spec, frame, hash_key),
    }
    return pa.table({**columns, **_features(spec, frame, hash_key)})


def answer_columns(scores: Any) -> dict[str, pa.Array]:
    """`score`, and of a multiclass model the number of the class decided for with its PROBABILITIES beside."""
    import numpy as np
    import pyarrow as pa

    answers = np.asarray(scores, np.float64)
    if answers.ndim == 1:
        return {"score": pa.array(answers, pa.float64())}
    rows, classes = answers.shape
    starts = pa.array(np.arange(rows + 1) * classes, pa.int32())
    listed = pa.ListArray.from_arrays(starts, pa.array(answers.ravel(), pa.float64()))
    return {"score": pa.array(answers.argmax(axis=1).astype(np.float64)), PROBABILITIES: listed}


def _request_keys(spec: ModelSpec, frame: pd.DataFrame, ids: list[str], hash_key: bytes) -> list[str]:
    rule = _id_rule(spec)
    if rule == "drop":
        return ids
    names = frame[spec.data.id].map(str).tolist()
    return [keyed_hash(hash_key, spec.model, name) for name in names] if rule == "hash" else names


def _subjects(spec: ModelSpec, frame: pd.DataFrame, hash_key: bytes) -> pa.Array:
    import pyarrow as pa

    if spec.data.subject is None:
        return pa.nulls(len(frame), pa.string())
    return pa.array(_hashed(spec, frame[spec.data.subject], hash_key), pa.string())


def _hashed(spec: ModelSpec, values: pd.Series, hash_key: bytes) -> list[str | None]:
    missing = values.isna()
    return [
        None if gone else keyed_hash(hash_key, spec.model, value)
        for value, gone in zip(values.tolist(), missing, strict=True)
    ]


def _features(spec: ModelSpec, frame: pd.DataFrame, hash_key: bytes) -> dict[str, pa.Array]:
    """As a model server logs them: numbers and booleans as float64, the rest as text; `privacy` hashes or drops."""
    import pyarrow as pa

    logged = {f"g_{name}": _groups(spec, name, frame[name], hash_key) for name in spec.data.accompanying}
    for name, feature in spec.data.features.items():
        rule, values = spec.data.logged_as(name), frame[name]
        if rule == "hash":
            logged[f"f_{name}"] = pa.array(_hashed(spec, values, hash_key), pa.string())
        elif rule == "keep" and feature.type in (*_NUMERIC, FeatureType.BOOLEAN):
            logged[f"f_{name}"] = pa.array(values.astype("float64"), pa.float64(), from_pandas=True)
        elif rule == "keep":
            logged[f"f_{name}"] = pa.array(values.astype(object), pa.string(), from_pandas=True)
    return logged


def _groups(spec: ModelSpec, name: str, values: pd.Series, hash_key: bytes) -> pa.Array:
    """As a caller would have sent them."""
    import pyarrow as pa

    texts = [None if gone else group_text(value) for value, gone in zip(values.tolist(), values.isna(), strict=True)]
    if spec.data.logged_as(name) == "keep":
        return pa.array(texts, pa.string())
    hashed = [None if text is None else keyed_hash(hash_key, spec.model, text) for text in texts]
    return pa.array(hashed, pa.string())
