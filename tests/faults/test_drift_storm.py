"""Thirty days of drift, losses, broken data and mishaps: never above policy, never on broken data, one at a time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.faults.storm import MODEL, Storm

from steward.actions.telling.explaining import Rules, explain
from steward.adapters.postgres import PostgresDatabase
from steward.clock import Clock
from steward.spec.retraining import Retraining
from steward.testing.database import FAKE_KEY

pytestmark = pytest.mark.faults

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POLICIES: dict[str, dict[str, Any]] = {
    "usual": {"cooldown": "3d", "budget": {"runs": 4, "per": "30d"}},
    "eager": {
        "when": {"failed_windows": 1, "of": 3},
        "cooldown": "6h",
        "budget": {"runs": 6, "per": "10d", "cpu_hours": 2},
        "stop_after_refusals": 2,
        "at_once": {"roc_auc": {"max_drop": 0.1}},
    },
    "clocked": {
        "cooldown": "1d",
        "budget": {"runs": 5, "per": "14d", "cpu_hours": 4},
        "schedule": "0 3 * * 0",
        "new_labels": 3000,
        "min_new_labels": 50,
    },
    "off": {"budget": {"runs": 0, "per": "30d"}},
}


def storm(folder: Path, seed: int, given: dict[str, Any], step: timedelta, *, constant_cost: bool = True) -> Storm:
    folder.mkdir()
    return Storm.of(folder, seed, Retraining.model_validate(given), step, constant_cost=constant_cost).rage()


@pytest.mark.parametrize("constant_cost", [True, False], ids=["one cost", "costs by lot"])
@pytest.mark.parametrize("name", POLICIES)
def test_days_of_storm_stay_within_policy(tmp_path: Path, name: str, constant_cost: bool) -> None:
    storms = [storm(tmp_path / str(n), n, POLICIES[name], 6 * HOUR, constant_cost=constant_cost) for n in range(4)]
    for seed, found in enumerate(storms):
        assert found.within_policy() == [], f"seed {seed}"
        assert found.decisions > 100
    started = sum(len(found.starts) for found in storms)
    assert (started > 0) is (name != "off")


@pytest.mark.parametrize("name", ["eager", "clocked"])
def test_a_storm_by_the_hour(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = storm(tmp_path / "storm", 11, POLICIES[name], HOUR)
    assert found.within_policy() == []
    assert found.starts
    assert found.decisions > 600
    told = f"{name}: {found.decisions} decisions, {len(found.starts)} retrainings; on every alarm: {found.alarms}"
    with capsys.disabled():
        print(f"\n{told}")
    assert len(found.starts) * 10 < found.alarms
    with found.life.services.database.begin() as tx:
        rules = Rules(found.life.spec, found.life.clock.now(), found.life.services.policy, found.life.services.stages)
        told = explain(tx, MODEL, rules)["retraining"]
    assert {"decision", "reason", "seq", "at", "next"} <= set(told)
    assert len(told["safeguards"]) >= 9


def test_postgresql_decides_as_the_fake_does(tmp_path: Path, database_url: str) -> None:
    given = Retraining.model_validate(POLICIES["eager"])
    opened: list[PostgresDatabase] = []

    def open_database(clock: Clock) -> PostgresDatabase:
        opened.append(PostgresDatabase(database_url, clock, FAKE_KEY))
        return opened[0]

    (tmp_path / "real").mkdir()
    try:
        real = Storm.of(tmp_path / "real", 3, given, 12 * HOUR, database=open_database).rage(15)
    finally:
        opened[0].close()
    (tmp_path / "fake").mkdir()
    fake = Storm.of(tmp_path / "fake", 3, given, 12 * HOUR).rage(15)
    assert real.within_policy() == []
    assert real.starts == fake.starts
    assert real.starts
    assert real.alarms == fake.alarms


LAX: dict[str, Any] = {
    "when": {"failed_windows": 1, "of": 3},
    "cooldown": "1h",
    "budget": {"runs": 100, "per": "30d"},
    "stop_after_refusals": 50,
}
STRICT: dict[str, dict[str, Any]] = {
    "single_flight": {},
    "nothing_open": {},
    "data_quality": {},
    "cooldown": {"cooldown": "3d"},
    "budget_of_runs": {"budget": {"runs": 2, "per": "10d"}},
    "budget_of_cpu": {"budget": {"runs": 100, "per": "10d", "cpu_hours": 1}},
    "breaker": {"stop_after_refusals": 1},
}


@pytest.mark.parametrize("without", STRICT)
def test_without_any_one_safeguard_a_storm_is_found_to_break_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    """So the storm can tell, and none of them is there for show."""
    from steward.retraining import controller
    from steward.retraining.safeguards import SAFEGUARDS

    monkeypatch.setattr(controller, "SAFEGUARDS", tuple(rule for rule in SAFEGUARDS if rule.name != without))
    for seed in range(8):
        found = storm(tmp_path / str(seed), seed, {**LAX, **STRICT[without]}, 6 * HOUR).within_policy()
        if any("not every safeguard" not in fault for fault in found):
            return
    pytest.fail(f"nothing was found without {without}")


@pytest.mark.parametrize("tested", STRICT)
def test_with_all_of_them_the_same_storms_break_none(tmp_path: Path, tested: str) -> None:
    for seed in range(3):
        assert storm(tmp_path / str(seed), seed, {**LAX, **STRICT[tested]}, 6 * HOUR).within_policy() == []
