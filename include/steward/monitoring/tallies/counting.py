"""Rows of the prediction log in, a tally out: one pass, a column of a batch at a time.

Columns as the log has them: `f_<feature>` (or features by plain name), `score`, `probabilities`, `error`, `source`,
`latency_ms`, `at`, `recorded_at`, `g_<column>` of protected columns that are no features; of the outcome `label`,
`value`, `observed_at`, `told` (how often one was sent) and `labels_told` (how many different ones). A feature that is
absent is counted as absent; of anything else that is absent nothing is counted. Whatever a column holds, nothing here
raises for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steward.errors import DataError
from steward.gates.groupings import column_sets
from steward.gates.groups import CROSSED
from steward.gates.slices import Condition, cut, parse_slice
from steward.gates.verdict import OVERALL
from steward.monitoring.tallies.answer_counts import (
    Answers,
    Scale,
    by_level,
    count_answers,
    count_groups,
    count_outcomes,
    read_answers,
)
from steward.monitoring.tallies.answers import MOST_GROUPS, GroupTally, OutcomeTally
from steward.monitoring.tallies.arrays import Codes, arrow, coded, fewer, floats, holds_levels, numbers
from steward.monitoring.tallies.column_counts import ColumnCounter
from steward.monitoring.tallies.columns import ColumnTally
from steward.monitoring.tallies.operation_counts import count_operation
from steward.monitoring.tallies.tally import Tally
from steward.spec.fairness import Fairness
from steward.spec.model import ModelSpec, Task
from steward.types import JsonObject

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Flags = NDArray[np.bool_]

BATCH_ROWS = 65_536
"""Rows counted at once: a column of them stays in a processor's cache."""
MOST_SLICES = 60  # levels of one column that are slices of their own


def count_rows(spec: ModelSpec, profile: JsonObject, digest: str, batches: Iterable[pa.RecordBatch]) -> Tally:
    """`digest` names the profile. Batches of any size, with any columns; they need not be alike."""
    counter = RowCounter(spec, profile, digest)
    pieces = (batch[start : start + BATCH_ROWS] for batch in batches for start in range(0, len(batch), BATCH_ROWS))
    return Tally.total(digest, map(counter.count, pieces))


def tally_of(spec: ModelSpec, profile: JsonObject, digest: str, frame: pd.DataFrame) -> Tally:
    """The same of a frame. A column whose values no one type holds is read as texts."""
    import pyarrow as pa

    columns = {name: frame.iloc[:, place] for place, name in enumerate(frame.columns)}
    batch = pa.RecordBatch.from_arrays([arrow(column) for column in columns.values()], [str(name) for name in columns])
    return count_rows(spec, profile, digest, [batch])


def counted_features(spec: ModelSpec) -> list[str]:
    """Features that the prediction log holds as they came: `privacy` may drop or hash others."""
    return [name for name in spec.data.features if spec.data.logged_as(name) == "keep"]


