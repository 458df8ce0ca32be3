"""A small estate in memory in which the commands of the pages can be typed: one model has a past, a present, an
incident and a version that waits for people."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import build_life
from tests.unit.actions.test_watching import Watched

from steward import actions, wiring
from steward.cli import decisions, door
from steward.errors import PolicyError
from steward.inventory import ServedVersion
from steward.types import JsonObject

ROOT = Path(__file__).parents[3]
KEY = bytes(range(32))
PAPER = ROOT / "include" / "models" / "loan_approval" / "documents" / "use_case.md"
DECISIONS = {
    "answer": ("answer_approval", "ravi"),
    "documents": ("file_document", "olga"),
    "waivers": ("grant_waiver", "vera"),
    "break-glass": ("break_glass", "dana"),
    "reviews": ("review_model", "ravi"),
}
"""What stands behind a door, and somebody whom the shipped policy lets through."""


class Doors:
    """Airflow for one user who may: behind each door the action itself; runs that are started are noted."""

    url = "http://127.0.0.1:8080"

    def __init__(self, services: Any) -> None:
        self._services = services
        self.started: list[tuple[str, JsonObject]] = []

    def waiting(self, dag: str, run: str) -> list[JsonObject]:
        return []

    def decide(self, model: str, decision: str, fields: JsonObject) -> JsonObject:
        action, by = DECISIONS[decision]
        place = {} if decision == "answer" else {"model": model}
        said = getattr(actions, action)(self._services, by=by, via="cli", **place, **fields)
        if said.get("counted") is False:
            raise PolicyError(said["message"])
        return said

    def trigger(self, dag: str, form: JsonObject, **_: Any) -> str:
        self.started.append((dag, form))
        return "manual__2013-07-01T06:00:00+00:00"


class World:
    """`toy@1` gave way to `toy@2`, which answered a sound week and then another one; `toy@3` waits for a yes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.life = folder, build_life(folder)
        self.life.services.database._key = KEY
        shutil.copytree(ROOT / "include" / "models", folder / "models", dirs_exist_ok=True)
        for params in ({}, {"C": 0.5}):
            trained = self.life.train(params)
            self.life.approve(trained)
            self.life.release(trained)
        self.life.clock.advance(timedelta(days=1))
        watched = Watched(self.life)
        for move in (0, 3):
            watched.serve(7, version=2, move=move)
            judged = watched.judge(f"after{move}")
            self.life.do("open_incident", f"after{move}", evidence=judged["evidence"])
        self.life.do("decide_retraining", "after3", evidence=judged["evidence"])
        waits = self.life.train({"C": 2.0}, actor="airflow:mo")
        self.life.do("request_approval", waits["run"], "airflow:mo", version=waits["version"])
        self.files()
        self.state = self.life.services.database._state

    def files(self) -> None:
        (self.folder / "use_case.md").write_text(PAPER.read_text(encoding="utf-8"))
        (self.folder / "application.json").write_text(json.dumps({"x": 0.5}))
        (self.folder / "ledger.key").write_text(KEY.hex())

    def incident(self) -> str:
        with self.life.services.database.begin() as tx:
            return str(tx.incidents.unresolved("toy")[0].id)

    def decision(self) -> str:
        return str(self.life.predictions.rows["toy"][-1]["decision_id"][0])

    def today(self) -> str:
        return f"{self.life.clock.now():%Y-%m-%d}"

    def soon(self) -> str:
        return f"{self.life.clock.now() + timedelta(days=30):%Y-%m-%d}"

    def seq(self) -> int:
        """Of the newest event."""
        return max(event.seq for event in self.life.events())

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> Doors:
        """As it was built, whatever was typed before, in a folder of its own."""
        services, doors = self.life.services, Doors(self.life.services)
        services.database._state = self.state
        with services.database.begin() as tx:
            stored = tx.versions.all("toy")
        servers = services.served.endpoints
        services.served.versions = [
            ServedVersion(server, "toy", each.number, each.artefact_digest, "champion")
            for server in servers
            for each in stored
        ]
        services.served.answer = lambda row: 0.9
        for name in ("services", "database", "specs", "clock"):
            found = {
                "services": services,
                "database": services.database,
                "specs": services.specs,
                "clock": services.clock,
            }
            monkeypatch.setattr(wiring, name, lambda found=found[name]: found)
        monkeypatch.setattr(door, "airflow", lambda: doors)
        monkeypatch.setattr("steward.cli.retirement.airflow", lambda: doors, raising=False)
        monkeypatch.setattr(decisions, "LOOK_SECONDS", 0.0)
        monkeypatch.chdir(self.folder)
        return doors


def project(folder: Path) -> Path:
    """A copy of what the repository ships, under version control."""
    for name in ("models", "policy.yaml", "policy_cases.yaml", "stages.yaml", "inventory.yaml", "notifications.yaml"):
        source = ROOT / "include" / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        (folder / "include").mkdir(parents=True, exist_ok=True)
        copy(source, folder / "include" / name)
    person = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    for words in (("init", "-q"), ("add", "include"), ("commit", "-qm", "shipped")):
        subprocess.run(["git", *person, *words], cwd=folder, check=True, capture_output=True)
    return folder
