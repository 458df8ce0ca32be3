"""What it costs to take the inventory of 500 models: their specs on disk, their record in PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.bench.conftest import Report
from tests.bench.figures import Figure
from tests.postgres import running_server
from tests.unit.inventory import estate
from tests.unit.inventory.estate import NOW, Life, plant_estate

from steward.actions.governance import surveying
from steward.actions.state import Services
from steward.adapters.postgres import PostgresDatabase
from steward.approval.policy import load_policy
from steward.gates import Outcome
from steward.inventory.record import Places
from steward.ledger import EventType
from steward.monitoring.windows import JudgedWindow
from steward.spec import SpecFolder
from steward.testing import FrozenClock
from steward.testing.database import FAKE_KEY
from steward.testing.services import services_in_memory
from steward.types import Stage, Window, digest_of

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

MODELS, VERSIONS, WEEKS, ROUNDS = 500, 4, 26, 3
POLICY = Path("include/policy.yaml")
SPEC = Path("include/models/flight_delays")
PLACES = Places("http://localhost:8000/v2/models/{model}/infer")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder, clock = tmp_path_factory.mktemp("inventory"), FrozenClock(NOW)
    models = write_models(folder / "models", MODELS)
    with running_server() as server:
        database = PostgresDatabase(server.url(server.new_database()), clock, FAKE_KEY)
        in_memory = services_in_memory(SpecFolder(folder / "models"), load_policy(POLICY), clock, folder)
        for model in models:
            fill(database, clock, model)
        yield replace(in_memory, database=database)
        database.close()


def write_models(folder: Path, count: int) -> list[str]:
    """Each in a folder of its own, all alike but for the name."""
    models = [f"flights_{place:03d}" for place in range(count)]
    for model in models:
        (folder / model).mkdir(parents=True)
        text = (SPEC / "model.yaml").read_text().replace("model: flight_delays", f"model: {model}", 1)
        (folder / model / "model.yaml").write_text(text)
        (folder / model / "model.py").write_text((SPEC / "model.py").read_text())
    return models


def fill(database: PostgresDatabase, clock: FrozenClock, model: str) -> None:
    """Some months of a life: versions that followed one another, and a judged window every week."""
    with database.begin() as tx:
        life = Life(model, "dana", older=(estate.State.SUPERSEDED,) * (VERSIONS - 1), since=NOW - timedelta(days=90))
        telling = estate.Telling(tx, clock, life)
        for stage in list(Stage)[:5]:
            telling.say(EventType.STAGE_ENTERED, 1, life.since, stage=stage.value, artefacts={"owner": "dana"})
        telling.older(life.since)
        telling.registration(life.since)
        telling.release(life.since)
        telling.afterwards()
        for week in range(WEEKS):
            window = Window.ending(NOW - timedelta(days=7 * week + 1), timedelta(days=7))
            tx.windows.record(JudgedWindow(model, VERSIONS, window, Outcome.PASSED, (), digest_of(week), window.end))
            telling.say(EventType.WINDOW_JUDGED, VERSIONS, window.end, window=window, outcome="PASSED", causes=[])
    clock.set(NOW)


def test_inventory_of_500_models(report: Report, services: Services) -> None:
    folder = services.specs.folder
    plain = fastest(lambda: [yaml.safe_load((folder / m / "model.yaml").read_bytes()) for m in services.specs.ids()])
    cold = fastest(lambda: taken(services, SpecFolder(folder)))
    services.specs.all()
    warm = fastest(lambda: taken(services, services.specs))
    specs = fastest(lambda: SpecFolder(folder).all())
    past = fastest(lambda: surveying.inventory(services, PLACES, at=NOW - timedelta(days=60)))
    report.headline(f"Inventory of {MODELS} models, seconds, beside a plain read of their YAML", cold, plain, "s")
    report.table(
        f"Inventory of {MODELS} models, {VERSIONS} versions and {WEEKS} judged weeks each, in PostgreSQL",
        "yaml.safe_load of the same files",
        Figure("plain read", plain, "s", 1.0),
        Figure("inventory, nothing read before", cold, "s", cold / plain),
        Figure("of that, specs and their code", specs, "s", specs / plain),
        Figure("inventory, specs read before", warm, "s", warm / plain),
        Figure("inventory of 60 days ago, from the ledger alone", past, "s", past / plain),
    )


def test_zombies_of_a_planted_estate(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "PROBES_A_NIGHT", estate.MODELS)
    planted = plant_estate(tmp_path)
    started = time.perf_counter()
    found = planted.assess()
    seconds = time.perf_counter() - started
    missed, false = planted.compare(found)
    report.table(
        f"Zombies among {found.models} models, {len(planted.truth)} planted by {len(estate.RULES)} rules",
        "those planted",
        Figure("planted", len(planted.truth), "zombies", 1.0),
        Figure("found", len(planted.truth - missed), "zombies", len(planted.truth - missed) / len(planted.truth)),
        Figure("false", len(false), "findings", len(false) / len(found.findings)),
        Figure("the audit, every source read", seconds, "s"),
    )


def taken(services: Services, specs: SpecFolder) -> list[Any]:
    records = surveying.inventory(replace(services, specs=specs), PLACES)
    assert len(records) == MODELS
    assert all(record.champion == VERSIONS and record.training_data for record in records)
    return records


def fastest(work: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
