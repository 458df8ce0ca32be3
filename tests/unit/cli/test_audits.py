"""audit: what it prints, and how it ends."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Steward

from steward.gates import Evidence
from steward.ledger import Weakness
from steward.registry import State
from steward.testing import FakeDatabase
from steward.testing.builders import MODEL, a_draft, a_new_version
from steward.testing.database import FAKE_KEY
from steward.testing.record import FakeEventLog
from steward.types import VersionRef


@pytest.fixture
def lived(store: FakeDatabase) -> FakeDatabase:
    with store.begin() as tx:
        digest = tx.evidence.put(Evidence("evaluation", MODEL, {"auc": 0.7}))
        version = tx.versions.add(a_new_version())
        tx.events.append(a_draft("version.registered", version=version.number, evidence=digest))
        tx.events.append(a_draft("run.closed", model="other"))
    return store


@pytest.fixture
def key(models: Path) -> Path:
    path = models.parent / "home" / "ledger.key"
    path.parent.mkdir()
    path.write_text(FAKE_KEY.hex() + "\n")
    return path


def test_all_that_holds_is_said(steward: Steward, lived: FakeDatabase) -> None:
    ended = steward("audit", "verify", "--evidence", "--state")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[1:] == [
        "all evidence has the content it was named for",
        "versions, routes, rollouts, approvals and incidents are what the events say",
    ]


def test_altered_evidence_ends_with_1_and_names_the_event(steward: Steward, lived: FakeDatabase) -> None:
    next(iter(lived._state.evidence.values())).body["auc"] = 0.9
    assert steward("audit", "verify").code == 0
    ended = steward("audit", "verify", "--evidence")
    assert ended.code == 1
    assert "event 1 cannot be trusted: its evidence" in ended.err
    assert "all evidence" not in ended.out
    as_json = steward("audit", "verify", "--evidence", "--json")
    assert (as_json.code, json.loads(as_json.out)["evidence"]["seq"]) == (1, 1)


def test_a_champion_made_by_hand_ends_with_1(steward: Steward, lived: FakeDatabase) -> None:
    ref = VersionRef(MODEL, 1)
    lived._state.versions[ref] = replace(lived._state.versions[ref], state=State.CHAMPION)
    assert steward("audit", "verify").code == 0
    ended = steward("audit", "verify", "--state")
    assert ended.code == 1
    assert f"the state of {ref} is champion, the events say challenger (event 1)" in ended.err
    as_json = steward("audit", "verify", "--state", "--json")
    assert (as_json.code, json.loads(as_json.out)["state"]["found"]) == (1, "champion")


@pytest.mark.parametrize(("removed", "code", "said"), [(True, 1, "guard removed"), (False, 0, "warning")])
def test_a_guard_that_is_gone_is_an_alarm_and_a_wide_right_a_warning(
    steward: Steward, lived: FakeDatabase, monkeypatch: pytest.MonkeyPatch, removed: bool, code: int, said: str
) -> None:
    weakness = Weakness("the trigger is off", "switch it on", removed)
    monkeypatch.setattr(FakeEventLog, "weaknesses", lambda _: [weakness])
    ended = steward("audit", "verify")
    assert (ended.code, ended.err.splitlines()) == (code, [f"{said}: the trigger is off", "→ switch it on"])
    as_json = steward("audit", "verify", "--json")
    assert (as_json.code, json.loads(as_json.out)["weaknesses"]) == (code, [weakness.to_json()])


@pytest.mark.parametrize("name", ["record.zip", "record"])
def test_an_export_is_written_and_checked(
    steward: Steward, lived: FakeDatabase, key: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    ended = steward("audit", "export", MODEL, "--out", out)
    assert ended.out == f"events 1 to 2: 1 of {MODEL} in full, 1 pieces of evidence, 0 checkpoints in {out}\n"
    checked = steward("audit", "check", out, "--key", key)
    assert checked.out.startswith(f"1 events of {MODEL} hold, in an unbroken chain from event 1 to 2;")
    assert json.loads(steward("audit", "check", out, "--json").out)["intact"] is True
    assert steward("audit", "export", MODEL, "--out", out).code == 4


def test_an_export_is_the_same_file_each_time(steward: Steward, lived: FakeDatabase, key: Path, tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        assert steward("audit", "export", MODEL, "--out", tmp_path / name).code == 0
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_forged_export_ends_with_1_and_names_the_event(
    steward: Steward, lived: FakeDatabase, key: Path, tmp_path: Path
) -> None:
    steward("audit", "export", MODEL, "--out", tmp_path / "record")
    events = tmp_path / "record" / "events.jsonl"
    events.write_text(events.read_text().replace('"version":1', '"version":2'))
    ended = steward("audit", "check", tmp_path / "record")
    assert ended.code == 1
    assert "events.jsonl: event 1 cannot be trusted" in ended.err
    assert steward("audit", "check", tmp_path / "record", "--json").code == 1


def test_a_period_without_events_of_the_model(steward: Steward, lived: FakeDatabase, key: Path, tmp_path: Path) -> None:
    ended = steward("audit", "export", MODEL, "--out", tmp_path / "x.zip", "--from", "2040-01-01")
    assert (ended.code, (tmp_path / "x.zip").exists()) == (5, False)
    assert steward("audit", "export", MODEL, "--out", tmp_path / "x.zip", "--to", "tomorrow").code == 2


def test_what_is_no_export(steward: Steward, key: Path, tmp_path: Path) -> None:
    assert steward("audit", "check", tmp_path / "nothing").code == 5
    (tmp_path / "torn.zip").write_bytes(b"PK\x03\x04")
    assert steward("audit", "check", tmp_path / "torn.zip").code == 1
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert "this is not an export of the ledger" in steward("audit", "check", tmp_path / "empty.zip").err
    (tmp_path / "short.key").write_text("ab")
    assert steward("audit", "check", tmp_path / "empty.zip", "--key", tmp_path / "short.key").code == 1
