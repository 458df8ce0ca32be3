"""Outcomes from a table of the model's own: read by `data.outcomes`, checked, and told from those known already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from steward.errors import DataError
from steward.gates.classes import label_numbers
from steward.spec import ModelSpec
from steward.types import Window

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_SAME = ["decision_id", "label", "observed_at"]


def read_outcomes(spec: ModelSpec, window: Window, load: Callable[[datetime, datetime], Any]) -> pd.DataFrame:
    """decision_id, label, observed_at, value, each decision as often as the table has it.

    `load(start, end)` returns outcomes observed from start until before end: `decision_id` (or the id column of the
    spec, where callers ask under it), `label` (or the label column), `observed_at`, and `value` where the business
    counts one. A missing label says that there will be none; a multiclass model's is the name of its class, and
    becomes its number. Raises DataError for a frame that is not so.
    """
    import pandas as pd

    frame, where = load(window.start, window.end), f"{spec.model}, {spec.data.outcomes}"
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{spec.data.outcomes} returned {type(frame).__name__}", where=where, hint="return a DataFrame")
    names = {"decision_id": spec.data.id, "label": spec.data.label.column, "observed_at": "observed_at"}
    chosen = {wanted: wanted if wanted in frame.columns else other for wanted, other in names.items()}
    if absent := [wanted for wanted, column in chosen.items() if column not in frame.columns]:
        hint = f"return decision_id, label and observed_at; it has {', '.join(map(str, frame.columns))}"
        raise DataError(f"the outcomes lack {', '.join(absent)}", where=where, hint=hint)
    rows = frame[list(chosen.values())].set_axis(list(chosen), axis="columns")
    rows = rows.assign(value=frame["value"] if "value" in frame.columns else float("nan"))
    if unnamed := int(rows["decision_id"].isna().sum()):
        raise DataError(f"{unnamed} outcomes name no decision", where=where, hint="leave such rows out")
    if spec.data.label.classes is not None:
        rows = rows.assign(label=label_numbers(rows["label"].to_numpy(object), spec.data.label.classes, where))
    try:
        typed = rows.astype({"decision_id": str, "label": "float64", "value": "float64"})
        instants = pd.to_datetime(rows["observed_at"], utc=True)
    except (TypeError, ValueError) as error:
        hint = "labels and values are numbers, observed_at an instant"
        raise DataError(f"the outcomes cannot be read: {error}", where=where, hint=hint) from error
    outside = int(((instants < window.start) | (instants >= window.end) | instants.isna()).sum())
    if outside:
        hint = "return start <= observed_at < end, in UTC"
        raise DataError(f"{outside} of {len(rows)} outcomes are not observed in {window}", where=where, hint=hint)
    return typed.assign(observed_at=instants.astype("datetime64[us, UTC]"))


def not_known(outcomes: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Those that the log has never held: what was corrected since, by whomever, is not set back by an older telling.

    Nor does a table that counts no value take away one that a caller told.
    """
    fresh = outcomes.drop_duplicates([*_SAME, "value"], keep="last", ignore_index=True)
    held = {(*row, value) for row, value in _words(known)} | {(*row, None) for row, _ in _words(known)}
    return fresh[[(*row, value) not in held for row, value in _words(fresh)]].reset_index(drop=True)


def _words(outcomes: pd.DataFrame) -> Iterator[tuple[tuple[Any, ...], float | None]]:
    """What was told and its value, in a form that can be compared: NaN is not equal to itself."""
    plain = outcomes[[*_SAME, "value"]].astype({"label": object, "value": object})
    for *row, value in plain.where(plain.notna(), None).itertuples(index=False, name=None):
        yield tuple(row), value


def outcome_rows(outcomes: pd.DataFrame, recorded_at: datetime) -> pa.Table:
    import pyarrow as pa

    instant = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "decision_id": pa.array(outcomes["decision_id"], pa.string()),
            "label": pa.array(outcomes["label"], pa.float64(), from_pandas=True),
            "observed_at": pa.array(outcomes["observed_at"], instant),
            "recorded_at": pa.array([recorded_at] * len(outcomes), instant),
            "value": pa.array(outcomes["value"], pa.float64(), from_pandas=True),
        }
    )
