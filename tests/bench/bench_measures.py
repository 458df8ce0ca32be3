"""What the measures of 500 models cost, and how that grows with the events: pure, beside reading them as plain JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure

from steward.ledger import ALL_MODELS, AuditEvent, EventType
from steward.reporting.measures.reading import Reader, read_record
from steward.reporting.measures.record import GROUPINGS
from steward.reporting.measures.view import every_measure, measures_view

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

MODELS, DAYS = 500, (7, 30, 90)
AT = datetime(2026, 10, 1, tzinfo=UTC)
SIZES = (25_000, 50_000, 100_000)


def a_life(model: str, number: int, day: int) -> Iterator[tuple[EventType, int | None, dict[str, Any]]]:
    """What one day says of a model: a judged window, now and then a loss, a retraining and its release."""
    window = {"start": f"{AT - timedelta(days=day + 7):%Y-%m-%dT00:00:00Z}", "end": f"{AT - timedelta(days=day):%F}"}
    version = 1 + day // 20
    yield EventType.WINDOW_JUDGED, version, {"window": window, "outcome": "PASSED", "outcomes": {"drift": "PASSED"}}
    if (day + number) % 20:
        return
    spec = {"owner": {"team": f"team{number % 20}"}, "risk_tier": ("low", "medium", "high")[number % 3]}
    run, request, incident = f"r{day}", f"{model}-{day}", f"{model}-{day}-i"
    first = {"incident": incident, "cause": "performance", "first_bad": window, "windows": 1}
    yield EventType.INCIDENT_OPENED, version, first
    yield EventType.RETRAINING_ADMITTED, None, {"run": run, "champion": version}
    yield EventType.VERSION_REGISTERED, version + 1, {"run": run, "training": run, "spec": spec}
    yield EventType.APPROVAL_ANSWERED, version + 1, {"request": request, "state": "approved"}
    yield EventType.ROLLOUT_STARTED, version + 1, {"run": run, "approval": request}
    for percent in (5, 25, 50):
        yield EventType.ROLLOUT_ADVANCED, version + 1, {"percent": percent}
    yield EventType.VERSION_PROMOTED, version + 1, {"run": run}
    yield EventType.INCIDENT_RESOLVED, version, first


def events_of(count: int) -> list[AuditEvent]:
    """Of 500 models, day by day to AT, with an audit every night; the last `count` of them."""
    found: list[AuditEvent] = []
    for day in range(400, -1, -1):
        at = AT - timedelta(days=day)
        told = [(f"m{n:03}", *said) for n in range(MODELS) for said in a_life(f"m{n:03}", n, day)]
        for model, kind, version, body in [*told, (ALL_MODELS, EventType.INVENTORY_AUDITED, None, {})]:
            found.append(AuditEvent(len(found) + 1, at, at, kind, model, "a", "b", version, None, body, "", ""))
    return found[-count:]


def cpu_of(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def test_measures_of_500_models(report: Report) -> None:
    every = events_of(SIZES[-1])
    figures = []
    for size in SIZES:
        events = every[-size:]
        plain = [orjson.dumps(event.body) for event in events]
        beside = min(cpu_of(lambda plain=plain: [orjson.loads(each) for each in plain]) for _ in range(3))
        read = min(cpu_of(lambda events=events: read_record(events, AT)) for _ in range(3))
        record = read_record(events, AT)
        told = min(cpu_of(lambda record=record: measures_view(record, AT, DAYS, GROUPINGS)) for _ in range(2))
        figures += [
            Figure(f"{size:,} events: parse their bodies as JSON", beside * 1000, "CPU ms", 1.0),
            Figure(f"{size:,} events: one pass over them", read * 1000, "CPU ms", read / beside),
            Figure(f"{size:,} events: 14 measures × 3 spans × 524 groups", told * 1000, "CPU ms", told / beside),
        ]
    figures.append(Figure("a scrape more: the portfolio over 3 spans", a_scrape(every) * 1000, "CPU ms"))
    report.table(f"Measures of {MODELS} models", "parsing the events' bodies", *figures)


def a_scrape(events: list[AuditEvent]) -> float:
    """The exporter has read them before."""
    reader = Reader()
    for event in events:
        reader.take(event)
    return min(cpu_of(lambda: [every_measure(reader.record, AT, days) for days in DAYS]) for _ in range(3))
