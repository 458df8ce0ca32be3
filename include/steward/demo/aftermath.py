"""What retraining was worth: both champions on the weeks after it, scored on the same flights."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from steward.actions.effects import logged_model
from steward.actions.state import Services
from steward.demo.flights import DAY, FlightStream
from steward.gates.measurement import measure
from steward.training.fitting import score
from steward.types import JsonObject, VersionRef

METRICS = ("roc_auc", "calibration_gap", "brier")


def compare_weeks(
    services: Services,
    stream: FlightStream,
    versions: list[int],
    start: datetime,
    weeks: int,
    metrics: Sequence[str] = METRICS,
) -> list[JsonObject]:
    """One row per week and version: the metrics, the mean answer (`predicted`) and the mean outcome (`seen`)."""
    models = {number: _load(services, stream.spec.model, number) for number in versions}
    return [
        {
            "week": f"{start + 7 * week * DAY:%d %b}",
            "version": number,
            **_measured(stream, model, start + 7 * week * DAY, metrics),
        }
        for week in range(weeks)
        for number, model in models.items()
    ]


def _load(services: Services, model: str, number: int) -> Any:
    with services.database.begin() as tx:
        version = tx.versions.get(VersionRef(model, number))
    return services.models.load(logged_model(version))


def _measured(stream: FlightStream, model: Any, monday: datetime, metrics: Sequence[str]) -> JsonObject:
    frame = stream.frame(monday, monday + 7 * DAY)
    known = frame[frame[stream.spec.data.label.column].notna()]
    labels = known[stream.spec.data.label.column].to_numpy(float)
    scores = score(model, known[list(stream.spec.data.features)])
    found: JsonObject = {name: measure(name, labels, scores).value for name in metrics}
    return {**found, "predicted": float(scores.mean()), "seen": float(labels.mean()), "flights": len(labels)}
