"""Reading a window from the model's own source, and refusing what cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from steward.errors import DataError
from steward.gates.classes import class_texts
from steward.spec import ModelSpec
from steward.types import Window

if TYPE_CHECKING:
    import pandas as pd


def read_window(
    spec: ModelSpec, window: Window, as_of: datetime, load: Callable[[datetime, datetime], Any]
) -> pd.DataFrame:
    """Rows of the window in time order, as they were known at `as_of`.

    Labels that had not arrived by then are masked, so that a past window can be replayed without knowing its future.
    Those of a multiclass model are the names of classes, of others numbers.
    Raises DataError for a wrong type, missing columns, rows outside the window, duplicate ids, or no rows.
    """
    import pandas as pd

    frame = _rows(spec, window, load, list(spec.data.training_columns))
    if frame.empty:
        raise DataError(
            f"the window {window} has no rows",
            where=f"{spec.model}, {spec.data.source}",
            hint="check that the data has arrived; a later run of the same date picks it up",
        )
    unknown = frame[spec.data.time] > pd.Timestamp(as_of - spec.data.label.arrives_after)
    frame[spec.data.label.column] = _labels(spec, frame).mask(unknown)
    return frame


def _labels(spec: ModelSpec, frame: pd.DataFrame) -> pd.Series:
    import pandas as pd

    given = frame[spec.data.label.column]
    if spec.data.label.classes is None:
        return given.astype(float)
    return pd.Series(class_texts(given.astype(object).where(given.notna(), None)), index=frame.index, dtype=object)


def read_unlabelled(spec: ModelSpec, window: Window, load: Callable[[datetime, datetime], Any]) -> pd.DataFrame:
    """Rows of the window in time order without their labels, which need not be there; none is an empty frame.

    Raises DataError as `read_window` does.
    """
    return _rows(spec, window, load, unlabelled_columns(spec))


def unlabelled_columns(spec: ModelSpec) -> list[str]:
    subject = [spec.data.subject] if spec.data.subject else []
    return list(dict.fromkeys([spec.data.id, spec.data.time, *spec.data.features, *spec.data.protected, *subject]))


def _rows(
    spec: ModelSpec, window: Window, load: Callable[[datetime, datetime], Any], wanted: list[str]
) -> pd.DataFrame:
    import pandas as pd

    frame = load(window.start, window.end)
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"{spec.data.source} returned {type(frame).__name__}",
            where=spec.model,
            hint="return a pandas DataFrame",
        )
    _check_columns(spec, frame, wanted)
    frame = frame[wanted].copy()
    frame[spec.data.time] = pd.to_datetime(frame[spec.data.time], utc=True)
    _check_rows(spec, frame, window)
    return frame.sort_values([spec.data.time, spec.data.id], kind="stable", ignore_index=True)


def _check_columns(spec: ModelSpec, frame: pd.DataFrame, wanted: list[str]) -> None:
    if absent := [column for column in wanted if column not in frame.columns]:
        raise DataError(
            f"the source lacks {', '.join(absent)}",
            where=f"{spec.model}, {spec.data.source}",
            hint=f"it has {', '.join(map(str, frame.columns))}",
        )


def _check_rows(spec: ModelSpec, frame: pd.DataFrame, window: Window) -> None:
    times = frame[spec.data.time]
    outside = int(((times < window.start) | (times >= window.end) | times.isna()).sum())
    if outside:
        raise DataError(
            f"{outside} of {len(frame)} rows have no time inside {window}",
            where=f"{spec.model}, {spec.data.time}",
            hint="load(start, end) must return start <= time < end, in UTC",
        )
    twice = frame[spec.data.id][frame[spec.data.id].duplicated()]
    if len(twice):
        raise DataError(
            f"{len(twice)} ids appear twice, the first is {twice.iloc[0]!r}",
            where=f"{spec.model}, {spec.data.id}",
            hint="an id must name one row, or outcomes cannot be matched",
        )
