"""A DataValidator in plain pandas: what the real one finds, in milliseconds and without its import."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from steward.types import JsonObject, format_instant, parse_instant, to_json

if TYPE_CHECKING:
    import pandas as pd


class FakeDataValidator:
    """Implements `steward.data.DataValidator`."""

    def validate(self, contract: JsonObject, frame: pd.DataFrame) -> JsonObject:
        results = list(_judge(contract, frame))
        return to_json({"success": all(row["success"] for row in results), "results": results})


def _judge(contract: JsonObject, frame: pd.DataFrame) -> Iterator[JsonObject]:
    rows, needed = len(frame), contract["min_rows"]
    yield _row("rows", None, rows >= needed, rows, limit=needed)
    for column in contract["columns"]:
        yield _row("column", column, column in frame.columns)
    for name, about in contract["features"].items():
        if name in frame.columns:
            yield from _judge_feature(name, about, frame[name])
    yield from _judge_roles(contract, frame)


def _judge_feature(name: str, about: JsonObject, values: pd.Series) -> Iterator[JsonObject]:
    fits = _fits(about["type"], values)
    yield _row("type", name, fits, str(values.dtype))
    yield _share("missing", name, values.isna(), about["max_missing"], values)
    known, limit = values.dropna(), about["max_out_of_range"]
    if fits and (about["min"] is not None or about["max"] is not None):
        low = -math.inf if about["min"] is None else about["min"]
        high = math.inf if about["max"] is None else about["max"]
        yield _share("range", name, (known < low) | (known > high), limit, known)
    if about["levels"] is not None:
        yield _share("levels", name, ~known.isin(about["levels"]), limit, known)


def _fits(kind: str, values: pd.Series) -> bool:
    import pandas as pd

    known = values.dropna()
    if kind in ("category", "text"):
        return all(isinstance(value, str) for value in known.unique())
    return not len(known) or pd.api.types.is_numeric_dtype(known.infer_objects())


def _judge_roles(contract: JsonObject, frame: pd.DataFrame) -> Iterator[JsonObject]:
    key, label = contract["id"], contract["label"]
    if key in frame.columns:
        yield _share("missing", key, frame[key].isna(), 0.0, frame[key])
        known = frame[key].dropna()
        yield _share("unique", key, known.duplicated(keep=False), 0.0, known)
    if label["binary"] and label["column"] in frame.columns:
        known = frame[label["column"]].dropna()
        yield _share("levels", label["column"], ~known.isin([0, 1]), 0.0, known)
    if contract["time"] in frame.columns:
        yield from _judge_time(contract, frame[contract["time"]])


def _judge_time(contract: JsonObject, values: pd.Series) -> Iterator[JsonObject]:
    import pandas as pd

    name = contract["time"]
    times = pd.to_datetime(values, utc=True, errors="coerce")
    yield _share("missing", name, times.isna(), 0.0, times)
    if contract["window"] is None:
        return
    start, end = (parse_instant(contract["window"][side]) for side in ("start", "end"))
    known = times.dropna()
    yield _share("window", name, (known < start) | (known >= end), 0.0, known)
    newest = known.max() if len(known) else None
    late = newest is None or (end - newest).total_seconds() > contract["freshness_seconds"]
    yield _row("freshness", name, not late, None if newest is None else format_instant(newest))


def _share(expectation: str, column: str, wrong: pd.Series, limit: float, values: pd.Series) -> JsonObject:
    share = float(wrong.mean()) if len(wrong) else 0.0
    seen = ", ".join(str(value) for value in values[wrong][:5])
    return _row(expectation, column, share <= limit, seen, share=share, limit=limit)


def _row(
    expectation: str,
    column: str | None,
    success: Any,
    observed: Any = None,
    *,
    share: float | None = None,
    limit: float | None = None,
) -> JsonObject:
    return {
        "expectation": expectation,
        "column": column,
        "success": bool(success),
        "observed": observed if not success or expectation == "rows" else None,
        "unexpected_share": share,
        "limit": limit,
    }
