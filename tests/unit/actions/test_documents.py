"""Stages and documents in a life: a high-tier model is refused what it lacks, and each document opens a door."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life

from steward import actions
from steward.actions.governance.stages import missing_for, readiness_of
from steward.errors import NotFoundError, PolicyError, RequestError
from steward.inventory.documents import template
from steward.inventory.stages import StageRules
from steward.ledger import documents_of, stage_of, stages_of
from steward.spec import FaultsError
from steward.types import Stage

CONSUMERS = "consumers: [{name: desk, contact: desk@example.com}]\n"
HIGH = MODEL_YAML.replace("risk_tier: medium", f"risk_tier: high\n{CONSUMERS}")
WORDS = "the desk reads each application with care and says why it was refused or approved on that very day "


@pytest.fixture
def high(tmp_path: Path) -> Life:
    return build_life(tmp_path, HIGH)


def text_of(life: Any, kind: str, words: str = WORDS) -> str:
    form = life.services.stages().form(kind)
    text = template(form, "toy")
    for section in form.sections:
        text = text.replace(f"<{section.hint}>", words * 8)
    return text


def file(life: Any, kind: str, version: int | None = None, by: str = "mo", **changes: Any) -> Any:
    given = {"kind": kind, "title": f"The {kind}", "text": text_of(life, kind), "version": version, "via": "test"}
    return actions.file_document(life.services, model="toy", by=by, **{**given, **changes})


def approve(life: Any, trained: Any) -> Any:
    """As two people; what the second answer came to."""
    asked = life.ask(trained)
    evidence = open_requests(life)[-1].evidence
    life.answer(asked, "mo", evidence=evidence)
    return life.answer(asked, "vera", evidence=evidence)


def open_requests(life: Any) -> list[Any]:
    with life.services.database.begin() as tx:
        return tx.approvals.find("toy")


def missing(life: Any, stage: Stage, version: int | None = None) -> list[str]:
    with life.services.database.begin() as tx:
        return [each.partition(" (")[0] for each in missing_for(life.services, life.spec, tx, stage, version)]


def stages(life: Any) -> list[str]:
    return [each.stage.value for each in stages_of(life.events())]


def prepare(life: Any) -> Any:
    """Up to a trained version of a high-tier model."""
    file(life, "use_case")
    file(life, "development_plan")
    return life.train()


def test_a_medium_model_enters_its_stages_by_what_its_steps_leave(life: Any) -> None:
    trained = life.train()
    assert stages(life) == ["use_case", "development"]
    life.approve(trained)
    life.release(trained)
    assert stages(life) == ["use_case", "development", "validation", "deployment", "monitoring"]
    entered = {each.stage: each.artefacts for each in stages_of(life.events())}
    assert entered[Stage.VALIDATION] == {
        "evidence training": trained["training"],
        "evidence evaluation": trained["evaluation"],
    }
    assert entered[Stage.DEPLOYMENT]["approval"] == open_requests(life)[0].id
    assert entered[Stage.MONITORING]["event rollout.started"].startswith("event ")


def test_a_low_model_ships_without_a_person_or_a_paper(tmp_path: Path) -> None:
    life = build_life(tmp_path, MODEL_YAML.replace("risk_tier: medium", "risk_tier: low"))
    life.release(life.train())
    assert life.champion() == 1
    approval = [e.artefacts for e in stages_of(life.events()) if e.stage is Stage.DEPLOYMENT]
    assert list(approval[0]) == ["gates"]


def test_each_document_opens_the_next_door(high: Life) -> None:
    with pytest.raises(PolicyError, match="toy may not enter the stage development yet; missing: document use_case"):
        high.train()
    assert stages(high) == []
    file(high, "use_case")
    assert stages(high) == ["use_case"]
    trained = high.train()
    assert stages(high) == ["use_case", "development"]

    with pytest.raises(PolicyError, match="toy@1 may not enter the stage validation yet; missing: document develop"):
        high.ask(trained)
    file(high, "development_plan")
    asked = high.ask(trained)
    assert stages(high)[-1] == "validation"

    assert missing(high, Stage.DEPLOYMENT, 1) == ["document validation_report", "document monitoring_plan"]
    with pytest.raises(PolicyError):
        high.do("start_rollout", trained["run"], version=1)
    file(high, "validation_report", 1, by="vera")
    file(high, "monitoring_plan")
    evidence = open_requests(high)[-1].evidence
    for person in ("mo", "ravi"):
        assert high.answer(asked, person, evidence=evidence)["counted"], person
    assert missing(high, Stage.DEPLOYMENT, 1) == []

    assert high.release(trained)["replaced"] is None
    assert stages(high) == ["use_case", "development", "validation", "deployment", "monitoring"]
    assert missing(high, Stage.RETIRED) == ["document retirement_plan"]


def test_a_refusal_lists_all_that_is_missing_with_its_way_out_and_is_recorded(high: Life) -> None:
    file(high, "use_case")
    trained = high.train()
    with high.services.database.begin() as tx, pytest.raises(PolicyError) as refused:
        actions.governance.stages.enter_stage(high.services, high.spec, tx, None, Stage.DEPLOYMENT, 1)  # type: ignore[arg-type]
    assert str(refused.value) == (
        "toy, tier high: toy@1 may not enter the stage deployment yet; missing: "
        "document development_plan (for validation), document validation_report (for deployment), "
        "approval (for deployment), document monitoring_plan (for monitoring)\n"
        "→ do this, then clear the task that was refused:\n"
        "  document development_plan: `steward document file toy --kind development_plan development_plan.md`\n"
        "  document validation_report: `steward document file toy@1 --kind validation_report validation_report.md`\n"
        "  approval: `steward approve toy@1 --reason …`, by the people `steward policy who toy` names\n"
        "  document monitoring_plan: `steward document file toy --kind monitoring_plan monitoring_plan.md`"
    )
    with pytest.raises(PolicyError):
        high.ask(trained)
    assert high.events("release.refused")[-1].body["step"] == "request_approval"
    assert high.events("release.refused")[-1].version == 1


def test_the_event_says_by_what_and_who_is_accountable(high: Life) -> None:
    trained = prepare(high)
    high.ask(trained)
    event = high.events("stage.entered")[-1]
    assert event.body["accountable"] == {"validator": ["ravi", "vera"]}
    assert event.body["catalogue"] == {"version": "1", "digest": high.services.stages().digest}
    filed = documents_of(high.events())["development_plan"]
    assert event.body["artefacts"]["document development_plan"] == filed.digest


def test_a_second_version_needs_its_own_report_though_the_model_is_monitored(high: Life) -> None:
    first = prepare(high)
    file(high, "monitoring_plan")
    file(high, "validation_report", 1, by="vera")
    approve(high, first)
    high.release(first)
    high.clock.advance(timedelta(days=1))
    second = high.train()
    high.ask(second)
    assert missing(high, Stage.DEPLOYMENT, 2) == ["document validation_report"]
    assert stages(high)[-1] == "monitoring"


@pytest.mark.parametrize("event", ["model.evaluated", "rollout.advanced"])
def test_any_event_may_be_asked_for(high: Life, event: str) -> None:
    catalogue, policy = high.services.stages(), high.services.policy()
    rules = StageRules.model_validate({"entry": [{"event": event}]})
    tiers = catalogue.stages.deployment.model_copy(update={"high": rules})
    stages_ = catalogue.stages.model_copy(update={"deployment": tiers})
    other = catalogue.model_copy(update={"stages": stages_})
    prepare(high)
    with high.services.database.begin() as tx:
        standing = readiness_of(other, policy, high.spec, tx, Stage.DEPLOYMENT, 1)
    lacks = [str(each.criterion) for each in standing.missing if each.stage is Stage.DEPLOYMENT]
    assert lacks == ([] if event == "model.evaluated" else ["event rollout.advanced"])


def test_a_stage_of_the_past_can_be_asked_for(high: Life) -> None:
    file(high, "use_case")
    before = high.clock.now()
    high.clock.advance(timedelta(days=1))
    high.train()
    with high.services.database.begin() as tx:
        then = stage_of(tx.events.read(model="toy", until=before))
        now = stage_of(tx.events.read(model="toy"))
    assert then is not None
    assert now is not None
    assert (then.stage, now.stage) == (Stage.USE_CASE, Stage.DEVELOPMENT)


def test_filing_keeps_the_text_by_digest(high: Life) -> None:
    answer = file(high, "use_case", title="  Why  we want\nit ")
    (event,) = high.events("document.filed")
    assert (event.body["kind"], event.body["title"], event.body["via"]) == ("use_case", "Why we want it", "test")
    assert (event.actor, event.version, event.evidence) == ("person:mo", None, answer["document"])
    with high.services.database.begin() as tx:
        body = tx.evidence.get(answer["document"]).body
    assert body["text"] == text_of(high, "use_case")
    assert body["sections"][0]["heading"] == "Decision supported"


def test_filing_the_same_again_is_harmless(high: Life) -> None:
    first = file(high, "use_case")
    again = file(high, "use_case", by="ravi", text=text_of(high, "use_case").replace("\n", "\r\n"))
    assert (first["filed"], again["filed"], again["message"]) == (True, False, "mo has filed it already")
    assert first["document"] == again["document"]
    assert len(high.events("document.filed")) == 1
    file(high, "use_case", text=text_of(high, "use_case", f"{WORDS} anew"))
    assert file(high, "use_case")["filed"]  # going back to an earlier text is a change
    assert len(high.events("document.filed")) == 3


def test_a_half_written_document_is_refused_and_nothing_is_written(high: Life) -> None:
    with pytest.raises(FaultsError) as refused:
        file(high, "use_case", text="# Use case\n\n## Decision supported\n\nTBD\n")
    assert "use_case:5:1: unfinished: 'TBD'" in str(refused.value)
    assert high.events() == []


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        ("mo", "mo has none of the roles validator"),
        ("nobody", "nobody has none of the roles validator"),
        ("dana", "dana has none of the roles validator"),
    ],
)
def test_a_validation_report_is_a_validators(high: Life, by: str, reason: str) -> None:
    prepare(high)
    with pytest.raises(PolicyError, match=reason) as refused:
        file(high, "validation_report", 1, by=by)
    assert refused.value.hint == "ask ravi, vera"
    assert high.events("document.filed")[-1].body["kind"] == "development_plan"


@pytest.mark.parametrize(
    ("part", "actor"), [("trained the version", "airflow:vera"), ("owns the model", "airflow:dana")]
)
def test_a_validator_who_had_a_part_in_the_work_is_not_independent(tmp_path: Path, part: str, actor: str) -> None:
    life = build_life(tmp_path, HIGH.replace("user: olga", "user: vera") if "owns" in part else HIGH)
    file(life, "use_case")
    life.train(actor=actor)
    with pytest.raises(PolicyError, match=f"vera {part}.* and may not file its validation_report"):
        file(life, "validation_report", 1, by="vera")
    assert file(life, "validation_report", 1, by="ravi")["filed"]


def test_a_document_about_a_version_names_it(high: Life) -> None:
    prepare(high)
    with pytest.raises(RequestError, match="about one version") as refused:
        file(high, "validation_report", by="vera")
    assert refused.value.hint == "write toy@1"
    with pytest.raises(NotFoundError):
        file(high, "validation_report", 9, by="vera")


def test_a_document_may_be_filed_for_one_version_alone(high: Life) -> None:
    prepare(high)
    own = file(high, "development_plan", 1, text=text_of(high, "development_plan", f"{WORDS} for one"))
    assert documents_of(high.events(), 1)["development_plan"].digest == own["document"]
    assert documents_of(high.events(), 2)["development_plan"].digest != own["document"]


def test_unknown_kinds_models_and_long_titles(high: Life) -> None:
    with pytest.raises(NotFoundError, match="did you mean use_case"):
        file(high, "usecase", text="")
    with pytest.raises(NotFoundError):
        actions.file_document(
            high.services, model="toys", kind="use_case", title="", text=text_of(high, "use_case"), by="mo", via="test"
        )
    for title in ("x" * 201, "a\u202eb"):
        with pytest.raises(RequestError, match="title"):
            file(high, "use_case", title=title)
    assert file(high, "use_case", title=" ")["title"] == "Use case"


def test_a_document_filed_between_two_answers_voids_the_first(high: Life) -> None:
    trained = prepare(high)
    file(high, "monitoring_plan")
    file(high, "validation_report", 1, by="vera")
    asked = high.ask(trained)
    seen = open_requests(high)[-1].evidence
    assert high.answer(asked, "mo", evidence=seen)["counted"]
    file(high, "validation_report", 1, by="vera", text=text_of(high, "validation_report", f"{WORDS} but worse"))
    assert high.events("approval.voided")[-1].body["answers"] == ["mo"]
    assert not high.answer(asked, "ravi", evidence=seen)["counted"]
    with pytest.raises(PolicyError):
        high.do("start_rollout", trained["run"], version=1)
