"""The ledger: 100,000 events verified, appends beside a bare INSERT, and 200 rounds of 8 promoters.

On a PostgreSQL with its ordinary durability: what an append costs is mostly the disk.
"""

from __future__ import annotations

import gc
import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

import pytest
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.postgres import PostgresServer, running_server

from steward.adapters.postgres import PostgresDatabase
from steward.clock import SystemClock
from steward.errors import ConflictError
from steward.ledger import GENESIS_HASH, EventType, seal, verify
from steward.registry import State
from steward.testing.builders import MODEL, NOON, a_draft, a_new_version
from steward.testing.database import FAKE_KEY
from steward.types import VersionRef

EVENTS, APPENDS, ROUNDS, PROMOTERS = 100_000, 300, 200, 8

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def durable() -> Iterator[PostgresServer]:
    with running_server(durable=True) as server:
        yield server


@pytest.fixture
def name(durable: PostgresServer) -> str:
    return durable.new_database()


@pytest.fixture
def ledger(durable: PostgresServer, name: str) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(durable.url(name), SystemClock(), FAKE_KEY)
    yield database
    database.close()


def wall(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def cpu(action: Callable[[], Any]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def p99(taken: list[float]) -> float:
    return quantiles(taken, n=100)[98]


# --- verification ---------------------------------------------------------------------------------


def make_links(count: int) -> list[tuple[Any, ...]]:
    """A chain of events of an ordinary size (about 700 bytes each with hashes)."""
    body = {"run": "scheduled__2013-06-01", "rollout": "r" * 32, "percent": 25, "p99": 0.0123, "note": "x" * 120}
    links, previous = [], GENESIS_HASH
    for seq in range(1, count + 1):
        draft = a_draft(EventType.ROLLOUT_ANALYSED, version=seq % 50 + 1, evidence="e" * 64, body=body | {"n": seq})
        link = seal(draft, seq=seq, at=NOON, recorded_at=NOON, previous_hash=previous, key=FAKE_KEY)
        links.append(link)
        previous = link.hash
    return links


def sign_alone(messages: list[bytes]) -> None:
    """The least a keyed chain costs: nothing read, nothing compared."""
    for message in messages:
        hmac.new(FAKE_KEY, message, hashlib.sha256).hexdigest()


def test_verifying(report: Report, durable: PostgresServer, name: str, ledger: PostgresDatabase) -> None:
    links = make_links(EVENTS)
    with durable.connect(name) as connection, connection.cursor().copy("COPY events FROM STDIN") as copy:
        for link in links:
            copy.write_row(link)

    def from_postgres() -> None:
        with ledger.begin() as tx:
            result = tx.events.verify()
        result.require()
        assert result.events == EVENTS

    messages = [repr(link).encode() for link in links]
    gc.collect()
    alone = min(cpu(lambda: sign_alone(messages)) for _ in range(3))
    in_memory = min(cpu(lambda: verify(links, FAKE_KEY).require()) for _ in range(3))
    streamed = min(cpu(from_postgres) for _ in range(3))
    waited = min(wall(from_postgres) for _ in range(3))
    report.headline(
        f"Verifying a ledger of {EVENTS:,} events, beside HMAC-SHA-256 of as many bytes", streamed, alone, "CPU s"
    )
    report.table(
        f"Verifying a ledger of {EVENTS:,} events",
        "HMAC-SHA-256 alone",
        Figure("HMAC-SHA-256 of as many bytes", alone, "CPU s", 1.0),
        Figure("the chain, in memory", in_memory, "CPU s", in_memory / alone),
        Figure("the chain, from PostgreSQL", streamed, "CPU s", streamed / alone),
        Figure("the chain, from PostgreSQL: wall", waited, "s"),
    )


# --- appending ------------------------------------------------------------------------------------


def test_appending(report: Report, durable: PostgresServer, name: str, ledger: PostgresDatabase) -> None:
    durable.execute("CREATE TABLE bare (body text)", name)

    def append() -> None:
        with ledger.begin() as tx:
            tx.events.append(a_draft())

    insert, appended = [], []
    with durable.connect(name) as connection:
        row = ("x" * 700,)
        for _ in range(APPENDS):  # in turn, so that a busy moment of the machine meets both
            insert.append(1000 * wall(lambda: connection.execute("INSERT INTO bare VALUES (%s)", row)))
            appended.append(1000 * wall(append))
    report.headline("Appending an event, beside a bare INSERT", median(appended), median(insert), "ms")
    report.table(
        "Appending one event, committed to disk",
        "a bare INSERT",
        Figure("INSERT of 700 bytes: median wall", median(insert), "ms", 1.0),
        Figure("append: median wall", median(appended), "ms", median(appended) / median(insert)),
        Figure("INSERT of 700 bytes: p99 wall", p99(insert), "ms", p99(insert) / median(insert)),
        Figure("append: p99 wall", p99(appended), "ms", p99(appended) / median(insert)),
    )


# --- promotion ------------------------------------------------------------------------------------


@dataclass
class Race:
    """Rounds of promoters who all want the place of one champion."""

    database: PostgresDatabase
    champion: VersionRef
    wrong: int = 0
    losers_told: int = 0
    taken: list[float] = field(default_factory=list)

    def promote(self, ref: VersionRef) -> bool:
        started = time.perf_counter()
        try:
            with self.database.begin() as tx:
                tx.versions.move(self.champion, State.CHAMPION, State.SUPERSEDED)
                tx.versions.move(ref, State.CHALLENGER, State.CHAMPION)
                tx.events.append(a_draft(EventType.VERSION_PROMOTED, version=ref.number))
            return True
        except ConflictError:
            return False
        finally:
            self.taken.append(1000 * (time.perf_counter() - started))

    def run(self, promoters: int, pool: ThreadPoolExecutor) -> None:
        with self.database.begin() as tx:
            refs = [tx.versions.add(a_new_version()).ref for _ in range(promoters)]
        answers = list(pool.map(self.promote, refs))
        with self.database.begin() as tx:
            champions = [v.ref for v in tx.versions.all(MODEL) if v.state is State.CHAMPION]
        won = [ref for ref, success in zip(refs, answers, strict=True) if success]
        self.wrong += champions != won or len(won) != 1
        self.losers_told += answers.count(False)
        self.champion = champions[0]


def test_promoting(report: Report, ledger: PostgresDatabase) -> None:
    with ledger.begin() as tx:
        champion = tx.versions.add(a_new_version()).ref
        tx.versions.move(champion, State.CHALLENGER, State.CHAMPION)
    alone, crowd = Race(ledger, champion), Race(ledger, champion)
    with ThreadPoolExecutor(PROMOTERS) as pool:
        for _ in range(ROUNDS):
            crowd.run(PROMOTERS, pool)
            alone.champion = crowd.champion
            alone.run(1, pool)
            crowd.champion = alone.champion
    assert alone.wrong == crowd.wrong == 0
    one, many = median(alone.taken), crowd.taken
    report.table(
        f"{PROMOTERS} promoters at once, {ROUNDS} rounds",
        "one promoter alone",
        Figure("one promoter alone: median wall", one, "ms", 1.0),
        Figure(f"{PROMOTERS} at once: median wall", median(many), "ms", median(many) / one),
        Figure(f"{PROMOTERS} at once: p99 wall", p99(many), "ms", p99(many) / one),
        Figure("rounds with no champion, two, or the wrong one", crowd.wrong, f"of {ROUNDS}"),
        Figure("losers told so", crowd.losers_told, f"of {ROUNDS * (PROMOTERS - 1)}"),
    )
