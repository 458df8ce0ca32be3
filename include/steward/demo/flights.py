"""The flights of 2013 as a stream: what the rebooking desk asks, and what became of each flight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from steward.spec import FeatureType, ModelSpec
from steward.training import ModelCode
from steward.types import JsonObject, to_json

if TYPE_CHECKING:
    import pandas as pd

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Question:
    """Flights that depart in the same hour from the same airport, asked about together (or one alone)."""

    at: datetime
    ids: tuple[str, ...]
    columns: dict[str, list[Any]]

    def to_request(self, spec: ModelSpec, source: str) -> JsonObject:
        """Open Inference Protocol v2: one tensor per feature, and per group the model is watched by; null where a value
        is missing."""
        inputs = [_tensor(name, feature.type, self.columns[name]) for name, feature in spec.data.features.items()]
        inputs += [_tensor(name, FeatureType.TEXT, self.columns[name]) for name in spec.data.accompanying]
        about = {"decision_ids": list(self.ids), "source": source}
        return {"id": self.ids[0], "parameters": about, "inputs": inputs}


def _tensor(name: str, kind: FeatureType, values: list[Any]) -> JsonObject:
    text = kind in (FeatureType.CATEGORY, FeatureType.TEXT)
    return {"name": name, "shape": [len(values)], "datatype": "BYTES" if text else "FP64", "data": values}


class FlightStream:
    """Days of flights in order, from the model's own source."""

    def __init__(self, spec: ModelSpec, code: ModelCode) -> None:
        self.spec, self._code = spec, code

    def frame(self, start: datetime, end: datetime) -> pd.DataFrame:
        frame = self._code.call(self.spec.data.source, start, end, limit=timedelta(minutes=5))
        return frame.sort_values([self.spec.data.time, self.spec.data.id], ignore_index=True)

    def singly(self, day: datetime) -> list[Question]:
        return list(self._questions(self.frame(day, day + DAY), one_by_one=True))

    def singly_between(self, start: datetime, end: datetime) -> list[Question]:
        return list(self._questions(self.frame(start, end), one_by_one=True))

    def hourly(self, day: datetime) -> list[Question]:
        return list(self._questions(self.frame(day, day + DAY), one_by_one=False))

    def outcomes(self, day: datetime) -> list[JsonObject]:
        """Known outcomes of the day's flights; a cancelled flight never gets one."""
        frame = self.frame(day, day + DAY)
        known = frame[frame[self.spec.data.label.column].notna()]
        observed = to_json(day + 2 * DAY)
        return [
            {"decision_id": flight, "label": float(late), "observed_at": observed}
            for flight, late in zip(known[self.spec.data.id], known[self.spec.data.label.column], strict=True)
        ]

    def _questions(self, frame: pd.DataFrame, *, one_by_one: bool) -> Iterator[Question]:
        hour = frame[self.spec.data.time].dt.floor("h")
        keys = [frame.index] if one_by_one else [hour, frame["origin"]]
        for _, rows in frame.groupby(keys, sort=True, observed=True):
            columns = {
                name: to_json(rows[name].astype(object).where(rows[name].notna(), None).tolist())
                for name in (*self.spec.data.features, *self.spec.data.accompanying)
            }
            yield Question(rows[self.spec.data.time].iloc[0].to_pydatetime(), tuple(rows[self.spec.data.id]), columns)
