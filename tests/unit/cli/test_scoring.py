"""Scoring a window by hand, and reading what was predicted."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from tests.unit.actions.conftest import Life, build_life
from tests.unit.actions.test_scoring import BATCH_YAML, release
from tests.unit.cli.conftest import Steward

from steward import wiring


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    life = build_life(tmp_path / "life", BATCH_YAML)
    monkeypatch.setattr(wiring, "services", lambda: life.services)
    monkeypatch.setattr(wiring, "specs", lambda: life.services.specs)
    return life


def test_a_window_is_scored_and_said(batch: Life, steward: Steward) -> None:
    release(batch)
    said = steward("score", "toy", "--as-of", "2013-06-01")
    assert (said.code, said.out) == (0, "toy@1 scored 96 rows of 2013-05-30T00:00:00Z/2013-06-01T00:00:00Z\n")
    again = steward("score", "toy", "--as-of", "2013-06-01")
    assert again.out.endswith(", which the table held already\n")
    one_day = steward("score", "toy", "--days", "1", "--json")
    assert json.loads(one_day.out)["rows"] == 48
    assert batch.events("window.scored")[0].actor.startswith("cli:")


def test_what_was_not_scored_is_said_and_is_no_success(batch: Life, steward: Steward) -> None:
    said = steward("score", "toy")
    assert said.code == 1
    assert said.out == "toy: nothing was scored\n→ toy has no champion: nothing was scored\n"
    assert steward("score", "toy", "--as-of", "soon").code == 2
    assert steward("score", "nobody").code == 5


def test_predictions_are_the_newest_of_each_row_with_the_decision(batch: Life, steward: Steward) -> None:
    release(batch)
    steward("score", "toy")
    batch.clock.advance(pd.Timedelta(hours=1).to_pytimedelta())
    release(batch)
    steward("score", "toy", "--days", "1")
    dates = ("--from", "2013-05-30", "--to", "2013-06-01")
    rows = json.loads(steward("predictions", "toy", *dates, "--json").out)
    assert [sum(row["version"] == number for row in rows) for number in (1, 2)] == [48, 48]
    assert {row["decision"] for row in rows} == {0, 1}
    assert all(row["decision"] == (row["score"] >= 0.5) for row in rows)
    first = json.loads(steward("predictions", "toy", *dates, "--version", "1", "--json").out)
    assert len(first) == 96
    table = steward("predictions", "toy", *dates)
    assert table.out.startswith("toy: 96 rows of 2013-05-30T00:00:00Z/2013-06-01T00:00:00Z, the first 20\n")
    assert table.out.count("\n") == 22


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_predictions_are_written_to_a_file_and_never_over_one(
    batch: Life, steward: Steward, tmp_path: Path, suffix: str
) -> None:
    release(batch)
    steward("score", "toy")
    out = tmp_path / f"may.{suffix}"
    asked = ("predictions", "toy", "--from", "2013-05-01", "--to", "2013-06-01", "--out", out)
    assert steward(*asked).out == f"96 rows of 2013-05-01T00:00:00Z/2013-06-01T00:00:00Z in {out}\n"
    rows = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    assert list(rows.columns) == ["request_key", "at", "version", "score", "decision", "decision_id"]
    assert len(rows) == 96
    assert steward(*asked).code == 4


def test_dates_and_names_that_make_no_sense_are_refused(batch: Life, steward: Steward, tmp_path: Path) -> None:
    release(batch)
    assert "is not after" in steward("predictions", "toy", "--from", "2013-06-01", "--to", "2013-06-01").err
    dates = ("--from", "2013-05-01", "--to", "2013-06-01")
    assert "neither .csv nor .parquet" in steward("predictions", "toy", *dates, "--out", tmp_path / "may.xls").err
    assert json.loads(steward("predictions", "toy", *dates, "--json").out) == []
