"""The planted estate, and what is said when something cannot be asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.inventory.estate import MODELS, NOW, PER_RULE, PlantedEstate, plant_estate

from steward.actions import audit_inventory
from steward.actions.governance import surveying
from steward.actions.governance.facts import Declared, Tables, facts_of_all
from steward.inventory.record import RECORD_EVENTS
from steward.inventory.rules import RULES
from steward.inventory.zombies import ESTATE_UNKNOWN, Assessment

SERVED = {"served_unregistered", "wrong_bytes", "rejected_serving", "superseded_serving", "retired_serving"}


@pytest.fixture(autouse=True)
def every_source_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "PROBES_A_NIGHT", MODELS)


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> PlantedEstate:
    return plant_estate(tmp_path_factory.mktemp("estate"))


@pytest.fixture(scope="module")
def found(estate: PlantedEstate) -> Assessment:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(surveying, "PROBES_A_NIGHT", MODELS)
        return estate.assess()


@pytest.fixture
def small(tmp_path: Path) -> PlantedEstate:
    return plant_estate(tmp_path, models=60, per_rule=1)


def test_every_rule_has_its_zombies_among_200_models(estate: PlantedEstate, found: Assessment) -> None:
    assert found.models == MODELS
    planted = {rule: sum(one == rule for _, one in estate.truth) for rule in {rule.name for rule in RULES}}
    assert planted == dict.fromkeys(planted, PER_RULE)
    assert len(estate.healthy) >= MODELS / 3


def test_every_zombie_is_found_and_few_others(estate: PlantedEstate, found: Assessment) -> None:
    missed, false = estate.compare(found)
    assert not missed
    assert len(false) <= 0.05 * len(found.findings), false


def test_every_finding_says_why_and_what_to_do(found: Assessment) -> None:
    for finding in found.findings:
        assert finding.reason
        assert finding.what_to_do
        assert "{" not in finding.what_to_do


def test_findings_come_by_severity(found: Assessment) -> None:
    severities = [finding.severity for finding in found.findings]
    assert severities == sorted(severities, key=["high", "medium", "low"].index)


def test_a_source_that_stays_empty_reads_the_same_every_night(small: PlantedEstate) -> None:
    (model,) = [model for model, rule in small.truth if rule == "source_gone"]
    path = small.services.specs.folder / model / "model.py"
    path.write_text(path.read_text().replace('raise FileNotFoundError("warehouse")', "end = start"))
    path.write_text(path.read_text().replace("[0.0, 1.0]})", "[0.0, 1.0]}).iloc[:0]"))
    said = []
    for night in range(2):
        small.services.clock.set(NOW + timedelta(days=night))
        found = small.assess().findings
        said += [f.reason for f in found if (f.model, f.rule) == (model, "source_gone")]
    assert said == ["its data cannot be read: the window of the last 7 days has no rows"] * 2


def servers(estate: PlantedEstate) -> None:
    estate.services.served.away = True


def registry(estate: PlantedEstate) -> None:
    estate.services.mirror.away = True


def log(estate: PlantedEstate) -> None:
    def refuse(model: str, since: object) -> None:
        estate.services.predictions.away = True
        estate.services.predictions._check()

    estate.services.predictions.traffic = refuse


@pytest.mark.parametrize(
    ("goes", "named", "untold"),
    [
        (servers, "model servers", SERVED),
        (registry, "registry", {"alias_differs", "registered_nowhere"}),
        (log, "prediction log", {"idle_champion", "unknown_caller"}),
    ],
)
def test_what_does_not_answer_is_unknown_and_never_fine(
    small: PlantedEstate, goes: Callable[[PlantedEstate], None], named: str, untold: set[str]
) -> None:
    goes(small)
    found = small.assess()
    (unknown,) = [finding for finding in found.findings if finding.rule == ESTATE_UNKNOWN]
    assert unknown.inconclusive
    assert unknown.reason.startswith(f"{named}: ")
    missed, false = small.compare(found)
    assert {rule for _, rule in missed} == untold
    assert false == {("*", ESTATE_UNKNOWN)}
    assert {rule for rule, _ in found.undecided} >= untold


def test_a_route_that_changes_while_servers_are_asked_is_not_judged(small: PlantedEstate) -> None:
    services, said = small.services, small.services.served.served
    (model,) = [model for model, rule in small.truth if rule == "superseded_serving"]

    def ask_while_it_changes() -> object:
        answer = said()
        with services.database.begin() as tx:
            route = tx.routes.get(model)
            tx.routes.set(type(route)(model, route.champion, None, 0, route.epoch + 1, NOW))
        return answer

    services.served.served = ask_while_it_changes
    found = small.assess()
    assert ("superseded_serving", model) in found.undecided
    assert not [finding for finding in found.findings if finding.model == model]


def test_sources_are_read_in_turns_and_each_within_some_nights(
    small: PlantedEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveying, "PROBES_A_NIGHT", 5)
    declared = Declared.read(small.services)
    read: set[str] = set()
    for night in range(1, 60):
        small.services.clock.set(NOW + night * timedelta(days=1))
        with small.services.database.begin() as tx:
            facts = facts_of_all(declared, tx, Tables.read(tx, RECORD_EVENTS))
        champions = {each.model for each in facts if each.champion and each.spec}
        tonight = surveying._probed(small.services, facts)
        assert len(tonight) < len(champions)
        read |= set(tonight)
        if read == champions:
            break
    assert read == champions
    assert night <= len(champions) // 5 + 1


def test_a_finding_that_lasts_is_one_incident_and_one_letter(small: PlantedEstate) -> None:
    first = audit_inventory(small.services, actor="airflow:audit")
    letters = len(small.services.notifier.sent)
    again = audit_inventory(small.services, actor="airflow:audit")
    assert (first["new"], first["resolved"]) == (len(small.truth), 0)
    assert (again["findings"], again["new"], again["resolved"]) == (len(small.truth), 0, 0)
    assert len(small.services.notifier.sent) == letters > 0


def test_owners_hear_of_their_models_and_of_orphans_those_who_answer_for_the_risk(small: PlantedEstate) -> None:
    audit_inventory(small.services, actor="airflow:audit")
    said = {to[0]: body for to, _, body in small.services.notifier.sent}
    specs, _ = small.services.specs.all()
    for model, rule in small.truth:
        address = specs[model].owner.email if model in specs else "vera@example.com"
        assert f"{model}" in said[address]
        assert rule in said[address]


def test_what_is_gone_is_resolved_and_what_cannot_be_judged_stays(small: PlantedEstate) -> None:
    services = small.services
    audit_inventory(services, actor="airflow:audit")
    services.served.away = True
    dark = audit_inventory(services, actor="airflow:audit")
    assert (dark["new"], dark["resolved"]) == (1, 0)
    services.served.away = False
    services.served.versions = [s for s in services.served.versions if s.endpoint == "http://one:8000"]
    mended = audit_inventory(services, actor="airflow:audit")
    gone = {"served_unregistered", "wrong_bytes", "rejected_serving", "superseded_serving"}
    assert (mended["new"], mended["resolved"]) == (0, 1 + len(gone))
    assert not gone & set(mended["rules"])


def test_every_change_of_an_incident_is_one_event_under_one_evidence(small: PlantedEstate) -> None:
    answer = audit_inventory(small.services, actor="airflow:audit")
    with small.services.database.begin() as tx:
        events = [event for event in tx.events.read() if event.evidence == answer["evidence"]]
        kept = tx.evidence.get(answer["evidence"])
        incidents = tx.incidents.unresolved_everywhere()
    kinds = [event.type.value for event in events]
    assert kinds.count("incident.opened") == len(incidents) == answer["new"]
    assert kinds.count("inventory.audited") == 1
    assert events[-1].body["findings"] == len(kept.body["findings"])
    assert {(i.model, i.cause) for i in incidents} == small.truth


def test_an_acknowledged_incident_stays_acknowledged(small: PlantedEstate) -> None:
    from dataclasses import replace

    from steward.monitoring.windows import IncidentState

    audit_inventory(small.services, actor="airflow:audit")
    with small.services.database.begin() as tx:
        one = tx.incidents.unresolved_everywhere()[0]
        tx.incidents.save(replace(one, state=IncidentState.ACKNOWLEDGED))
    audit_inventory(small.services, actor="airflow:audit")
    with small.services.database.begin() as tx:
        assert [i.state for i in tx.incidents.unresolved_everywhere() if i.id == one.id] == [IncidentState.ACKNOWLEDGED]
