"""maintain, outcomes and forget at the command line, on a real log of segments."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.contract.test_prediction_log import answer, predictions
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life
from tests.unit.actions.test_maintaining import OUTCOMES
from tests.unit.cli.conftest import Steward

from steward import wiring
from steward.actions.healing.healing import HEALERS
from steward.adapters.delta_predictions import DeltaPredictionLog
from steward.adapters.segmented_predictions import SegmentedPredictionLog
from steward.data.privacy import keyed_hash
from steward.errors import UnavailableError

KEY = b"k" * 32


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    life = build_life(tmp_path / "life")
    log = SegmentedPredictionLog(tmp_path / "storage")
    life.services = replace(life.services, predictions=log, log_key=KEY)
    declared = tmp_path / "life" / "models" / "toy" / "model.yaml"
    declared.write_text(MODEL_YAML.replace("data:\n", "data:\n  subject: customer\n", 1))
    now = life.clock.now()
    rows = [answer(name, at=now, subject=keyed_hash(KEY, "toy", who)) for name, who in (("a", 4711), ("b", "4712"))]
    log.append("toy", predictions(*rows))
    monkeypatch.setattr(wiring, "services", lambda: life.services)
    monkeypatch.setattr(wiring, "specs", lambda: life.services.specs)
    return life


def test_the_log_is_maintained_and_said(life: Life, steward: Steward) -> None:
    said = steward("maintain", "--compact")
    assert (said.code, said.out.splitlines()) == (
        0,
        ["model\tfolded\texpired\tmerged files\toutcomes\tof unknown decisions", "toy\t2\t0\t0\t0\t0"],
    )
    assert steward("maintain").out == "nothing to do\n"
    assert json.loads(steward("maintain", "--no-compact", "--json").out) == {"models": {}, "compacted": False}


def test_a_person_is_forgotten_by_the_name_that_requests_gave(life: Life, steward: Steward) -> None:
    reason = ("--reason", "asked us to, ticket 90210")
    said = steward("forget", "toy", "--subject", "4711", *reason)
    assert (said.code, said.out) == (0, "toy: 1 predictions and 0 outcomes erased\n")
    assert steward("forget", "toy", "--subject", "4711", *reason).out == "toy: 0 predictions and 0 outcomes erased\n"
    assert json.loads(steward("forget", "toy", "--subject", "4712", *reason, "--json").out)["predictions"] == 1
    assert steward("forget", "toy", "--subject", "4711", "--reason", "4711 asked").code == 2
    assert steward("forget", "nobody", "--subject", "4711", *reason).code == 5


def test_outcomes_are_loaded_and_counted(life: Life, steward: Steward) -> None:
    assert steward("outcomes", "load", "toy").code == 5, "the spec names no function"
    folder = life.services.specs.folder / "toy"
    (folder / "model.py").write_text((folder / "model.py").read_text() + OUTCOMES)
    declared = folder / "model.yaml"
    declared.write_text(declared.read_text().replace("data:\n", "data:\n  outcomes: model:outcomes\n", 1))
    assert steward("outcomes", "load", "toy").out == "toy: 3 outcomes recorded\n"
    assert json.loads(steward("outcomes", "load", "toy", "--from", "2013-05-01", "--json").out) == {"recorded": 0}
    assert steward("outcomes", "load", "toy", "--from", "soon").code == 2


@pytest.mark.parametrize(
    ("storage", "kind"),
    [
        ("/var/steward", SegmentedPredictionLog),
        ("file:///var/steward", SegmentedPredictionLog),
        ("s3://bucket/steward", DeltaPredictionLog),
    ],
)
def test_a_local_disk_has_segments_and_an_object_store_has_none(storage: str, kind: type) -> None:
    log = wiring.prediction_log(storage)
    assert type(log) is kind
    assert log.root == storage.removeprefix("file://")


def test_what_heals_is_said_and_nothing_to_heal_too(life: Life, steward: Steward) -> None:
    assert (steward("heal").out, steward("heal").code) == ("nothing to heal\n", 0)
    life.do("take_snapshot", "stuck")
    life.clock.advance(timedelta(days=2))
    shown = steward("heal", "--dry-run")
    assert shown.code == 0
    assert "run stuck did not move since snapshot.taken" in " ".join(shown.out.split())
    assert life.events("run.closed") == []
    done = json.loads(steward("heal", "--json").out)
    assert [(each["kind"], each["closed"]) for each in done["found"]] == [("run", True)]
    (closed,) = life.events("run.closed")
    assert closed.actor.startswith("cli:")
    assert steward("heal").out == "nothing to heal\n"


def test_what_could_not_be_looked_at_is_said_at_the_end(
    life: Life, steward: Steward, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise UnavailableError("nobody there", where="memory")

    monkeypatch.setitem(HEALERS, "servers", away)
    said = steward("heal")
    assert said.code == 1
    assert "could not look at servers: memory: nobody there" in said.err
