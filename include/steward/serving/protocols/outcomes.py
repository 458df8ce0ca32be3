"""What became of a decision, told later by whoever knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from steward.serving.answers.failures import RefusedRequestError
from steward.serving.protocols.calls import LONGEST_NAME, parse_json, shown
from steward.types import JsonObject, parse_instant

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_INSTANT = 64


def parse(body: bytes, recorded_at: datetime, limit: int, classes: Sequence[str] | None = None) -> pa.Table:
    """`{"outcomes": [{"decision_id", "label", "observed_at", "value"}]}` → OUTCOME_COLUMNS. All or nothing.

    A label is a number, true or false; null says that there will be none. `value` may be left out. Of a model that
    tells `classes` a label is the name of one, never a number: it is stored as one, in the spec's order.
    Raises RefusedRequestError for anything else.
    """
    import pyarrow as pa

    outcomes = parse_json(body).get("outcomes")
    if not isinstance(outcomes, list) or not outcomes:
        raise RefusedRequestError(
            "outcomes is not a list", hint='send {"outcomes": [{"decision_id", "label", "observed_at"}]}'
        )
    if len(outcomes) > limit:
        said = f"{len(outcomes)} outcomes in one request"
        raise RefusedRequestError(said, hint=f"send at most {limit} at a time", code="too_many_rows", status=413)
    places = None if classes is None else {name: float(place) for place, name in enumerate(classes)}
    rows = [_row(position, outcome, places) for position, outcome in enumerate(outcomes)]
    ids, labels, instants, values = zip(*rows, strict=True)
    instant = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "decision_id": pa.array(ids, pa.string()),
            "label": pa.array(labels, pa.float64()),
            "observed_at": pa.array(instants, instant),
            "recorded_at": pa.array([recorded_at] * len(rows), instant),
            "value": pa.array(values, pa.float64()),
        }
    )


def _row(
    position: int, outcome: Any, places: Mapping[str, float] | None
) -> tuple[str, float | None, datetime, float | None]:
    where = f"outcomes[{position}]"
    if not isinstance(outcome, dict):
        raise RefusedRequestError("not an object", where=where, hint='write {"decision_id", "label", "observed_at"}')
    decision_id, label, observed = outcome.get("decision_id"), outcome.get("label"), outcome.get("observed_at")
    if not isinstance(decision_id, str) or not 0 < len(decision_id) <= LONGEST_NAME:
        raise RefusedRequestError("no decision_id", where=where, hint="send the id the answer came with")
    return decision_id, _label(label, where, places), _observed(observed, where), _value(outcome, where)


def _label(label: Any, where: str, places: Mapping[str, float] | None) -> float | None:
    if label is None:
        return None
    if places is not None:
        if not isinstance(label, str) or label not in places:
            said, hint = f"the label {shown(label)} is none of the classes", f"send one of {', '.join(places)}"
            raise RefusedRequestError(said, where=where, hint=hint, code="unknown_class")
        return places[label]
    if not isinstance(label, (bool, int, float)):
        raise RefusedRequestError(f"the label {shown(label)} is not a number", where=where, hint="send a number")
    return float(label)


def _value(outcome: JsonObject, where: str) -> float | None:
    value = outcome.get("value")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RefusedRequestError(
            f"the value {shown(value)} is not a number", where=where, hint="send a number, or none"
        )
    return float(value)


def _observed(value: Any, where: str) -> datetime:
    try:
        if not isinstance(value, str) or len(value) > _LONGEST_INSTANT:
            raise ValueError("it is not a short text")
        return parse_instant(value)
    except (ValueError, OverflowError) as error:
        said = f"observed_at is not an instant: {error}"
        raise RefusedRequestError(said, where=where, hint="write ISO 8601, such as 2013-04-01T12:00:00Z") from error
