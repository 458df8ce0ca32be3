"""The ledger's figures: 100,000 events verified, appends, and 200 rounds of 8 promoters.

Run it: `python -m tests.bench.bench_ledger`. PostgreSQL is started for it, with its ordinary durability.
"""

from __future__ import annotations

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median, quantiles

from tests.postgres import PostgresServer

from steward.adapters.postgres import PostgresDatabase
from steward.clock import SystemClock
from steward.errors import ConflictError
from steward.ledger import GENESIS_HASH, EventType, seal, verify
from steward.registry import State
from steward.testing.builders import MODEL, NOON, a_draft, a_new_version
from steward.testing.database import FAKE_KEY

EVENTS, APPENDS, ROUNDS, PROMOTERS = 100_000, 500, 200, 8


def make_links(count):
    """A chain of events of an ordinary size (about 700 bytes each with hashes)."""
    body = {"run": "scheduled__2013-06-01", "rollout": "r" * 32, "percent": 25, "p99": 0.0123, "note": "x" * 120}
    links, previous = [], GENESIS_HASH
    for seq in range(1, count + 1):
        draft = a_draft(EventType.ROLLOUT_ANALYSED, version=seq % 50 + 1, evidence="e" * 64, body=body | {"n": seq})
        link = seal(draft, seq=seq, at=NOON, recorded_at=NOON, previous_hash=previous, key=FAKE_KEY)
        links.append(link)
        previous = link[11]
    return links


def store(server, name, links):
    with server.connect(name) as connection, connection.cursor().copy("COPY events FROM STDIN") as copy:
        for link in links:
            copy.write_row(link)


def seconds(action):
    gc.collect()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def store_and_verify(server, name, links):
    store(server, name, links)
    return min(seconds(lambda: verify(links, FAKE_KEY).require()) for _ in range(3))


def bench_verify(server, name, database):
    in_memory = store_and_verify(server, name, make_links(EVENTS))

    def from_postgres():
        with database.begin() as tx:
            result = tx.events.verify()
        result.require()
        assert result.events == EVENTS

    before = time.process_time()
    streamed = min(seconds(from_postgres) for _ in range(3))
    cpu = (time.process_time() - before) / 3
    print(
        f"verify {EVENTS:,} events: {in_memory:.2f} s in memory, "
        f"{streamed:.2f} s from PostgreSQL ({cpu:.2f} s of it CPU; limit 1 s)"
    )


def bench_append(database):
    def append_one():
        with database.begin() as tx:
            tx.events.append(a_draft())

    taken = [1000 * seconds(append_one) for _ in range(APPENDS)]
    print(f"append one event, one transaction: median {median(taken):.1f} ms, p99 {quantiles(taken, n=100)[98]:.1f} ms")


def promote(database, ref, champion):
    started = time.perf_counter()
    try:
        with database.begin() as tx:
            tx.versions.move(champion, State.CHAMPION, State.SUPERSEDED)
            tx.versions.move(ref, State.CHALLENGER, State.CHAMPION)
            tx.events.append(a_draft(EventType.VERSION_PROMOTED, version=ref.number))
    except ConflictError:
        return False, time.perf_counter() - started
    return True, time.perf_counter() - started


def bench_promotion(database):
    with database.begin() as tx:
        champion = tx.versions.add(a_new_version()).ref
        tx.versions.move(champion, State.CHALLENGER, State.CHAMPION)
    wrong, told, taken = 0, 0, []
    with ThreadPoolExecutor(PROMOTERS) as pool:
        for _ in range(ROUNDS):
            with database.begin() as tx:
                refs = [tx.versions.add(a_new_version()).ref for _ in range(PROMOTERS)]
            answers = list(pool.map(lambda ref, was=champion: promote(database, ref, was), refs))
            with database.begin() as tx:
                champions = [v.ref for v in tx.versions.all(MODEL) if v.state is State.CHAMPION]
            won = [ref for ref, (success, _) in zip(refs, answers, strict=True) if success]
            wrong += champions != won or len(won) != 1
            told += sum(not success for success, _ in answers)
            taken += [1000 * length for _, length in answers]
            champion = champions[0]
    print(
        f"promotion, {ROUNDS} rounds x {PROMOTERS} promoters: {wrong} wrong champions, "
        f"{told} of {ROUNDS * (PROMOTERS - 1)} losers told, p99 {quantiles(taken, n=100)[98]:.0f} ms (limit 100 ms)"
    )


def main():
    server = PostgresServer(durable=True)
    server.start()
    try:
        server.make_template()
        name = server.new_database()
        database = PostgresDatabase(server.url(name), SystemClock(), FAKE_KEY)
        bench_promotion(database)
        database.close()
        fresh = server.new_database()
        database = PostgresDatabase(server.url(fresh), SystemClock(), FAKE_KEY)
        bench_verify(server, fresh, database)
        bench_append(database)
        database.close()
    finally:
        server.discard()


if __name__ == "__main__":
    main()
