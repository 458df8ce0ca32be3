"""The data contract of a spec as plain JSON, and the verdict on what a validator found. Imports light.

| expectation | holds when |
|---|---|
| `rows` | at least `min_rows` rows |
| `column` | the column is there |
| `type` | its values are of the declared type |
| `missing` | at most `max_missing` of its values are missing |
| `range`, `levels` | at most `max_out_of_range` of its known values are outside |
| `unique` | no id twice |
| `window` | every row's time is inside the window |
| `freshness` | the newest row is at most `freshness` older than the window's end |
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from steward.gates import Finding, Outcome, Verdict
from steward.spec.model import ModelSpec, Task
from steward.types import JsonObject, Window

if TYPE_CHECKING:
    import pandas as pd

_NAMED = 5  # rows with an unknown class

EXPECTATIONS = ("rows", "column", "type", "missing", "range", "levels", "unique", "window", "freshness")


def contract_of(spec: ModelSpec, window: Window | None = None) -> JsonObject:
    """What a validator needs to know. Without a window, time is not judged beyond being there."""
    data = spec.data
    return {
        "model": spec.model,
        "id": data.id,
        "time": data.time,
        "label": {"column": data.label.column, "binary": spec.task is Task.BINARY},
        "min_rows": data.min_rows,
        "features": {name: feature.model_dump(mode="json") for name, feature in data.features.items()},
        "columns": list(data.training_columns),
        "window": window.to_json() if window else None,
        "freshness_seconds": data.freshness.total_seconds(),
    }


def judge_contract(result: JsonObject) -> Verdict:
    """`result` as `DataValidator.validate` returns it. A validator that looked at nothing is INCONCLUSIVE."""
    return Verdict.of(_finding(row) for row in result["results"])


def judge_classes(spec: ModelSpec, frame: pd.DataFrame) -> list[Finding]:
    """Of a multiclass model every known label is one of its classes; the rows where it is not are named."""
    classes, label = spec.data.label.classes, spec.data.label.column
    if classes is None:
        return []
    gate, known = f"data.levels:{label}", frame[frame[label].notna()]
    strange = known[~known[label].isin(classes)]
    if strange.empty:
        return [Finding(gate, Outcome.PASSED, f"every {label} is one of the {len(classes)} classes", 0.0, 0.0)]
    named = [f"{name} ({value})" for name, value in zip(strange[spec.data.id], strange[label], strict=True)][:_NAMED]
    more = f" and {len(strange) - len(named)} more" if len(strange) > len(named) else ""
    said = f"{label} is none of the classes in {len(strange)} of {len(known)} rows: {', '.join(named)}{more}"
    return [Finding(gate, Outcome.FAILED, said, len(strange) / len(known), 0.0, rows=len(known))]


def _finding(row: JsonObject) -> Finding:
    column, share = row.get("column"), row.get("unexpected_share")
    gate = f"data.{row['expectation']}" + (f":{column}" if column else "")
    if row["success"]:
        return Finding(gate, Outcome.PASSED, f"{_subject(row)} keeps its contract", share, row.get("limit"))
    return Finding(gate, Outcome.FAILED, _sentence(row), share, row.get("limit"))


def _subject(row: JsonObject) -> str:
    return f"{row['expectation']} of {row['column']}" if row.get("column") else row["expectation"]


_SENTENCES = {
    "rows": "the window has {seen} rows, at least {limit:g} are needed",
    "column": "column {column} is not in the data",
    "type": "{column} holds values of another type than declared: {seen}",
    "missing": "{column} is missing in {part} of rows{allowed}",
    "range": "{column} is outside its range in {part} of values{allowed} (seen: {seen})",
    "levels": "{column} is outside its levels in {part} of values{allowed} (seen: {seen})",
    "unique": "{column} is not unique: {part} of rows share an id (for example {seen})",
    "window": "{column} lies outside the window in {part} of rows (seen: {seen})",
    "freshness": "the newest {column} is {seen}: the data is late or absent",
}


def _sentence(row: JsonObject) -> str:
    """What is broken, in words an owner of the data can act on."""
    share, limit = row.get("unexpected_share"), row.get("limit")
    template = _SENTENCES.get(row["expectation"], "{subject} does not hold: {seen}")
    return template.format(
        subject=_subject(row),
        column=row.get("column"),
        seen=row.get("observed"),
        limit=math.nan if limit is None else limit,
        part="some" if share is None else f"{share:.2%}",
        allowed="" if limit is None else f", {limit:.2%} is allowed",
    )