class RowCounter:
    """Counts batches of one version, each for itself."""

    def __init__(self, spec: ModelSpec, profile: JsonObject, digest: str) -> None:
        self._spec, self._digest = spec, digest
        self._scale = Scale.of(spec, profile)
        known = profile["features"]
        self._columns = {
            name: ColumnCounter(spec.data.features[name], known.get(name)) for name in counted_features(spec)
        }
        self._slices = [parse_slice(text) for text in spec.evaluation.slices]
        self._rules = spec.monitoring.fairness or spec.evaluation.fairness or Fairness()

    def count(self, batch: pa.RecordBatch) -> Tally:
        read, failed = Columns(batch, self._spec), _failed(batch)
        answers = self._answers(read, failed)
        due_after = self._spec.data.label.arrives_after
        return Tally(
            self._digest,
            {name: self._column(name, read) for name in self._columns},
            count_answers(answers),
            {OVERALL: count_outcomes(answers), **self._sliced(read, answers)},
            dict(self._grouped(read, answers)),
            count_operation(len(batch), read.plain, failed, due_after),
        )

    def _answers(self, read: Columns, failed: Flags) -> Answers:
        scores, labels, values = (read.floats(name) for name in ("score", "label", "value"))
        return read_answers(self._scale, scores, labels, values, failed, read.plain("probabilities"))

    def _column(self, name: str, read: Columns) -> ColumnTally:
        array, counter = read.feature(name), self._columns[name]
        return counter.absent(read.rows) if array is None else counter.count(array)

    # --- slices and groups ------------------------------------------------------------------------

    def _sliced(self, read: Columns, answers: Answers) -> dict[str, OutcomeTally]:
        """Slices of `evaluation.slices` whose columns are there."""
        found: dict[str, OutcomeTally] = {}
        for text, parsed in zip(self._spec.evaluation.slices, self._slices, strict=True):
            if isinstance(parsed, str):
                codes = read.coded(parsed, MOST_SLICES)
                found |= dict(by_level(parsed, _among(codes, answers), answers)) if codes else {}
            elif (rows := read.holding(text, parsed)) is not None:
                found[text] = count_outcomes(answers, rows[answers.kept])
        return found

    def _grouped(self, read: Columns, answers: Answers) -> Iterator[tuple[str, Mapping[str, GroupTally]]]:
        """By each protected column, and by several crossed, as `evaluation` judges them."""
        if self._spec.task is not Task.BINARY:
            return
        found = {column: read.coded(column, MOST_GROUPS) for column in self._spec.data.protected}
        there = {column: _among(codes, answers) for column, codes in found.items() if codes is not None}
        for columns in column_sets(list(there), self._rules.intersections):
            crossed = _crossed([there[column] for column in columns])
            yield CROSSED.join(columns), count_groups(crossed, answers, self._rules.favourable)


def _among(found: Codes, answers: Answers) -> Codes:
    return Codes(found.codes[answers.kept], found.names)


def _crossed(parts: Sequence[Codes]) -> Codes:
    """`black × female` of each row."""
    whole = parts[0]
    for part in parts[1:]:
        both, codes = np.unique(whole.codes * len(part.names) + part.codes, return_inverse=True)
        names = [
            f"{whole.names[pair // len(part.names)]}{CROSSED}{part.names[pair % len(part.names)]}" for pair in both
        ]
        whole = fewer(Codes(codes.astype(np.int64), names), MOST_GROUPS)
    return whole


def _failed(batch: pa.RecordBatch) -> Flags:
    if "error" not in batch.schema.names:
        return np.zeros(len(batch), np.bool_)
    return np.asarray(batch.column("error").is_valid().to_numpy(zero_copy_only=False), np.bool_)


class Columns:
    """The columns of one batch under the names that a spec knows them by."""

    def __init__(self, batch: pa.RecordBatch, spec: ModelSpec) -> None:
        self._batch, self.rows = batch, len(batch)
        names = batch.schema.names
        self._logged = any(f"f_{name}" in names for name in spec.data.features)
        self._places = {name: place for place, name in enumerate(names)}  # of columns of one name the last

    def plain(self, name: str) -> pa.Array | None:
        place = self._places.get(name)
        return None if place is None else self._batch.column(place)

    def feature(self, name: str) -> pa.Array | None:
        return self.plain(f"f_{name}" if self._logged else name)

    def named(self, column: str) -> pa.Array | None:
        """A feature, or a protected column that is none."""
        for name in (f"f_{column}", f"g_{column}", column):
            if (array := self.plain(name)) is not None:
                return array
        return None

    def floats(self, name: str) -> NDArray[np.float64]:
        array = self.plain(name)
        return np.full(self.rows, np.nan) if array is None else floats(array)

    def coded(self, column: str, most: int) -> Codes | None:
        array = self.named(column)
        return None if array is None or not holds_levels(array) else coded(array, most)

    def holding(self, text: str, conditions: Sequence[Condition]) -> Flags | None:
        """Rows where all conditions hold; None where a column is absent or holds what cannot be compared."""
        import pandas as pd

        found = {each.column: (self.named(each.column), each.literal) for each in conditions}
        if any(array is None for array, _ in found.values()):
            return None
        frame = pd.DataFrame({name: _comparable(array, literal) for name, (array, literal) in found.items()})
        try:
            return np.asarray(cut(text, frame)[0].rows, np.bool_)
        except DataError:
            return None


def _comparable(array: pa.Array | None, literal: float | str | bool) -> object:
    assert array is not None
    return array.to_pandas() if isinstance(literal, str) else numbers(array).values
