"""retire, retirement and reproduce: a whole life behind them, in memory."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life
from tests.unit.cli.conftest import Steward

from steward import actions, wiring
from steward.cli import retirement
from steward.types import JsonObject

YAML = MODEL_YAML + "consumers: [{name: desk, contact: mo@example.com}]\nretirement: {quiet: 7d, keep: 3650d}\n"


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """One version in service, a quiet week behind it."""
    found = build_life(tmp_path / "life", YAML)
    monkeypatch.setenv("STEWARD_CODE_COMMIT", "c" * 40)
    trained = found.train()
    found.approve(trained)
    found.release(trained)
    found.clock.advance(timedelta(days=8))
    monkeypatch.setattr(wiring, "services", lambda: found.services)
    monkeypatch.setattr(wiring, "database", lambda: found.services.database)
    monkeypatch.setattr(wiring, "specs", lambda: found.services.specs)
    monkeypatch.setattr(retirement, "decide", lambda model, decision, **given: by_mo(found, model, decision, given))
    return found


def by_mo(life: Life, model: str, decision: str, given: JsonObject) -> Any:
    """What the door does for the user mo."""
    action = {"consumers/confirm": "confirm_consumer", "retirement/call-off": "call_off_retirement"}[decision]
    return getattr(actions, action)(life.services, model=model, by="mo", via="cli", **given)


def start(life: Life) -> None:
    life.do("start_retirement", "end", "airflow:olga", reason="superseded")


def test_retire_starts_the_dag_as_the_user_and_says_where_to_look(
    life: Life, steward: Steward, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Airflow:
        url = "http://airflow"
        asked: tuple[str, JsonObject] | None = None

        def trigger(self, dag: str, conf: JsonObject) -> str:
            self.asked = (dag, conf)
            return "manual__1"

    client = Airflow()
    monkeypatch.setattr(retirement, "airflow", lambda: client)
    ended = steward("retire", "toy", "--reason", "superseded", "--quiet", "14d")
    assert ended.code == 0, ended.err
    assert "http://airflow/dags/steward__retire/runs/manual__1" in ended.out
    given = {"model": "toy", "reason": "superseded", "replacement": None, "quiet": "14d", "accept_missing": False}
    assert client.asked == ("steward__retire", given)
    assert steward("retire", "tyo", "--reason", "x").code == 5


def test_status_shows_what_is_waited_for_and_what_is_done(life: Life, steward: Steward) -> None:
    assert "not being retired" in steward("retirement", "status", "toy").out
    assert steward("retirement", "status", "tyo").code == 5
    start(life)
    life.log(1, 9, "champion", [0.5])
    out = steward("retirement", "status", "toy").out
    assert "consumer desk\twaiting\tmo@example.com" in out
    assert "quiet\twaiting\tlast asked at" in out
    confirmed = steward("retirement", "confirm", "toy", "--consumer", "desk", "--replacement", "heir")
    assert confirmed.out == "desk no longer needs toy; all confirmed\n"
    shown = json.loads(steward("retirement", "status", "toy", "--json").out)
    assert shown["unconfirmed"] == []
    assert shown["confirmations"]["desk"]["replacement"] == "heir"
    life.clock.advance(timedelta(days=8))
    for step in ("close_endpoint", "archive_model", "bury"):
        life.do(step, "end")
    out = steward("retirement", "status", "toy").out
    assert "archived\t2013-06-17\tkept until 2023-06-15 at memory:archive/toy" in out
    assert "retired\t2013-06-17" in out


def test_an_archive_is_read_again_on_request(life: Life, steward: Steward) -> None:
    assert steward("retirement", "verify", "toy").code == 5
    start(life)
    steward("retirement", "confirm", "toy", "--consumer", "desk")
    for step in ("close_endpoint", "archive_model", "bury"):
        life.do(step, "end")
    assert "6 files are as recorded, to be kept until 2023-06" in steward("retirement", "verify", "toy").out
    life.services.archive.files["toy/ledger.jsonl"] += b"{}"
    ended = steward("retirement", "verify", "toy")
    assert ended.code == 1
    assert "ledger.jsonl reads otherwise than it was written" in ended.err


def test_called_off(life: Life, steward: Steward) -> None:
    start(life)
    assert steward("retirement", "call-off", "toy", "--reason", "still needed").code == 0
    assert "not being retired" in steward("retirement", "status", "toy").out
    assert steward("retirement", "confirm", "toy", "--consumer", "desk").code == 5


def test_reproduce_prints_the_verdict_and_ends_with_it(life: Life, steward: Steward) -> None:
    ended = steward("reproduce", "toy@1")
    assert (ended.code, ended.out.splitlines()[0]) == (0, "toy@1: bit-exact"), ended.err
    assert "roc_auc\t0." in ended.out
    life.services.snapshots.tables.clear()
    ended = steward("reproduce", "toy@1", "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["reasons"] == ["snapshot 0 of snapshots/toy is gone"]
    assert "because\tsnapshot 0 of snapshots/toy is gone" in steward("reproduce", "toy@1").out
    assert steward("reproduce", "toy@9").code == 5
    assert steward("reproduce", "toy").code == 5
