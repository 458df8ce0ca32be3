"""Looking back at one model that has lived for long: 100,000 events of its own, and what each question costs.

A cycle is a training, an approval, a canary in three steps and the nights of watching after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from statistics import median
from typing import Any

import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.postgres import APPLICATION, PostgresServer, running_server

from steward.actions.telling.standing import standing
from steward.adapters.postgres import PostgresDatabase
from steward.clock import SystemClock
from steward.ledger import (
    GENESIS_HASH,
    SERVING_EVENTS,
    EventType,
    seal,
    serving_at,
    stage_of,
)
from steward.ledger.governance import STAGE_EVENTS, TOMBSTONE_EVENTS
from steward.testing.builders import MODEL, NOON, a_draft
from steward.testing.database import FAKE_KEY

EVENTS, CYCLE = 100_000, 100
REPEATED = 9

pytestmark = pytest.mark.bench

TRAINING = (
    EventType.SNAPSHOT_TAKEN,
    EventType.DATA_VALIDATED,
    EventType.MODEL_TRAINED,
    EventType.MODEL_EVALUATED,
    EventType.VERSION_REGISTERED,
    EventType.APPROVAL_REQUESTED,
    EventType.APPROVAL_ANSWERED,
    EventType.ROLLOUT_STARTED,
    *(EventType.ROLLOUT_ADVANCED, EventType.ROLLOUT_ANALYSED) * 3,
    EventType.VERSION_PROMOTED,
    EventType.RUN_CLOSED,
)
NIGHT = (EventType.WINDOW_JUDGED, EventType.RETRAINING_DECLINED)


def links_of_a_life() -> Iterator[tuple[Any, ...]]:
    previous = GENESIS_HASH
    for seq in range(1, EVENTS + 1):
        cycle, place = divmod(seq - 1, CYCLE)
        kind = TRAINING[place] if place < len(TRAINING) else NIGHT[place % len(NIGHT)]
        at = NOON + timedelta(hours=seq)
        run, digest = f"run{cycle}", f"{cycle:064x}"
        body = {"run": run, "training": digest, "request": run, "approved": True, "note": "x" * 200, "n": seq}
        if seq == 1:
            kind, body = EventType.STAGE_ENTERED, {"stage": "monitoring", "artefacts": {}}
        if kind is EventType.VERSION_PROMOTED:
            body |= {"approval": run, "replaced": cycle}
        draft = a_draft(kind, version=cycle + 1, evidence=digest, body=body)
        link = seal(draft, seq=seq, at=at, recorded_at=at, previous_hash=previous, key=FAKE_KEY)
        previous = link.hash
        yield link


@pytest.fixture(scope="module")
def lived() -> Iterator[PostgresDatabase]:
    """As the application, on a PostgreSQL with its ordinary durability."""
    with running_server(durable=True) as server:
        yield from _filled(server)


def _filled(server: PostgresServer) -> Iterator[PostgresDatabase]:
    name = server.new_database()
    with server.connect(name) as connection:
        with connection.cursor().copy("COPY events FROM STDIN") as copy:
            for link in links_of_a_life():
                copy.write_row(link)
        connection.execute("ANALYZE events")
    database = PostgresDatabase(server.url(name, APPLICATION), SystemClock(), FAKE_KEY)
    yield database
    database.close()


def milliseconds(database: PostgresDatabase, question: Callable[[Any], object]) -> float:
    """The median of some, in a transaction that is open already."""
    taken = []
    for _ in range(REPEATED):
        with database.begin() as tx:
            tx.events.read(limit=1)
            started = time.perf_counter()
            question(tx)
            taken.append(1000 * (time.perf_counter() - started))
    return median(taken)


def test_looking_back(report: Report, lived: PostgresDatabase) -> None:
    moments = {"half-way": NOON + timedelta(hours=EVENTS // 2), "now": NOON + timedelta(hours=EVENTS)}

    def everything(tx: Any) -> None:
        assert len(tx.events.read(model=MODEL)) == EVENTS

    def served_at(moment: str) -> Callable[[Any], None]:
        def ask(tx: Any) -> None:
            served = serving_at(tx.events.read(model=MODEL, types=SERVING_EVENTS), moments[moment])
            assert served.provenance.trained_at is not None

        return ask

    def last_decision(tx: Any) -> None:
        kinds = [EventType.RETRAINING_REQUESTED, EventType.RETRAINING_DECLINED]
        assert tx.events.read(model=MODEL, types=kinds, limit=1)

    def rare_decision(tx: Any) -> None:
        kinds = [EventType.INCIDENT_OPENED, EventType.MODEL_REVIEWED]
        assert not tx.events.read(model=MODEL, types=kinds, limit=1)

    def guard(tx: Any) -> None:
        assert not tx.events.read(model=MODEL, types=(*TOMBSTONE_EVENTS, EventType.ENDPOINT_CLOSED))
        assert stage_of(tx.events.read(model=MODEL, types=STAGE_EVENTS)) is not None

    def stands(tx: Any) -> None:
        assert standing(tx, MODEL, moments["now"], None)["last_event"]

    all_of_them = milliseconds(lived, everything)
    asked = {
        "what served half-way (`history --at`)": served_at("half-way"),
        "what serves now (`history --at`)": served_at("now"),
        "where it stands (`status`)": stands,
        "the last decision (`why`)": last_decision,
        "the last event of two kinds, of which there is none": rare_decision,
        "tombstone, endpoint and stage, read by every step of a release": guard,
    }
    taken = {what: milliseconds(lived, question) for what, question in asked.items()}
    worst = max(taken.values())
    report.headline(
        f"The dearest question about the past of a model with {EVENTS:,} events, beside reading them all",
        worst,
        all_of_them,
        "ms",
    )
    report.table(
        f"Looking back at one model with {EVENTS:,} events of its own, in PostgreSQL",
        "reading all its events",
        Figure("reading all its events", all_of_them, "ms", 1.0),
        *(Figure(what, cost, "ms", cost / all_of_them) for what, cost in taken.items()),
    )
