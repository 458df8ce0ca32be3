"""`steward explain` says why a logged decision, or a row in a file, came out as it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from tests.unit.cli.conftest import GOLDEN, Steward

from steward import wiring
from steward.approval.policy import load_policy
from steward.gates import Evidence
from steward.registry import State
from steward.testing import FrozenClock
from steward.testing.builders import NOON, a_new_version
from steward.testing.services import services_in_memory

CODE = "def load(start, end): ...\ndef build(params): ...\ndef examples(): ...\n"
ROW = {"income": 10.0, "debt": 60.0}


@pytest.fixture
def served(models: Path, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A champion whose score falls with debt and rises with income, and one logged decision against somebody."""
    spec = yaml.safe_load(GOLDEN.read_text())
    features = {"income": {"type": "number"}, "debt": {"type": "number", "reason": "Debt is high for the income"}}
    spec["data"] = {"id": "id", "time": "at", "label": {"column": "y"}, "features": features}
    spec["evaluation"]["slices"] = []
    (models / "flight_delays" / "model.yaml").write_text(yaml.safe_dump(spec))
    frame = pd.DataFrame({"income": [10.0, 50, 10, 50], "debt": [0.0, 0, 60, 60]})
    wired = services_in_memory(wiring.specs(), load_policy(wiring.settings().policy_file), clock, models.parent)
    wired.tracker.models["run-1"] = LogisticRegression().fit(frame, [1, 1, 0, 1])
    profile = Evidence("profile", "flight_delays", {"reference": {"income": 50.0, "debt": 0.0}})
    with wired.database.begin() as tx:
        tx.evidence.put(profile)
        tx.versions.add(a_new_version(profile=profile.digest, state=State.CHAMPION))
        tx.versions.add(a_new_version(profile=None))
    logged = {
        "decision_id": "d-1",
        "version": 1,
        "role": "champion",
        "recorded_at": NOON,
        "f_income": 10.0,
        "f_debt": 60.0,
    }
    wired.predictions.append("flight_delays", pa.Table.from_pylist([logged]))
    monkeypatch.setattr(wiring, "services", lambda: wired)
    monkeypatch.setattr(wiring, "database", lambda: wired.database)
    return wired


def test_a_logged_decision_is_explained_by_the_version_that_took_it(steward: Steward, served: Any) -> None:
    told = json.loads(steward("explain", "flight_delays", "--decision", "d-1", "--json").out)
    assert (told["version"], told["decision"], told["favourable"]) == ("flight_delays@1", 0, False)
    assert told["reasons"][0]["text"] == "Debt is high for the income"
    total = told["reference_score"] + sum(each["amount"] for each in told["contributions"])
    assert total == pytest.approx(told["score"])
    lines = steward("explain", "flight_delays", "--decision", "d-1").out.splitlines()
    assert "below the threshold 0.5: decision 0 (unfavourable)" in lines[0]
    assert lines[1] == "reason 1: Debt is high for the income (debt)"


def test_a_row_in_a_file_gives_the_same_amounts(steward: Steward, served: Any, tmp_path: Path) -> None:
    file = tmp_path / "row.json"
    file.write_text(json.dumps(ROW))
    by_row = json.loads(steward("explain", "flight_delays@1", "--row", file, "--json").out)
    champions = json.loads(steward("explain", "flight_delays", "--row", file, "--json").out)
    assert champions == by_row
    by_id = json.loads(steward("explain", "flight_delays", "--decision", "d-1", "--json").out)
    assert by_row["contributions"] == by_id["contributions"]


def test_what_cannot_be_explained_says_why(steward: Steward, served: Any, tmp_path: Path) -> None:
    half = tmp_path / "half.json"
    half.write_text('{"income": 1}')
    for arguments, code, said in [
        (["flight_delays"], 2, "either --decision or --row"),
        (["flight_delays", "--decision", "d-9"], 5, "no decision 'd-9' is logged"),
        (["flight_delays@1", "--row", half], 2, "it lacks debt"),
        (["flight_delays@1", "--row", tmp_path / "none.json"], 5, "cannot be read"),
        (["flight_delays@2", "--decision", "d-1"], 5, "registered without a reference row"),
        (["flight_delay", "--decision", "d-1"], 5, "did you mean `flight_delays`"),
    ]:
        ended = steward("explain", *arguments)
        assert ended.code == code, ended.err
        assert said in ended.err


def test_a_hashed_column_cannot_be_read_back(steward: Steward, served: Any, models: Path) -> None:
    file = models / "flight_delays" / "model.yaml"
    spec = yaml.safe_load(file.read_text())
    spec["data"]["privacy"] = {"debt": "hash"}
    file.write_text(yaml.safe_dump(spec, sort_keys=False))
    ended = steward("explain", "flight_delays", "--decision", "d-1")
    assert ended.code == 2
    assert "does not hold debt" in ended.err
