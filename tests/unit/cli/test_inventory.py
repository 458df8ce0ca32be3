"""inventory and audit inventory, on an estate with zombies in it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Steward
from tests.unit.inventory.estate import PlantedEstate, plant_estate

from steward import wiring


@pytest.fixture
def estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlantedEstate:
    folder = tmp_path / "estate"
    folder.mkdir()
    planted = plant_estate(folder, models=60, per_rule=1)
    monkeypatch.setattr(wiring, "services", lambda: planted.services)
    return planted


def model_with(estate: PlantedEstate, rule: str) -> str:
    return next(model for model, planted in estate.truth if planted == rule)


def test_all_models_one_line_each(steward: Steward, estate: PlantedEstate) -> None:
    ended = steward("inventory")
    lines = {line.split("\t")[0]: line for line in ended.out.splitlines()[1:]}
    assert ended.code == 0
    assert "\tregistered elsewhere\tlow\tVera (risk)\t" in lines["vendor_0"]
    assert lines["orphan_0"].split("\t")[3] == "nobody"
    assert "\tbroken spec\t" in lines[model_with(estate, "broken_spec")]
    assert lines["buried_000"].endswith("\tretired 2026-11-15")


def test_one_model_in_full(steward: Steward, estate: PlantedEstate) -> None:
    model = model_with(estate, "idle_champion")
    ended = steward("inventory", model)
    lines = dict(line.split("\t", 1) for line in ended.out.splitlines()[1:])
    assert lines["champion"] == "3"
    assert lines["training data"] == '{"table":"t","version":0}'
    assert lines["endpoint"] == f"http://127.0.0.1:8000/v2/models/{model}/infer"
    assert json.loads(steward("inventory", model, "--json").out)["champion"] == 3


def test_a_misspelt_model_is_not_found(steward: Steward, estate: PlantedEstate) -> None:
    ended = steward("inventory", "vendor_O")
    assert ended.code == 5
    assert "did you mean `vendor_0`?" in ended.err


def test_csv_has_every_field_and_no_formula(steward: Steward, estate: PlantedEstate) -> None:
    model = model_with(estate, "idle_champion")
    path = estate.services.specs.folder / model / "model.yaml"
    path.write_text(path.read_text().replace("title: A model of the estate", "title: =HYPERLINK(1)"))
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(steward("inventory", "--csv").out))}
    records = json.loads(steward("inventory", "--json").out)
    assert set(rows) == {record["model"] for record in records}
    assert set(rows[model]) == set(records[0])
    assert rows[model]["title"] == "'=HYPERLINK(1)"


def test_at_a_past_date(steward: Steward, estate: PlantedEstate) -> None:
    model = model_with(estate, "approval_expired")
    then = json.loads(steward("inventory", model, "--at", "2025-11-10", "--json").out)
    now = json.loads(steward("inventory", model, "--json").out)
    assert (then["champion"], now["champion"]) == (1, 3)
    assert steward("inventory", "--at", "yesterday").code == 2


def test_findings_are_told_and_nothing_is_written(steward: Steward, estate: PlantedEstate) -> None:
    with estate.services.database.begin() as tx:
        before = len(tx.events.read())
    ended = steward("audit", "inventory")
    assert ended.code == 0
    model = model_with(estate, "idle_champion")
    assert f"low\t{model}@3\tidle_champion\tnobody has asked it for more than 30 days\tretire it" in ended.out
    with estate.services.database.begin() as tx:
        assert len(tx.events.read()) == before
        assert not tx.incidents.unresolved_everywhere()


def test_findings_as_json_and_as_an_exit_code(steward: Steward, estate: PlantedEstate) -> None:
    ended = steward("audit", "inventory", "--json", "--strict")
    found = {(finding["model"], finding["rule"]) for finding in json.loads(ended.out)["findings"]}
    assert ended.code == 1
    assert found == {(model, rule) for model, rule in estate.truth if rule != "source_gone"}  # read by night alone


def test_an_unknown_upstream_and_a_circle_are_refused(steward: Steward, models: Path) -> None:
    path = models / "flight_delays" / "model.yaml"
    text = path.read_text()
    path.write_text(text + "\nupstream: [flight_delay]\n")
    ended = steward("check")
    assert ended.code == 2
    assert "upstream[0]: no model flight_delay is declared here or in inventory.yaml" in ended.err
    assert "did you mean `flight_delays`?" in ended.err
    (models / "weather").mkdir()
    (models / "weather" / "model.py").write_text((models / "flight_delays" / "model.py").read_text())
    other = text.replace("model: flight_delays", "model: weather", 1)
    (models / "weather" / "model.yaml").write_text(other + "\nupstream: [flight_delays]\n")
    path.write_text(text + "\nupstream: [weather]\n")
    ended = steward("check")
    assert ended.code == 2
    assert "it reads itself: flight_delays → weather → flight_delays" in ended.err
    assert "it reads itself: weather → flight_delays → weather" in ended.err


def test_a_broken_inventory_file_is_told_and_breaks_no_spec(
    steward: Steward, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "elsewhere.yaml"
    file.write_text("external_models: [{id: vendor}]\n")
    monkeypatch.setenv("STEWARD_INVENTORY_FILE", str(file))
    path = models / "flight_delays" / "model.yaml"
    path.write_text(path.read_text() + "\nupstream: [vendor]\n")
    wiring.settings.cache_clear()
    ended = steward("check")
    assert ended.code == 2
    assert f"{file}:1:19: external_models[0].title: a required key is missing" in ended.err
    assert "flight_delays: sound" in ended.out
