"""report: cards and compliance for people, pages and programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life
from tests.unit.cli.conftest import Steward
from tests.unit.reporting.known import a_rich_estate, view

from steward import wiring
from steward.cli.portfolio import print_portfolio


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """A released toy that names a framework, behind the commands."""
    (tmp_path / "life").mkdir()
    found = build_life(tmp_path / "life", MODEL_YAML.replace("task:", "frameworks: [sr-11-7]\ntask:"))
    trained = found.train()
    found.approve(trained)
    found.release(trained)
    monkeypatch.setattr(wiring, "services", lambda: found.services)
    monkeypatch.setattr(wiring, "clock", lambda: found.clock)
    return found


@pytest.mark.usefixtures("life")
class TestCard:
    def test_says_what_it_is_who_approved_it_and_what_it_lacks(self, steward: Steward) -> None:
        ended = steward("report", "card", "toy")
        assert ended.code == 0
        assert "model\ttoy@1, champion: A toy" in ended.out
        assert "approved\travi 2013-06-01: looked at it" in ended.out
        assert "limitation\tnot monitored yet: no window of toy@1 was judged" in ended.out

    def test_as_json_and_as_a_page(self, steward: Steward, tmp_path: Path) -> None:
        page = tmp_path / "card.html"
        ended = steward("report", "card", "toy@1", "--json", "--html", page)
        assert json.loads(ended.out)["kind"] == "model_card"
        assert page.read_text().startswith("<!doctype html>")
        assert ended.err == f"wrote {page}\n"

    def test_a_page_that_cannot_be_written_is_an_error(self, steward: Steward, tmp_path: Path) -> None:
        ended = steward("report", "card", "toy", "--html", tmp_path / "nowhere" / "card.html")
        assert ended.code == 1
        assert "the page cannot be written" in ended.err

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (("tyo",), 5, "there is no model 'tyo'"),
            (("toy@9",), 5, "there is no toy@9 on 2013-06-01"),
            (("toy@x",), 5, "does not name a version"),
            (("toy", "--at", "yesterday"), 2, "'yesterday' is no date"),
        ],
    )
    def test_what_it_cannot_tell(self, steward: Steward, arguments: tuple[str, ...], code: int, said: str) -> None:
        ended = steward("report", "card", *arguments)
        assert (ended.code, said in ended.err) == (code, True), ended.err


@pytest.mark.usefixtures("life")
class TestCompliance:
    def test_every_statement_with_its_status_and_what_is_missing(self, steward: Steward) -> None:
        ended = steward("report", "compliance", "toy")
        assert ended.code == 0
        assert "sr-11-7\tpurpose\tmet\tdeclared in model.yaml, `purpose`" in ended.out
        assert "sr-11-7\tmonitoring\tgap\tno window of toy@1 was judged" in ended.out
        assert "sr-11-7 (in force; unchecked text): " in ended.out

    def test_other_frameworks_by_name(self, steward: Steward, tmp_path: Path) -> None:
        page = tmp_path / "report.html"
        chosen = ("--framework", "sr-26-2", "--framework", "iso-iec-23894")
        ended = steward("report", "compliance", "toy", *chosen, "--json", "--html", page)
        assert [each["id"] for each in json.loads(ended.out)["frameworks"]] == ["sr-26-2", "iso-iec-23894"]
        assert "Compliance report: toy@1" in page.read_text()

    def test_an_unknown_one_has_a_nearest(self, steward: Steward) -> None:
        ended = steward("report", "compliance", "toy", "--framework", "sr-26-3")
        assert ended.code == 5
        assert "did you mean `sr-26-2`?" in ended.err


@pytest.mark.usefixtures("life")
def test_packs_are_listed_with_their_dates(steward: Steward) -> None:
    ended = steward("report", "packs")
    assert "sr-11-7\t1\t2011-04-04\t2026-04-17 by sr-26-2\tin force\t" in ended.out  # the toy lives in 2013
    told = json.loads(steward("report", "packs", "--json").out)
    assert {each["checked_against_primary_text"] for each in told} == {False}


def named(models: Path, framework: str) -> None:
    path = models / "flight_delays" / "model.yaml"
    path.write_text(path.read_text() + f"\nframeworks: [{framework}]\n")


def test_check_refuses_an_unknown_framework_with_the_nearest(steward: Steward, models: Path) -> None:
    named(models, "sr-11-8")
    ended = steward("check")
    assert ended.code == 2
    assert "frameworks[0]: there is no compliance pack sr-11-8" in ended.err
    assert "did you mean `sr-11-7`?" in ended.err


def test_check_notes_a_superseded_framework_and_stays_sound(steward: Steward, models: Path) -> None:
    named(models, "sr-11-7")
    ended = steward("check")
    assert ended.code == 0
    assert "flight_delays: note: sr-11-7 was superseded on 2026-04-17 by sr-26-2" in ended.out
    (model,) = json.loads(steward("check", "--json").out)["sound"]
    assert len(model["notes"]) == 1


def test_packs_of_an_institution_stand_beside_the_shipped(
    steward: Steward, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.unit.reporting.test_packs import PACK

    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "house-rules.yaml").write_text(PACK)
    monkeypatch.setenv("STEWARD_PACKS_DIR", str(tmp_path / "own"))
    wiring.settings.cache_clear()
    wiring.packs.cache_clear()
    named(models, "house-rules")
    try:
        assert steward("check").code == 0
        assert "house-rules" in steward("report", "packs").out
    finally:
        wiring.packs.cache_clear()


@pytest.mark.usefixtures("life")
class TestModel:
    def test_says_how_it_does_and_why(self, steward: Steward) -> None:
        ended = steward("report", "model", "toy")
        assert ended.code == 0
        assert "model\ttoy is not judged: @1 serves: A toy" in ended.out
        assert "why\tno window of @1 has been judged yet" in ended.out
        assert "gates of @1\tPASSED, evidence " in ended.out

    def test_as_json_and_as_one_file_with_pictures(self, steward: Steward, tmp_path: Path) -> None:
        page = tmp_path / "toy.html"
        ended = steward("report", "model", "toy", "--json", "--html", page)
        assert json.loads(ended.out)["kind"] == "model_page"
        assert "<svg" in page.read_text()
        assert ended.err == f"wrote {page}\n"

    def test_a_name_nobody_knows(self, steward: Steward) -> None:
        ended = steward("report", "model", "tyo")
        assert (ended.code, "there is no model 'tyo'" in ended.err) == (5, True)


@pytest.mark.usefixtures("life")
class TestPortfolio:
    def test_the_answer_comes_first_and_then_every_model(self, steward: Steward) -> None:
        ended = steward("report", "portfolio")
        assert ended.code == 0
        first, *others = ended.out.splitlines()
        assert first.startswith("0 of 1 serving models hold: judged on real outcomes")
        assert "  medium risk: 0 of 1 hold, 1 cannot be told" in others
        assert "cannot be told: toy@1 (medium risk): no window of it was judged yet" in others
        (row,) = (line.split("\t") for line in others if line.startswith("toy\t"))
        assert row[:6] == ["toy", "not judged", "medium", "monitoring", "Olga (tests)", "@1"]
        assert row[-1] == "no window judged yet"

    def test_as_json_and_as_a_page(self, steward: Steward, tmp_path: Path) -> None:
        page = tmp_path / "models.html"
        ended = steward("report", "portfolio", "--json", "--html", page)
        assert json.loads(ended.out)["rows"][0]["health"]["state"] == "not judged"
        assert page.read_text().startswith("<!doctype html>")
        assert ended.err == f"wrote {page}\n"


class TestPortfolioText:
    def test_all_that_a_person_may_meet(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_portfolio(view(*a_rich_estate()))
        told = capsys.readouterr().out
        for said in (
            "red: loan_approval@3 (high risk): performance since 2026-06-02 (high); drift since 2026-05-26 (medium)",
            "    ROC AUC is 0.61 on 900 rows, 0.72 at evaluation",
            "    → retraining under way (2026-06-10): performance was lost in 2 of the last 3 windows; ",
            "red: card_fraud (medium risk): wrong bytes since 2026-06-10 (high)",
            "waits: call_volume@3 (medium risk): its review was due on 2026-06-06",
            "    → steward review call_volume --reason …",
            "cannot be told: home_value@3 (medium risk): its spec is broken, so nothing judges it",
            "@3, @4 at 25 %",
            "distance: 0.61, limit 0.25",
            "2026-06-06, overdue",
        ):
            assert said in told

    def test_an_empty_installation_says_how_to_begin(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_portfolio(view())
        assert capsys.readouterr().out.splitlines() == [
            "There is no model yet.",
            "steward init MODEL writes the first one",
        ]
