"""The bank's Airflow with the bank's record, ready to be served; and the record of 500 models beside it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.browser import installation, world
from tests.e2e.browser.installation import Host, Installation, Record
from tests.postgres import PostgresServer
from tests.unit.inventory import estate

from steward.adapters.postgres import PostgresDatabase
from steward.testing import FrozenClock
from steward.testing.database import FAKE_KEY

CROWD = 500
PLANTED = 520  # some are zombies that no folder, version or route speaks of
DAGS = (f"{world.HEALTHY.model}__train", f"{world.BROKEN}__broken", installation.FOREIGN)


@dataclass
class Town:
    """One API server for everybody: it is started anew only when another record is to be shown."""

    host: Host
    bank: Record
    shown: tuple[Record, str] | None = None
    running: Installation | None = None

    def show(self, record: Record, prefix: str = "") -> Installation:
        if self.running is None or self.shown != (record, prefix):
            if self.running is not None:
                self.running.stack.stop_service("api-server")
            self.shown, self.running = (record, prefix), installation.serve(self.host, record, prefix)
        return self.running


@contextmanager
def settled(folder: Path, records: PostgresServer) -> Iterator[Town]:
    """Airflow's database with the bank's DAGs in it; meanwhile the bank's record is told."""
    bank = Record(records.url(records.new_database()), folder / "bank" / "models", world.NOW)
    world.write_models(bank.models)
    host = installation.new_host(folder / "host")
    try:
        with ThreadPoolExecutor(1) as aside:
            ready = aside.submit(installation.set_up, host, bank, DAGS)
            tell_bank(bank)
            ready.result()
        yield Town(host, bank, (bank, ""), Installation(host.stack(bank).urls.airflow, host.stack(bank)))
    finally:
        host.stack(bank).stop()


def tell_bank(record: Record) -> None:
    clock = FrozenClock(world.NOW)
    database = PostgresDatabase(record.database_url, clock, FAKE_KEY, wall=clock)
    try:
        world.tell(record.models.parent, database, clock)
    finally:
        database.close()


def crowd_record(records: PostgresServer, folder: Path) -> Record:
    """500 models, zombies of every rule and broken specs among them."""
    url, made = records.url(records.new_database()), []

    def database(clock: FrozenClock) -> PostgresDatabase:
        made.append(PostgresDatabase(url, clock, FAKE_KEY))
        return made[0]

    estate.plant_estate(folder, models=PLANTED, database=database)
    made[0].close()
    return Record(url, folder / "models", estate.NOW)
