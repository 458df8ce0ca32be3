"""What each stage asks for, by tier; a catalogue that cannot be meant; which facts meet what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.specs import a_spec

from steward.errors import NotFoundError
from steward.inventory.readiness import Readiness, StageFacts
from steward.inventory.stages import Criterion, StageCatalogue, load_stages, unheld_roles
from steward.ledger import EventType, FiledDocument
from steward.spec import FaultsError
from steward.testing.catalogue import asks_nothing
from steward.types import Stage, digest_of

FILE = Path(__file__).parents[3] / "include" / "stages.yaml"
SHIPPED = load_stages(FILE)
CONSUMERS = [{"name": "desk", "contact": "desk@example.com"}]
ALL_STAGES = list(Stage)
Change = Callable[[dict[str, Any]], object]


def asked(tier: str, stage: Stage, present: Stage | None = None, **spec: Any) -> dict[str, list[str]]:
    found = SHIPPED.asked(a_spec(risk_tier=tier, **spec), stage, present)
    return {each.value: [str(criterion) for criterion in criteria] for each, criteria in found.items() if criteria}


def a_document(kind: str, version: int | None = None) -> FiledDocument:
    return FiledDocument(
        "flight_delays", version, kind, kind, digest_of(kind), "vera", datetime(2013, 6, 1, tzinfo=UTC)
    )


def changed(change: Change, tmp_path: Path) -> StageCatalogue:
    raw = yaml.safe_load(FILE.read_text())
    raw["effective_from"] = str(raw["effective_from"])
    change(raw)
    path = tmp_path / "stages.yaml"
    path.write_text(yaml.safe_dump(raw))
    return load_stages(path)


def test_a_low_tier_asks_for_no_document_and_no_approval() -> None:
    everything = [each for criteria in asked("low", Stage.MONITORING).values() for each in criteria]
    assert everything == [
        "field owner",
        "field purpose",
        "evidence training",
        "evidence evaluation",
        "gates",
        "event rollout.started",
    ]


def test_a_medium_tier_adds_the_approval() -> None:
    low, medium = asked("low", Stage.MONITORING), asked("medium", Stage.MONITORING)
    assert medium == {**low, "deployment": ["gates", "approval"]}


def test_a_high_tier_adds_documents_each_before_its_stage() -> None:
    high = asked("high", Stage.MONITORING)
    assert high["development"] == ["document use_case"]
    assert high["validation"][-1] == "document development_plan"
    assert high["deployment"] == ["gates", "document validation_report", "approval"]
    assert high["monitoring"] == ["event rollout.started", "document monitoring_plan"]


def test_a_rollout_that_would_be_turned_back_for_want_of_a_paper_does_not_start() -> None:
    assert asked("high", Stage.DEPLOYMENT)["monitoring"] == ["document monitoring_plan"]
    assert "monitoring" not in asked("high", Stage.VALIDATION)
    assert "monitoring" not in asked("medium", Stage.DEPLOYMENT)


def test_a_model_is_retired_from_wherever_it_is() -> None:
    assert asked("high", Stage.RETIRED, Stage.DEVELOPMENT) == {"retired": ["document retirement_plan"]}
    assert asked("low", Stage.RETIRED) == {}


def test_a_framework_adds_its_documents_to_the_models_that_name_it(tmp_path: Path) -> None:
    pack = {"eu-ai-act-high-risk": {"deployment": ["technical_documentation"], "development": ["data_sheet"]}}
    catalogue = changed(lambda raw: raw.update(frameworks=pack), tmp_path)
    spec = a_spec(risk_tier="low", frameworks=["eu-ai-act-high-risk", "another"])
    assert list(map(str, catalogue.entry(spec, Stage.DEPLOYMENT))) == ["gates", "document technical_documentation"]
    assert list(map(str, catalogue.entry(spec, Stage.DEVELOPMENT))) == ["document data_sheet"]
    assert catalogue.entry(a_spec(risk_tier="low"), Stage.DEVELOPMENT) == ()


def test_what_a_stage_must_leave_behind_is_asked_with_the_entry_of_the_next(tmp_path: Path) -> None:
    def exits(raw: dict[str, Any]) -> None:
        for tier in ("low", "medium", "high"):
            raw["stages"]["development"][tier]["exit"] = [{"document": "data_sheet"}]
            raw["stages"]["monitoring"][tier]["exit"] = [{"field": "retirement"}]

    catalogue, spec = changed(exits, tmp_path), a_spec(risk_tier="low")
    assert catalogue.asked(spec, Stage.DEVELOPMENT, None)[Stage.DEVELOPMENT] == ()
    assert str(catalogue.asked(spec, Stage.VALIDATION, None)[Stage.VALIDATION][0]) == "document data_sheet"
    left = catalogue.asked(spec, Stage.RETIRED, Stage.MONITORING)[Stage.RETIRED]
    assert list(map(str, left)) == ["field retirement"]
    assert catalogue.asked(spec, Stage.RETIRED, Stage.DEVELOPMENT) == {Stage.RETIRED: ()}


def facts(**changes: Any) -> StageFacts:
    spec = a_spec(risk_tier="high", consumers=CONSUMERS)
    return replace(StageFacts(spec, 3), **changes)


@pytest.mark.parametrize(
    ("criterion", "met", "unmet", "what"),
    [
        ({"document": "use_case"}, {"documents": {"use_case": a_document("use_case")}}, {}, digest_of("use_case")),
        (
            {"document": "validation_report"},
            {"documents": {"validation_report": a_document("validation_report", 3)}},
            {"documents": {"validation_report": a_document("validation_report")}},
            digest_of("validation_report"),
        ),
        ({"evidence": "training"}, {"evidence": {"training": "d"}}, {"evidence": {"evaluation": "d"}}, "d"),
        (
            {"gates": True},
            {"evidence": {"evaluation": "d"}, "events": {EventType.VERSION_REGISTERED: 7}},
            {"evidence": {"evaluation": "d"}},
            "d",
        ),
        ({"approval": True}, {"approval": "request-1"}, {}, "request-1"),
        ({"event": "rollout.started"}, {"events": {EventType.ROLLOUT_STARTED: 9}}, {}, "event 9"),
        ({"field": "consumers"}, {}, {"spec": a_spec()}, None),
        ({"field": "owner.name"}, {}, None, "Dana"),
        ({"field": "deployment.bake"}, None, {}, None),
    ],
)
def test_each_criterion_is_met_by_its_fact_alone(
    criterion: dict[str, Any], met: dict[str, Any] | None, unmet: dict[str, Any] | None, what: str | None
) -> None:
    wanted = Criterion.model_validate(criterion)
    way = {Stage.DEPLOYMENT: (wanted,)}
    if met is not None:
        standing = Readiness.of(SHIPPED, facts(**met), way)
        assert not standing.missing
        assert what in (None, standing.met[Stage.DEPLOYMENT][str(wanted)])
    if unmet is not None:
        standing = Readiness.of(SHIPPED, facts(**unmet), way)
        assert [each.criterion for each in standing.missing] == [wanted]
        assert standing.met == {Stage.DEPLOYMENT: {}}


def test_every_way_out_is_a_thing_to_do() -> None:
    standing = Readiness.of(SHIPPED, facts(), SHIPPED.asked(facts().spec, Stage.MONITORING, None))
    assert [str(each) for each in standing.missing] == [
        "document use_case (for development): `steward document file flight_delays --kind use_case use_case.md`",
        "evidence training (for validation): it is written by the steps of a run of flight_delays__train",
        "evidence evaluation (for validation): it is written by the steps of a run of flight_delays__train",
        "document development_plan (for validation): "
        "`steward document file flight_delays --kind development_plan development_plan.md`",
        "gates (for deployment): train a version that passes its gates, or have what failed waived",
        "document validation_report (for deployment): "
        "`steward document file flight_delays@3 --kind validation_report validation_report.md`",
        "approval (for deployment): `steward approve flight_delays@3 --reason …`, "
        "by the people `steward policy who flight_delays` names",
        "event rollout.started (for monitoring): it is written by the steps of a run of flight_delays__train",
        "document monitoring_plan (for monitoring): "
        "`steward document file flight_delays --kind monitoring_plan monitoring_plan.md`",
    ]


def of(stage: str, tier: str, **rules: Any) -> Change:
    return lambda raw: raw["stages"][stage][tier].update(rules)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            of("deployment", "high", entry=[{"approval": True}]),
            "the medium tier asks for gates; a higher tier asks for",
        ),
        (
            of("deployment", "low", entry=[{"document": "use_cases"}]),
            "no document use_cases .*did you mean `use_case`?",
        ),
        (of("deployment", "low", entry=[{"documnet": "use_case"}]), "unknown key; did you mean `document`?"),
        (of("deployment", "low", entry=[{}]), "name exactly one of document, evidence, gates"),
        (of("deployment", "low", entry=[{"gates": True, "approval": True}]), "name exactly one of"),
        (of("deployment", "low", entry=[{"gates": False}]), "wrong"),
        (of("deployment", "low", entry=[{"field": "ownr"}]), "a spec has no key ownr; did you mean `owner`?"),
        (of("deployment", "low", entry=[{"field": "owner.emial"}]), "a spec has no key owner.emial; .*`email`?"),
        (of("deployment", "low", entry=[{"event": "rollout.starts"}]), "did you mean `rollout.started`?"),
        (of("development", "low", entry=[{"evidence": "training"}]), "cannot be met before development"),
        (of("use_case", "low", exit=[{"gates": True}]), "gates cannot be met before development"),
        (of("validation", "low", entry=[{"approval": True}]), "people are asked after it"),
        (of("deployment", "low", accountable=[]), "at least one entry"),
        (lambda raw: raw["stages"].pop("retired"), "stages.retired: a required key is missing|required key"),
        (lambda raw: raw.update(frameworks={"x": {"deployment": ["sheet"]}}), "there is no document sheet"),
        (lambda raw: raw.update(frameworks={"x": {"deploiment": []}}), "did you mean `deployment`?"),
        (lambda raw: raw.update(effective_from="soon"), "effective_from"),
    ],
)
def test_a_catalogue_that_cannot_be_meant(change: Change, message: str, tmp_path: Path) -> None:
    with pytest.raises(FaultsError, match=message.replace("?", r"\?")):
        changed(change, tmp_path)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    def spoil(raw: dict[str, Any]) -> None:
        of("deployment", "low", entry=[{"document": "nothing"}, {"fild": "owner"}])(raw)
        raw["frameworks"] = {"x": {"monitoring": ["nothing_either"]}}
        raw["version"] = ""

    with pytest.raises(FaultsError) as raised:
        changed(spoil, tmp_path)
    assert {fault.path for fault in raised.value.faults} == {
        "stages.deployment.low.entry[1].fild",
        "stages.deployment.low.entry[0].document",
        "stages.deployment.medium.entry",
        "frameworks.x.monitoring[0]",
        "version",
    }


def test_a_role_that_nobody_holds_is_found_where_it_is_named() -> None:
    found = [str(fault).partition("stages.yaml:")[2] for fault in unheld_roles(FILE, {"approver", "validators"})]
    assert [each.split(": ", 1)[1] for each in found if "risk_officer" in each] == [
        "stages.monitoring.high.accountable[1]: nobody in the policy holds the role risk_officer",
        "stages.retired.high.accountable[1]: nobody in the policy holds the role risk_officer",
    ]
    assert all("did you mean `validators`?" in each for each in found if "role validator" in each)
    assert unheld_roles(FILE, {"approver", "validator", "risk_officer"}) == []


def test_the_digest_tells_catalogues_apart(tmp_path: Path) -> None:
    same = changed(lambda raw: None, tmp_path)
    other = changed(lambda raw: raw["documents"]["use_case"].update(min_words=151), tmp_path)
    assert same.digest == SHIPPED.digest != other.digest


def test_an_unknown_kind_names_the_nearest() -> None:
    assert SHIPPED.form("use_case").title == "Use case"
    with pytest.raises(NotFoundError, match=r"did you mean validation_report\?"):
        SHIPPED.form("validation-report")
    with pytest.raises(NotFoundError, match="one of data_sheet, development_plan"):
        SHIPPED.form("zzz")


def test_the_catalogue_for_tests_asks_for_nothing() -> None:
    everything = asks_nothing().asked(a_spec(risk_tier="high"), Stage.MONITORING, None)
    assert set(everything.values()) == {()}
    assert list(everything) == ALL_STAGES[:-1]
