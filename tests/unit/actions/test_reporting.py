"""Reports gathered from a whole life: as it is, as it was, and never from an altered record."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life

from steward.actions.telling.reporting import gather_facts, tell_card, tell_compliance, write_governance_reports
from steward.errors import IntegrityError, NotFoundError, RequestError
from steward.gates import Evidence
from steward.reporting.pages import card_page
from steward.spec import SpecFolder

GOLDEN = Path(__file__).parents[2] / "golden" / "reports"
NAMED = MODEL_YAML.replace("risk_tier: medium", "risk_tier: medium\nframeworks: [sr-11-7]")


@pytest.fixture
def named(tmp_path: Path) -> Life:
    """A toy that names a framework; in 2013 it is the guidance of 2011."""
    return build_life(tmp_path, NAMED)


def released(life: Life) -> dict[str, Any]:
    trained = life.train()
    life.approve(trained)
    life.release(trained)
    return trained


def masked(value: Any) -> Any:
    """What differs by machine or by draw is masked; everything else is what a reader sees."""
    if isinstance(value, dict):
        volatile = {"cpu_seconds", "packages", "code_commit", "run_id", "mac", "editor"}
        return {key: "…" if key in volatile else masked(one) for key, one in value.items()}
    if isinstance(value, list):
        return [masked(one) for one in value]
    if isinstance(value, float):
        return round(value, 2)
    return re.sub(r"\b[0-9a-f]{12,64}\b", "…", value) if isinstance(value, str) else value


@pytest.mark.parametrize(("name", "tell"), [("card", tell_card), ("compliance", tell_compliance)])
def test_reports_of_a_small_life(named: Life, name: str, tell: Callable[..., Any]) -> None:
    released(named)
    named.clock.advance(timedelta(days=1))
    found = json.dumps(masked(tell(named.services, "toy")), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert found == path.read_text(), "UPDATE_GOLDEN=1 rewrites it, then read the diff"


def test_the_champion_is_told_unless_another_version_is_named(named: Life) -> None:
    first, second = released(named)["version"], named.train()["version"]
    assert tell_card(named.services, "toy")["version"] == first
    other = tell_card(named.services, "toy", second)
    assert (other["version"], other["state"]) == (second, "challenger")


def test_states_follow_the_versions(named: Life) -> None:
    released(named)
    named.clock.advance(timedelta(days=1))
    released(named)
    named.train({"C": 0})
    told = tell_card(named.services, "toy")["versions"]
    assert [(one["version"], one["state"]) for one in told] == [(3, "rejected"), (2, "champion"), (1, "replaced")]
    assert told[2]["served"][0]["until"] == told[1]["served"][0]["since"]


def test_a_challenger_stands_beside_the_champion_it_was_judged_against(named: Life) -> None:
    first = released(named)["version"]
    named.clock.advance(timedelta(days=1))
    card = tell_card(named.services, "toy", named.train()["version"])
    assert card["evaluation"]["champion"] == first
    assert 0.5 < card["evaluation"]["metrics"][0]["beside"] < 1
    assert "@1 on the same rows" in card_page(card)


def test_a_report_of_yesterday_does_not_know_today(named: Life) -> None:
    before = named.clock.now()
    named.clock.advance(timedelta(hours=1))
    released(named)
    card = tell_card(named.services, "toy", at=before)
    assert (card["version"], card["state"], card["approvals"]) == (None, "not trained", [])
    with pytest.raises(NotFoundError, match="no toy@1 on 2013-06-01"):
        tell_card(named.services, "toy", 1, before)


def test_a_day_to_come_is_refused(named: Life) -> None:
    with pytest.raises(RequestError, match="2013-06-02 has not come yet"):
        tell_card(named.services, "toy", at=named.clock.now() + timedelta(days=1))


def test_it_tells_the_spec_of_the_version_and_that_the_files_changed(named: Life) -> None:
    released(named)
    assert tell_card(named.services, "toy")["changed_since"] is False
    path = named.services.specs.module_path("toy").with_name("model.yaml")
    path.write_text(path.read_text().replace("title: A toy", "title: Another"))
    card = tell_card(named.services, "toy")
    assert (card["title"], card["changed_since"]) == ("A toy", True)


def test_a_model_whose_folder_is_gone_still_has_its_reports(named: Life, tmp_path: Path) -> None:
    released(named)
    from dataclasses import replace

    (tmp_path / "elsewhere").mkdir()
    bare = replace(named.services, specs=SpecFolder(tmp_path / "elsewhere"))
    assert tell_card(bare, "toy")["version"] == 1
    with pytest.raises(NotFoundError, match="there is no model 'tyo'"):
        tell_card(bare, "tyo")


def test_no_framework_named_is_said(life: Life) -> None:
    released(life)
    with pytest.raises(NotFoundError, match="names no compliance framework"):
        tell_compliance(life.services, "toy")
    (pack,) = tell_compliance(life.services, "toy", frameworks=["iso-iec-23894"])["frameworks"]
    assert pack["standing"] == "not yet in force"


def test_an_altered_ledger_is_told_and_meets_nothing_of_it(named: Life) -> None:
    released(named)
    whole = gather_facts(named.services, "toy").proof
    assert whole.problem is None
    assert whole.checkpoint is not None
    assert whole.checkpoint["hash"] == whole.head_hash
    del named.services.database._state.links[2]  # type: ignore[attr-defined]
    proof = tell_compliance(named.services, "toy", frameworks=["sr-26-2"])["proof"]
    assert (proof["intact"], proof["checkpoint"]) == (False, None)
    (pack,) = tell_compliance(named.services, "toy", frameworks=["sr-26-2"])["frameworks"]
    (records,) = [one for one in pack["statements"] if one["id"] == "records"]
    assert records["status"] == "gap"


def test_altered_evidence_is_told_by_nobody(named: Life) -> None:
    digest = released(named)["evaluation"]
    state = named.services.database._state  # type: ignore[attr-defined]
    state.evidence[digest] = Evidence("evaluation", "toy", {**state.evidence[digest].body, "rows": 10**6})
    with pytest.raises(IntegrityError):
        tell_card(named.services, "toy")


def test_writing_them_is_one_event_with_every_digest_and_done_once(named: Life) -> None:
    released(named)
    told = write_governance_reports(named.services, named.spec, run="r1", actor="airflow:dana")
    again = write_governance_reports(named.services, named.spec, run="r1", actor="airflow:dana")
    assert told == again
    assert told["reports"] == ["toy/card-v1.html", "toy/compliance-v1.html"]
    (event,) = named.events("report.made")
    files = event.body["files"]
    assert sorted(files) == sorted(
        f"toy/{kind}-v1.{end}" for kind in ("card", "compliance") for end in ("html", "json")
    )
    for name, digest in files.items():
        assert hashlib.sha256((named.services.reports_dir / name).read_bytes()).hexdigest() == digest


def test_without_a_framework_only_the_card_is_written(life: Life) -> None:
    released(life)
    told = write_governance_reports(life.services, life.spec, run="r1", actor="airflow:dana")
    assert told["reports"] == ["toy/card-v1.html"]


def test_a_night_of_monitoring_meets_the_monitor(named: Life) -> None:
    released(named)

    def status() -> str:
        (pack,) = tell_compliance(named.services, "toy")["frameworks"]
        return next(one["status"] for one in pack["statements"] if one["id"] == "monitoring")

    assert status() == "gap"
    named.clock.advance(timedelta(days=1))
    named.do("judge_window", "night")
    judged = tell_card(named.services, "toy")["monitoring"]
    assert (status() == "met") == (judged["outcome"] != "INCONCLUSIVE")
