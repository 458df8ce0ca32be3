"""Great Expectations judges a frame against a data contract."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from steward.types import JsonObject, format_instant, parse_instant, to_json

if TYPE_CHECKING:
    import pandas as pd

_NUMERIC = [*(f"{sign}{bits}" for sign in ("int", "uint") for bits in (8, 16, 32, 64)), "float32", "float64"]
_TYPES = {
    "number": [*_NUMERIC, "int", "float"],
    "integer": [*_NUMERIC, "int", "float"],  # a whole number with missing values is stored as float
    "boolean": ["bool", *_NUMERIC],
    "category": ["str"],
    "text": ["str"],
}


@dataclass(frozen=True)
class _Rule:
    """One line of the contract: its neutral name, the vendor's expectation, and what it allows."""

    name: str
    column: str | None
    expectation: str
    arguments: JsonObject
    limit: float | None = None


class GxDataValidator:
    """Implements `steward.data.DataValidator` with an in-memory context.

    No project folder, no telemetry, no logs.
    """

    def __init__(self) -> None:
        self._context: Any = None

    def validate(self, contract: JsonObject, frame: pd.DataFrame) -> JsonObject:
        """`observed` is the offending value, a few examples, or the vendor's message when a rule could
        not be run.
        """
        rules = _rules(contract, set(frame.columns))
        outcomes = self._run(rules, _plain(contract, frame))
        results = [_row(rule, outcomes[index]) for index, rule in enumerate(rules)]
        return to_json({"success": all(row["success"] for row in results), "results": results})

    def _run(self, rules: list[_Rule], frame: pd.DataFrame) -> dict[int, Any]:
        """Outcomes by the index of their rule."""
        context = self._ready()
        import great_expectations as gx
        import great_expectations.expectations as vendor

        made = [getattr(vendor, r.expectation)(**r.arguments, meta={"rule": i}) for i, r in enumerate(rules)]
        source = context.data_sources.add_or_update_pandas("frames")
        asset = source.add_dataframe_asset("frame")
        batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
        suite = gx.ExpectationSuite(name="contract", expectations=made)
        found = batch.validate(suite, result_format={"result_format": "BASIC", "partial_unexpected_count": 5})
        context.data_sources.delete("frames")
        return {one.expectation_config.meta["rule"]: one for one in found.results}

    def _ready(self) -> Any:
        if self._context is None:
            logging.getLogger("great_expectations").setLevel(logging.ERROR)  # before import: it logs while importing
            os.environ["GX_ANALYTICS_ENABLED"] = "false"
            import great_expectations as gx
            from great_expectations.data_context.types.base import ProgressBarsConfig

            self._context = gx.get_context(mode="ephemeral")
            self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        return self._context


def _plain(contract: JsonObject, frame: pd.DataFrame) -> pd.DataFrame:
    """Extension types as plain ones the vendor knows: categories and strings as objects, numbers as float."""
    import pandas as pd

    plain = frame.copy()  # filled name by name, not with assign(): a feature may be called self
    for name in frame.columns:
        column = frame[name]
        if isinstance(column.dtype, (pd.CategoricalDtype, pd.StringDtype)):
            plain[name] = column.astype(object).where(column.notna(), None)
        elif pd.api.types.is_extension_array_dtype(column.dtype) and pd.api.types.is_numeric_dtype(column.dtype):
            plain[name] = column.astype("float64")
    time = contract["time"]
    if time in frame.columns:
        plain[time] = pd.to_datetime(frame[time], utc=True, errors="coerce")
    return plain


def _rules(contract: JsonObject, present: set[str]) -> list[_Rule]:
    """Every line of the contract; of an absent column only that it must be there."""
    enough = {"min_value": contract["min_rows"]}
    rules = [_Rule("rows", None, "ExpectTableRowCountToBeBetween", enough, contract["min_rows"])]
    rules += [_Rule("column", name, "ExpectColumnToExist", {"column": name}) for name in contract["columns"]]
    for name, about in contract["features"].items():
        rules += _feature_rules(name, about)
    rules += _role_rules(contract)
    return [rule for rule in rules if rule.name in ("rows", "column") or rule.column in present]


def _feature_rules(name: str, about: JsonObject) -> list[_Rule]:
    at, missing, outside = {"column": name}, about["max_missing"], about["max_out_of_range"]
    rules = [
        _Rule("type", name, "ExpectColumnValuesToBeInTypeList", {**at, "type_list": _TYPES[about["type"]]}),
        _Rule("missing", name, "ExpectColumnValuesToNotBeNull", {**at, "mostly": 1 - missing}, missing),
    ]
    if about["min"] is not None or about["max"] is not None:
        bounds = {"min_value": about["min"], "max_value": about["max"], "mostly": 1 - outside}
        rules.append(_Rule("range", name, "ExpectColumnValuesToBeBetween", {**at, **bounds}, outside))
    if about["levels"] is not None:
        allowed = {"value_set": list(about["levels"]), "mostly": 1 - outside}
        rules.append(_Rule("levels", name, "ExpectColumnValuesToBeInSet", {**at, **allowed}, outside))
    return rules


def _role_rules(contract: JsonObject) -> list[_Rule]:
    key, time, label = contract["id"], contract["time"], contract["label"]
    rules = [
        _Rule("missing", key, "ExpectColumnValuesToNotBeNull", {"column": key}, 0.0),
        _Rule("unique", key, "ExpectColumnValuesToBeUnique", {"column": key}, 0.0),
        _Rule("missing", time, "ExpectColumnValuesToNotBeNull", {"column": time}, 0.0),
    ]
    if label["binary"]:
        allowed = {"column": label["column"], "value_set": [0, 1]}
        rules.append(_Rule("levels", label["column"], "ExpectColumnValuesToBeInSet", allowed, 0.0))
    return rules + _time_rules(contract)


def _time_rules(contract: JsonObject) -> list[_Rule]:
    if contract["window"] is None:
        return []
    time = contract["time"]
    start, end = (parse_instant(contract["window"][side]) for side in ("start", "end"))
    inside = {"column": time, "min_value": start, "max_value": end, "strict_max": True}
    newest = {"column": time, "min_value": end - timedelta(seconds=contract["freshness_seconds"])}
    return [
        _Rule("window", time, "ExpectColumnValuesToBeBetween", inside, 0.0),
        _Rule("freshness", time, "ExpectColumnMaxToBeBetween", newest),
    ]


def _row(rule: _Rule, outcome: Any) -> JsonObject:
    percent = outcome.result.get("unexpected_percent")
    return {
        "expectation": rule.name,
        "column": rule.column,
        "success": bool(outcome.success),
        "observed": None if outcome.success and rule.name != "rows" else _observed(rule, outcome),
        "unexpected_share": None if percent is None else percent / 100,
        "limit": rule.limit,
    }


def _observed(rule: _Rule, outcome: Any) -> Any:
    """Why a rule failed: a value, examples as text, or the message of what went wrong in running it."""
    result = outcome.result
    if "observed_value" in result:
        value = result["observed_value"]
        return _newest(value) if rule.name == "freshness" else value
    if "partial_unexpected_list" in result:
        return ", ".join(str(value) for value in result["partial_unexpected_list"][:5])
    return _message(outcome.exception_info)


def _newest(value: Any) -> str | None:
    import pandas as pd

    return None if pd.isna(value) else format_instant(value)


def _message(info: Any) -> str | None:
    """The vendor nests one record per failed metric, or gives one record alone."""
    if not info:
        return None
    records = [info] if "exception_message" in info else list(info.values())
    said = [record["exception_message"] for record in records if record.get("exception_message")]
    return said[0].strip() if said else None
