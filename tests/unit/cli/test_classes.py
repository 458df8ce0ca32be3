"""What the command line says of a model of several classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.actions.test_multiclass import CLASSES, LifeOfClasses, batch_of_classes
from tests.unit.cli.conftest import Steward

from steward import wiring


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LifeOfClasses:
    life = batch_of_classes(tmp_path / "life")
    monkeypatch.setattr(wiring, "services", lambda: life.services)
    monkeypatch.setattr(wiring, "specs", lambda: life.services.specs)
    monkeypatch.setattr(wiring, "database", lambda: life.services.database)
    return life


def test_predictions_are_classes_with_their_probability(batch: LifeOfClasses, steward: Steward) -> None:
    steward("score", "toy")
    rows = json.loads(steward("predictions", "toy", "--from", "2013-05-30", "--to", "2013-06-01", "--json").out)
    assert {row["decision"] for row in rows} == set(CLASSES)
    assert all(1 / 3 <= row["score"] <= 1 for row in rows)


def test_an_explanation_is_of_the_probability_of_the_decision(
    batch: LifeOfClasses, steward: Steward, tmp_path: Path
) -> None:
    row = tmp_path / "row.json"
    row.write_text('{"x": 3.0, "side": "left"}')
    found = json.loads(steward("explain", "toy", "--row", str(row), "--json").out)
    assert (found["decision"], found["contributions"][0]["feature"]) == ("large", "x")
    added = sum(each["amount"] for each in found["contributions"])
    assert found["score"] == pytest.approx(found["reference_score"] + added)
    said = steward("explain", "toy", "--row", str(row)).out
    assert "of the decision, large; a typical row scores" in said
