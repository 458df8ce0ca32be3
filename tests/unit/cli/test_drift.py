"""What the monitor found, as a person at the command line reads it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tests.unit.actions.conftest import Life, build_life
from tests.unit.actions.test_watching import Watched
from tests.unit.cli.conftest import Steward

from steward import wiring


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A sound week, judged; then a week with another x, not judged yet."""
    life = build_life(tmp_path_factory.mktemp("life"))
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    life.clock.advance(timedelta(days=1))
    watched = Watched(life)
    watched.serve(7)
    watched.judge("night7")
    watched.serve(7, move=4)
    return life


@pytest.fixture(autouse=True)
def behind(watched: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "services", lambda: watched.services)
    monkeypatch.setattr(wiring, "specs", lambda: watched.services.specs)
    monkeypatch.setattr(wiring, "database", lambda: watched.services.database)


def test_the_last_window_is_told_with_what_could_not_be_decided(steward: Steward) -> None:
    said = steward("drift", "toy")
    assert said.code == 0
    assert said.out.startswith("toy@1: 2013-06-02 to 2013-06-09, 1400 rows: INCONCLUSIVE\n")
    assert "drift.prediction_psi\tINCONCLUSIVE\tthe prediction cannot be told from chance" in said.out
    assert "drift.psi:x" not in said.out, "what passed is counted, not listed"
    assert "checks passed\n" in said.out
    assert "drift.psi:x\tPASSED\t" in steward("drift", "toy", "--all").out


def test_judging_now_tells_what_a_run_would_and_records_nothing(watched: Life, steward: Steward) -> None:
    before = len(watched.events())
    said = steward("drift", "toy", "--now")
    assert said.code == 1
    assert said.out.startswith("toy@1: 2013-06-09 to 2013-06-16, 1400 rows: FAILED\n")
    assert said.out.index("drift.psi:x\tFAILED") < said.out.index("INCONCLUSIVE")
    assert len(watched.events()) == before
    earlier = steward("drift", "toy", "--now", "--as-of", "2013-06-09")
    assert (earlier.code, "2013-06-02 to 2013-06-09" in earlier.out) == (0, True)


def test_programs_read_the_evidence_with_its_digest(watched: Life, steward: Steward) -> None:
    found = json.loads(steward("drift", "toy", "--json").out)
    (event,) = watched.events("window.judged")
    assert found["evidence"] == event.evidence
    assert found["outcomes"]["data"] == "PASSED"
    assert json.loads(steward("drift", "toy", "--json", "--as-of", "2013-06-10").out) == found


def test_without_a_judged_window_it_says_so(steward: Steward) -> None:
    said = steward("drift", "toy", "--as-of", "2013-06-01")
    assert (said.code, said.out) == (0, "no window of toy has been judged yet\n")
    assert steward("drift", "toy", "--as-of", "2013-06-01", "--json").out == "null\n"
    assert steward("drift", "nobody").code == 5
    assert steward("drift", "toy", "--as-of", "soon").code == 2
    assert steward("drift", "toy", "--now", "--as-of", "soon").code == 2
