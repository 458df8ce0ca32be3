"""A high-risk model from its papers to its grave, with every part a real one: the shipped loan_approval, no fakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from tests.e2e.test_life_story import eventually
from tests.e2e.test_local_stack import free_ports

from steward.adapters.airflow_rest import AirflowClient
from steward.adapters.postgres import PostgresDatabase
from steward.clock import ReplayClock
from steward.demo.display import Narrator
from steward.demo.flights import FlightStream
from steward.demo.mortgages import MODEL, TRAINED_TO, Mortgages
from steward.demo.releases import TrainingRun
from steward.ledger.key import read_key
from steward.local import Stack
from steward.spec import SpecFolder
from steward.training import ModelCode

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PROJECT = Path(__file__).parents[2]
MODELS = PROJECT / "include" / "models"
START = datetime.fromisoformat(f"{TRAINED_TO}T06:00+00:00")  # a rival trains on what the champion saw
PEOPLE = ("dana", "ravi", "mo", "vera")


@dataclass
class Bank:
    stack: Stack
    clock: ReplayClock
    mortgages: Mortgages
    people: dict[str, AirflowClient]
    narrator: Narrator

    def steward(self, *arguments: str, user: str = "ravi") -> subprocess.CompletedProcess[str]:
        login = {"STEWARD_AIRFLOW_USER": user, "STEWARD_AIRFLOW_PASSWORD": self.stack.passwords[user]}
        program = Path(sys.executable).with_name("steward")
        return subprocess.run(
            [str(program), *arguments], env={**self.stack.env(), **login}, capture_output=True, text=True, timeout=180
        )

    def told(self, *arguments: str, user: str = "ravi") -> Any:
        done = self.steward(*arguments, "--json", user=user)
        assert done.returncode == 0, f"steward {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def refused(self, code: int, *arguments: str, user: str = "ravi") -> str:
        done = self.steward(*arguments, user=user)
        assert done.returncode == code, f"steward {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def run_of(self, dag: str, run: str) -> TrainingRun:
        return TrainingRun(self.people["dana"], self.narrator, dag, run)


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    calendar = tmp_path / "calendar"
    clock = ReplayClock(calendar)
    clock.set(START)
    settings = {"STEWARD_CLOCK_FILE": str(calendar), "STEWARD_MODELS_DIR": str(MODELS)}
    stack = Stack(tmp_path / "home", project=PROJECT, extra_env=settings, environ={**os.environ, **free_ports()})
    narrator = Narrator()
    try:
        stack.up()
        people = {u: AirflowClient(stack.urls.airflow, user=u, password=stack.passwords[u]) for u in PEOPLE}
        spec = SpecFolder(MODELS).get(MODEL)
        stream = FlightStream(spec, ModelCode(MODELS / MODEL / "model.py"))
        database = PostgresDatabase(stack.urls.database, clock, read_key(Path(stack.env()["STEWARD_LEDGER_KEY_FILE"])))
        papers = MODELS / MODEL / "documents"
        yield Bank(
            stack, clock, Mortgages(stream, people, narrator, database, stack.urls.server, papers), people, narrator
        )
        database.close()
    finally:
        stack.stop()


def test_a_high_risk_model_lives_by_its_rules_and_is_retired_by_them(bank: Bank, tmp_path: Path) -> None:
    eventually("DAGs are parsed", lambda: f"{MODEL}__train" in {d["dag_id"] for d in bank.people["dana"].dags()}, 60)
    bank.mortgages.tell(bank.clock.now())
    every_view_shows_where_it_stands(bank)
    what_people_outside_read_is_written(bank, tmp_path)
    an_export_stands_alone_and_shows_tampering(bank, tmp_path)
    waivers_are_signed_by_those_who_may(bank)
    the_version_is_trained_again(bank)
    nobody_deploys_by_hand(bank)
    the_nightly_audit_finds_what_does_not_fit(bank)
    it_is_retired_and_stays_so(bank)


def every_view_shows_where_it_stands(bank: Bank) -> None:
    stage = bank.told("stage", MODEL)
    assert stage["stage"] == "monitoring", stage
    (row,) = [each for each in bank.told("inventory") if each["model"] == MODEL]
    assert (row["stage"], row["risk_tier"], row["champion"]) == ("monitoring", "high", 2)
    kinds = {each["kind"] for each in bank.told("document", "list", f"{MODEL}@2")}
    assert {"use_case", "development_plan", "monitoring_plan", "validation_report"} <= kinds
    served = bank.told("history", MODEL, "--at", f"{START + timedelta(days=1):%Y-%m-%d}")["serving"]
    assert {answer["by"] for answer in served["answers"] if answer["approved"]} == {"ravi", "vera"}


def what_people_outside_read_is_written(bank: Bank, tmp_path: Path) -> None:
    card, compliance = tmp_path / "card.html", tmp_path / "compliance.html"
    assert bank.steward("report", "card", f"{MODEL}@2", "--html", str(card)).returncode == 0
    assert bank.steward("report", "compliance", f"{MODEL}@2", "--html", str(compliance)).returncode == 0
    assert "race" in card.read_text()
    assert "sr-26-2" in compliance.read_text()
    for page in (card, compliance):
        assert "<script" not in page.read_text()


def an_export_stands_alone_and_shows_tampering(bank: Bank, tmp_path: Path) -> None:
    whole, forged = tmp_path / "export.zip", tmp_path / "forged.zip"
    assert bank.steward("audit", "export", MODEL, "--out", str(whole)).returncode == 0
    checked = bank.steward("audit", "check", str(whole))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with ZipFile(whole) as source, ZipFile(forged, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, source.read(name).replace(b"ravi", b"mona"))
    assert bank.steward("audit", "check", str(forged)).returncode == 1
    bank.told("audit", "verify")


def waivers_are_signed_by_those_who_may(bank: Bank) -> None:
    until = f"{START + timedelta(days=30):%Y-%m-%d}"
    wanted = ("waiver", "grant", MODEL, "--gate", "metric.accuracy", "--until", until)
    reason = ("--reason", "the groups are too small for this quarter's figures")
    assert "risk_officer" in bank.refused(3, *wanted, *reason, user="mo")
    granted = bank.told(*wanted, *reason, user="vera")
    assert [each["id"] for each in bank.told("waiver", "list", MODEL)] == [granted["waiver"]]
    bank.told("waiver", "revoke", granted["waiver"], "--reason", "not needed after all", user="vera")
    assert bank.told("waiver", "list", MODEL) == []


def the_version_is_trained_again(bank: Bank) -> None:
    again = bank.told("reproduce", f"{MODEL}@2")
    assert again["verdict"] == "bit-exact", again


def nobody_deploys_by_hand(bank: Bank) -> None:
    """A task marked as success releases nothing."""
    before = bank.told("status", MODEL)[0]["champion"]
    dana = bank.people["dana"]
    run = bank.run_of(f"{MODEL}__train", dana.trigger(f"{MODEL}__train", {"reason": "a rival"}))
    run.wait_question()
    path = f"/api/v2/dags/{MODEL}__train/dagRuns/{run.run}/taskInstances/await_approval"
    admin = AirflowClient(bank.stack.urls.airflow, user="admin", password=bank.stack.passwords["admin"])
    admin._json("PATCH", path, json={"new_state": "success"})
    eventually("the run ends", lambda: run.state() in {"failed", "success"}, 120)
    assert bank.told("status", MODEL)[0]["champion"] == before
    refused = [row for row in bank.told("history", MODEL) if row["event"] == "release.refused"]
    assert "approval" in refused[-1]["reason"], refused[-1]


def the_nightly_audit_finds_what_does_not_fit(bank: Bank) -> None:
    bank.clock.set(START + timedelta(days=40))
    dag = "steward__audit_inventory"
    run = bank.run_of(dag, bank.people["dana"].trigger(dag))
    run.wait_end("the nightly audit")
    found = {(each["model"], each["rule"]) for each in bank.told("audit", "inventory")["findings"]}
    assert (MODEL, "idle_champion") in found, found
    assert (MODEL, "silent_monitor") in found or (MODEL, "no_monitor") in found, found


def it_is_retired_and_stays_so(bank: Bank) -> None:
    plan = Path(__file__).parent / "story" / "papers" / "retirement_plan.md"
    bank.told("document", "file", MODEL, "--kind", "retirement_plan", str(plan), user="dana")
    started = bank.told("retire", MODEL, "--reason", "the bank buys its scores from now on", user="dana")
    run = bank.run_of("steward__retire", started["run"])
    run.patience = 300
    run.wait_for("asking consumers", lambda states: states.get("await_consumers") == "up_for_reschedule")
    for consumer in ("loan-desk", "branch-app"):
        bank.told("retirement", "confirm", MODEL, "--consumer", consumer, user="mo")
    look_now(bank, run, "await_consumers")
    run.wait_for("a quiet week", lambda states: states.get("await_quiet") in ("up_for_reschedule", "success"))
    bank.clock.set(bank.clock.now() + timedelta(days=8))
    if run.task_states()["await_quiet"] != "success":
        look_now(bank, run, "await_quiet")
    run.wait_end("retiring")
    assert bank.told("retirement", "status", MODEL)["retired_at"]
    eventually("the endpoint is gone", lambda: status_of(bank) == 410, 20)
    assert "retired" in bank.refused(3, "review", MODEL, "--reason", "one more look at it", user="ravi")
    again = bank.run_of(f"{MODEL}__train", bank.people["dana"].trigger(f"{MODEL}__train", {"reason": "once more"}))
    eventually("the run ends", lambda: again.state() in {"failed", "success"}, 120)
    assert bank.told("status", MODEL)[0]["champion"] is None
    assert bank.steward("retirement", "verify", MODEL).returncode == 0
    verified = bank.steward("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def look_now(bank: Bank, run: TrainingRun, task: str) -> None:
    """A wait looks again every five minutes; clearing its task makes it look at once."""
    body = {"dry_run": False, "only_failed": False, "task_ids": [task], "dag_run_id": run.run}
    bank.people["dana"]._json("POST", f"/api/v2/dags/{run.dag}/clearTaskInstances", json=body)


def status_of(bank: Bank) -> int:
    return httpx.get(f"{bank.stack.urls.server}/v2/models/{MODEL}", timeout=5).status_code
